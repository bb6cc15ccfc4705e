"""A bundle made without torch, and a clinic's cases drawn from its probabilities."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from cutis.data.importer import import_sources
from cutis.metrics import softmax
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.records import NOTICE, Feedback, ModelInfo, Preprocessing, Provenance
from cutis.runtime.bundle import (
    FEATURES_FILE,
    MODEL_FILES,
    BundleDiagnosis,
    BundleInfo,
    write_info,
)
from cutis.storage import sha256_file
from cutis.taxonomy import diagnosis

NAMES = ("melanocytic_nevus", "melanoma", "dermatofibroma")
PHOTOS, CASES = 130, 100
COLUMNS_OF_OWN = {name: name for name in ("image", "diagnosis", "lesion_id")}
SHARES = (-0.5, 1.6, -3.0)  # what a clinic's prior adds to the logits
POLICY = AnswerPolicy(
    set_thresholds=(0.4, 0.3, 0.2), pooled=(False, False, True), highest_distance=40.0
)
CARD = """# linear

- output: logits; probabilities are their softmax at temperature 1

## Limits

- none
"""


def network() -> bytes:
    """Logits and features from the mean of each channel."""
    floats = TensorProto.FLOAT
    weights = np.array([[2, -1, 0], [1, -2, 1], [0, -1, 1]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"]),
            helper.make_node("MatMul", ["features", "weights"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("pixels", floats, ["batch", 3, "height", "width"])],
        [
            helper.make_tensor_value_info("logits", floats, ["batch", 3]),
            helper.make_tensor_value_info("features", floats, ["batch", 3]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return made.SerializeToString()


Bundle = Callable[..., Path]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    def write(
        policies: dict[str, AnswerPolicy] | None = None,
        networks: Sequence[str] = ("fp32",),
        **made: object,
    ) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir()
        for name in networks:
            (folder / MODEL_FILES[name]).write_bytes(network())
        (folder / "MODEL_CARD.md").write_text(CARD)
        np.savez(folder / FEATURES_FILE, means=np.zeros((1, 3)), directions=np.zeros((3, 0)),
                 variances=np.zeros(0), rest=np.array(0.1))  # fmt: skip
        provenance = {
            "recipe": "linear", "catalog_sha256": "0" * 64, "split_name": "default",
            "split_sha256": "1" * 64, "unsafe": False, "seed": 0, "train_counts": {},
            "train_groups": 1, "sources": ("drawn",), "licences": ("CC0",),
        }  # fmt: skip
        info = ModelInfo(
            cutis_version="0",
            architecture="linear",
            diagnoses=NAMES,
            preprocessing=Preprocessing(size=32),
            provenance=Provenance.model_validate(provenance | made),
            licence="CC0",
        )
        described = tuple(
            BundleDiagnosis(id=name, name={"en": name}, malignancy=diagnosis(name).malignancy,
                            urgency=None)
            for name in NAMES
        )  # fmt: skip
        files = {file.name: sha256_file(file) for file in folder.iterdir()}
        policies = dict.fromkeys(networks, POLICY) if policies is None else policies
        write_info(folder, BundleInfo(cutis_version="0", model=info, diagnoses=described,
                                      default_model=networks[0], policies=policies, files=files,
                                      notice=NOTICE))  # fmt: skip
        return folder

    return write


def jpeg_of(seed: int) -> bytes:
    """Clouds of a colour."""
    rng = np.random.default_rng(seed)
    clouds = rng.normal(rng.uniform(60, 220, 3), 25, (6, 8, 3)).clip(0, 255)
    file = io.BytesIO()
    picture = Image.fromarray(clouds.astype(np.uint8))
    picture.resize((48, 36), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Clouds of a colour each."""
    return [jpeg_of(seed) for seed in range(PHOTOS)]


@pytest.fixture(scope="session")
def logits(pictures: list[bytes]) -> np.ndarray:
    from cutis.preprocessing import load
    from cutis.runtime.network import Network

    settings = Preprocessing(size=32)
    ready = Network(network(), settings, threads=1)
    return ready.logits(np.stack([load(picture, settings) for picture in pictures]))


def handed_over(
    folder: Path, pictures: list[bytes], truth: np.ndarray, photos: int = PHOTOS
) -> Path:
    """Feedback in which the first photos are of one case each and the last of cases before."""
    (folder / "photos").mkdir(parents=True)
    rows = []
    for number in range(photos):
        sha256 = hashlib.sha256(pictures[number]).hexdigest()
        (folder / "photos" / f"{sha256}.jpg").write_bytes(pictures[number])
        case = number % CASES
        row = dict.fromkeys(Feedback.COLUMNS, "")
        row |= {"image": f"{sha256}.jpg", "case": f"{case:016x}", "confirmed_by": "histology",
                "diagnosis": NAMES[truth[case]]}  # fmt: skip
        rows.append(row)
    with (folder / "feedback.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, Feedback.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    note = {"format": "cutis-feedback", "version": 1, "clinic": "aa",
            "sha256": sha256_file(folder / "feedback.csv")}  # fmt: skip
    (folder / "feedback.json").write_text(json.dumps(note))
    return folder


def collected(
    folder: Path, pictures: list[bytes], truth: np.ndarray, photos: Sequence[int] = range(PHOTOS)
) -> Path:
    """The same photos as a clinic's own table, of cases that nobody chose."""
    folder.mkdir(parents=True)
    lines = ["image,diagnosis,lesion_id"]
    for number in photos:
        (folder / f"{number:03d}.jpg").write_bytes(pictures[number])
        lines.append(f"{number:03d}.jpg,{NAMES[truth[number % CASES]]},{number % CASES}")
    (folder / "own.csv").write_text("\n".join(lines) + "\n")
    return folder / "own.csv"


def truths(
    logits: np.ndarray, temperature: float, offsets: Sequence[float], seed: int = 1
) -> np.ndarray:
    """Drawn from the probabilities of a clinic with this temperature and prior."""
    steps = np.cumsum(softmax(logits / temperature + np.array(offsets)), axis=1)
    return (np.random.default_rng(seed).random((len(logits), 1)) > steps).sum(axis=1)


@pytest.fixture(scope="session")
def drawn(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[bytes], logits: np.ndarray
) -> Path:
    """A catalog of a clinic with other shares of the diagnoses."""
    folder = tmp_path_factory.mktemp("clinic")
    truth = truths(logits, 1.6, SHARES)
    table = collected(folder / "own", pictures, truth)
    return import_sources([table], folder / "catalog", columns=COLUMNS_OF_OWN).catalog.folder


@pytest.fixture
def clinic(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "catalog")
    return tmp_path / "catalog"
