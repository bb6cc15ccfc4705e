"""A tiny bundle made without torch, and the app around it.

The classifier is the mean colour of the photo, then one linear layer; to the segmenter what is dark
is lesion.
"""

import io
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from starlette.testclient import TestClient

from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive.archive import Archive
from cutis.app.archive.schema import AccountRow
from cutis.app.cases import Judgement
from cutis.app.server import bind, create_app, make_server
from cutis.app.settings import Settings
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.records import NOTICE, ModelInfo, Preprocessing, Provenance, SegmenterInfo
from cutis.runtime import PhotoAnswer, Predictor, Segmenter, answer_photo
from cutis.runtime.bundle import (
    MODEL_FILES,
    SEGMENTER_FILES,
    BundleDiagnosis,
    BundleInfo,
    write_info,
)
from cutis.storage import sha256_file
from cutis.taxonomy import diagnosis

from . import postgresql

DIAGNOSES = ("melanoma", "melanocytic_nevus", "dermatofibroma")
WEIGHTS = np.array([[1, 0, 2], [0, 1.5, -1], [-2, 0.5, 0]], np.float32)
FLOATS = TensorProto.FLOAT
HOST = "http://127.0.0.1:8600"


def network(output: list[object], *nodes: onnx.NodeProto, **weights: NDArray[np.float32]) -> bytes:
    """An ONNX network from pixels (batch, 3, H, W) to logits of the shape `output`."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info("pixels", FLOATS, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("logits", FLOATS, output)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    made: bytes = model.SerializeToString()
    return made


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a classifier with a policy, and a segmenter."""
    folder = tmp_path_factory.mktemp("bundle")
    classifier = network(
        ["batch", len(DIAGNOSES)],
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "weights"], ["logits"]),
        weights=WEIGHTS,
    )
    segmenter = network(
        ["batch", 1, "height", "width"],
        helper.make_node("Conv", ["pixels", "weights"], ["logits"]),
        weights=np.full((1, 3, 1, 1), -5, np.float32),
    )
    files = {MODEL_FILES["fp32"]: classifier, SEGMENTER_FILES["fp32"]: segmenter}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    provenance = Provenance(
        recipe="tiny",
        catalog_sha256="0" * 64,
        split_name="default",
        split_sha256="1" * 64,
        unsafe=False,
        seed=0,
        train_counts=dict.fromkeys(DIAGNOSES, 10),
        train_groups=20,
        sources=("made",),
        licences=("CC0",),
    )
    common = {"cutis_version": "0", "provenance": provenance, "licence": "CC0"}
    half = (0.5, 0.5, 0.5)
    described = [(name, diagnosis(name)) for name in DIAGNOSES]
    info = BundleInfo(
        cutis_version="0",
        model=ModelInfo(
            architecture="linear",
            diagnoses=DIAGNOSES,
            preprocessing=Preprocessing(size=32),
            **common,
        ),
        diagnoses=tuple(
            BundleDiagnosis(
                id=name, name=dict(found.name), malignancy=found.malignancy, urgency=found.urgency
            )
            for name, found in described
        ),
        default_model="fp32",
        segmenter=SegmenterInfo(
            architecture="darkness",
            preprocessing=Preprocessing(size=64, mean=half, std=half),
            **common,
        ),
        policies={
            "fp32": AnswerPolicy(
                set_thresholds=(0.2, 0.4, 0.3), pooled=(False, True, True), largest_set=2
            )
        },
        files={name: sha256_file(folder / name) for name in files},
        notice=NOTICE,
    )
    write_info(folder, info)
    return folder


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> Predictor:
    return Predictor.load(bundle, threads=1)


@pytest.fixture(scope="session")
def segmenter(bundle: Path) -> Segmenter:
    return Segmenter.load(bundle, threads=1)


def judge(
    predictor: Predictor,
    segmenter: Segmenter | None,
    photos: Sequence[bytes],
    *,
    earlier: Sequence[PhotoAnswer] = (),
) -> Judgement:
    """The mean of the photos' probabilities."""
    answers = [*earlier, *(answer_photo(predictor, photo) for photo in photos)]
    pooled = {
        name: float(np.mean([answer.probabilities[name] for answer in answers]))
        for name in DIAGNOSES
    }
    ordered = dict(sorted(pooled.items(), key=lambda item: -item[1]))
    return Judgement(
        photos=tuple(answers), probabilities=ordered, verdict=answers[0].verdict, urgent=True
    )


class PlainLayers:
    """Layers that show what they were given."""

    def outline(self, rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> bytes:
        return png(np.where(mask[..., None], 255, 0).astype(np.uint8).repeat(4, axis=2))

    def heat_map(self, predictor: Predictor, rgb: NDArray[np.uint8], diagnosis: str) -> bytes:
        return png(np.full((*rgb.shape[:2], 4), DIAGNOSES.index(diagnosis), np.uint8))

    def measures(self, rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Mapping[str, object]:
        return {"area_share": float(mask.mean())}


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def skin(height: int = 60, width: int = 80, seed: int = 0) -> NDArray[np.uint8]:
    """Pale skin with a dark disk in the middle, and some grain."""
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - height / 2 + 0.5, columns - width / 2 + 0.5)
    plain, lesion = np.array([230, 200, 190]), np.array([70, 40, 30])
    drawn = np.where(away[..., None] < 0.3 * min(height, width), lesion, plain)
    grain = np.random.default_rng(seed).integers(-8, 9, (height, width, 3))
    return (drawn + grain).clip(0, 255).astype(np.uint8)


def encoded(
    kind: str = "JPEG", height: int = 60, width: int = 80, seed: int = 0, **options: object
) -> bytes:
    """The photo as a file."""
    file = io.BytesIO()
    Image.fromarray(skin(height, width, seed)).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG."""
    return encoded(quality=90)


MakeApp = Callable[..., FastAPI]


@pytest.fixture
def make_app(predictor: Predictor, segmenter: Segmenter) -> MakeApp:
    """Makes the app with changed limits or parts."""

    def make(**changes: object) -> FastAPI:
        limits = {name: changes.pop(name) for name in vars(Settings()) if name in changes}
        parts = {"segmenter": segmenter, "judge": judge, "layers": PlainLayers(), **changes}
        return create_app(
            predictor, parts.pop("segmenter"), Settings(**{"workers": 2, **limits}), **parts
        )

    return make


@contextmanager
def running(app: FastAPI) -> Iterator[int]:
    """The app behind a real server on a free port, which is given."""
    listening = bind("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(make_app: MakeApp) -> Iterator[TestClient]:
    with TestClient(make_app(), base_url=HOST) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Path]:
    """The folder of a server's socket; skips where PostgreSQL is absent."""
    with postgresql.server() as folder:
        yield folder


_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """None, and the URL of an empty PostgreSQL database: tests that use it run on both."""
    if request.param == "sqlite":
        return None
    server: Path = request.getfixturevalue("postgresql_server")
    return postgresql.new_database(server, f"test_{next(_numbers)}")


def make_account(archive: Archive, name: str, role: Role = Role.CLINICIAN) -> Account:
    """An account that nobody can log in with; a test opens its sessions."""
    row = AccountRow(
        name=name,
        role=role,
        password_hash="none",
        active=True,
        created=datetime.now(UTC),
        must_change_password=False,
    )
    with archive.database.session() as session:
        session.add(row)
        session.flush()
        return Account(row.id, name, role)


@pytest.fixture
def archive(tmp_path: Path, database_url: str | None) -> Iterator[Archive]:
    """An empty archive, on SQLite and on PostgreSQL."""
    opened = Archive.open(tmp_path / "archive", database_url)
    yield opened
    opened.close()
