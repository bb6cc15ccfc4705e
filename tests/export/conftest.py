"""Drawn photos on disk, a small classifier that has learned them, and its bundle, exported once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from torch import Tensor, nn

from cutis.export import ClassifierPart, ExportSummary, export_parts
from cutis.export.photos import COLUMNS
from cutis.models.registry import Classifier, build_classifier
from cutis.preprocessing import normalise
from cutis.records import ModelInfo, Preprocessing, Provenance, SegmenterInfo
from cutis.runtime.bundle import MODEL_FILES, SEGMENTER_FILES

DIAGNOSES = ("melanoma", "melanocytic_nevus", "dermatofibroma")
SIZE = 32

_SKIN = (225, 195, 185)
_LESIONS = ((45, 30, 110), (120, 60, 25), (185, 70, 90))
"""The colour says the diagnosis."""


class SmallNetwork(nn.Module):
    """Convolution, depthwise convolution, shortcut, pooling and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.answer = nn.Linear(16, len(DIAGNOSES))

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.stem(pixels)
        features = features + self.depthwise(features)
        logits: Tensor = self.answer(features.mean(dim=(2, 3)))
        return logits


def some_photos(count: int, seed: int) -> NDArray[np.uint8]:
    """Plain colours with noise, so that the answers differ between photos."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 256, (count, 1, 1, 3))
    noise = rng.integers(-30, 30, (count, SIZE, SIZE, 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8)


def discs(
    diagnosis: Sequence[int], seed: int, size: int = SIZE
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A lesion a photo (N, size, size, 3) in the colour of its diagnosis, and its mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    photos = np.empty((len(diagnosis), size, size, 3), np.uint8)
    masks = np.empty(photos.shape[:3], bool)
    for photo, mask, kind in zip(photos, masks, diagnosis, strict=True):
        row, column = rng.uniform(0.35, 0.65, 2)
        mask[:] = np.hypot(rows - row, columns - column) < rng.uniform(0.15, 0.3)
        colours = np.where(mask[..., None], _LESIONS[kind], _SKIN)
        photo[:] = np.clip(colours + rng.normal(0, 12, photo.shape), 0, 255)
    return photos, masks


@pytest.fixture(scope="session")
def network() -> nn.Module:
    """Random weights; it gives no features."""
    torch.manual_seed(0)
    network = SmallNetwork().train()
    with torch.no_grad():
        for _ in range(20):  # running statistics that are not those of the initialisation
            network(torch.randn(16, 3, SIZE, SIZE))
        network.answer.weight.mul_(10)
    return network.eval()


@pytest.fixture(scope="session")
def info() -> ModelInfo:
    provenance = Provenance(
        recipe="small",
        catalog_sha256="0" * 64,
        split_name="default",
        split_sha256="1" * 64,
        unsafe=False,
        seed=7,
        train_counts={"melanoma": 11, "melanocytic_nevus": 60, "dermatofibroma": 5},
        train_groups=40,
        sources=("made",),
        licences=("CC0", "CC BY-NC 4.0"),
    )
    return ModelInfo(
        cutis_version="0",
        architecture="small_cnn",
        diagnoses=DIAGNOSES,
        preprocessing=Preprocessing(size=SIZE),
        temperature=1.5,
        provenance=provenance,
        licence="CC BY-NC 4.0",
    )


@pytest.fixture(scope="session")
def segmenter_info(info: ModelInfo) -> SegmenterInfo:
    provenance = info.provenance.model_copy(
        update={"recipe": "outline", "sources": ("drawn",), "licences": ("CC BY 4.0",)}
    )
    return SegmenterInfo(
        cutis_version="0",
        architecture="finder",
        preprocessing=Preprocessing(size=SIZE),
        threshold=0.4,
        provenance=provenance,
        licence="CC BY 4.0",
    )


@pytest.fixture(scope="session")
def calibration() -> NDArray[np.uint8]:
    return some_photos(24, seed=1)


@pytest.fixture(scope="session")
def check() -> NDArray[np.uint8]:
    return some_photos(30, seed=2)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """40 training photos, 80 of validation, 20 of test; two of a lesion, every other with a mask.

    Half show nevi, a third melanomas, the others dermatofibromas.
    """
    folder = tmp_path_factory.mktemp("photos")
    kinds = np.repeat(np.resize([1, 0, 1, 2, 1, 0], 70), 2).tolist()
    pixels, masks = discs(kinds, seed=3, size=40)
    rows = []
    for number, (kind, photo, mask) in enumerate(zip(kinds, pixels, masks, strict=True)):
        path, drawn = folder / f"file-{number}.png", folder / f"mask-{number}.png"
        Image.fromarray(photo).save(path)
        Image.fromarray(mask).save(drawn)
        rows.append(
            {
                "image_id": f"drawn/photo_{number:03}",
                "path": path,
                "group": f"lesion-{number // 2}",
                "part": "train" if number < 40 else "validation" if number < 120 else "test",
                "diagnosis": DIAGNOSES[kind],
                "mask": drawn if number % 2 else None,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture(scope="session")
def learned() -> Classifier:
    """A classifier that tells the colours apart."""
    torch.manual_seed(0)
    model = build_classifier("small_cnn", len(DIAGNOSES), size=SIZE).train()
    kinds = np.resize([0, 1, 2], 48)
    pixels, _ = discs(kinds.tolist(), seed=4)
    inputs = torch.from_numpy(normalise(pixels, Preprocessing(size=SIZE)))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(25):
        loss = nn.functional.cross_entropy(model(inputs), torch.from_numpy(kinds))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


@pytest.fixture(scope="session")
def part(learned: Classifier, info: ModelInfo) -> ClassifierPart:
    return ClassifierPart(learned, info)


@pytest.fixture(scope="session")
def exported(
    part: ClassifierPart, photos: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> ExportSummary:
    """fp32 and int8, all the way."""
    out = tmp_path_factory.mktemp("export") / "bundle"
    return export_parts(out, photos, classifier=part, measure=False)


def with_bias(network: Path, bias: Sequence[float]) -> bytes:
    """An fp32 file whose logits are shifted."""
    model = onnx.load(network)
    (last,) = (t for t in model.graph.initializer if t.name.endswith("head.answer.bias"))
    shifted = numpy_helper.to_array(last) + np.array(bias, np.float32)
    last.CopyFrom(numpy_helper.from_array(shifted, last.name))
    data: bytes = model.SerializeToString()
    return data


def held(folder: Path) -> set[str]:
    """Names of the files in a bundle."""
    return {path.name for path in folder.iterdir()}


Given = Callable[[Mapping[str, bytes]], None]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Has exports take given files, by network, for candidates: to make them takes seconds."""

    def take(files: Mapping[str, bytes]) -> None:
        def write(
            part: object, photos: object, asked: Sequence[str], folder: Path, _: object
        ) -> None:
            names = MODEL_FILES if isinstance(part, ClassifierPart) else SEGMENTER_FILES
            for network in {"fp32", *asked} & files.keys():
                (folder / names[network]).write_bytes(files[network])

        monkeypatch.setattr("cutis.export.bundle.write_candidates", write)

    return take


@pytest.fixture(scope="session")
def files(exported: ExportSummary) -> dict[str, bytes]:
    """The networks of the exported bundle."""
    return {
        name: (exported.folder / file).read_bytes()
        for name, file in MODEL_FILES.items()
        if (exported.folder / file).is_file()
    }
