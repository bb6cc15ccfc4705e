"""Tiny bundles, made without torch.

The classifier is the mean colour of the photo, then one linear layer; to the segmenter what is dark
is lesion.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from cutis.evaluation.names import display_name
from cutis.records import NOTICE, ModelInfo, Preprocessing, Provenance, SegmenterInfo
from cutis.runtime.bundle import (
    MODEL_FILES,
    SEGMENTER_FILES,
    BundleDiagnosis,
    BundleInfo,
    write_info,
)
from cutis.storage import sha256_file

DIAGNOSES = ("melanoma", "melanocytic_nevus", "dermatofibroma")
WEIGHTS = {
    "fp32": np.array([[1, 0, 2], [0, 1.5, -1], [-2, 0.5, 0]], np.float32),
    "int8": np.array([[1, 0, 2], [0, 1.5, -1], [-2, 0.5, 0.125]], np.float32),
}


def linear_network(weights: NDArray[np.float32]) -> onnx.ModelProto:
    """pixels (batch, 3, H, W) -> logits (batch, diagnoses): the mean over the plane @ weights."""
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"]),
            helper.make_node("MatMul", ["features", "weights"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("pixels", floats, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("logits", floats, ["batch", len(DIAGNOSES)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def darkness_network() -> onnx.ModelProto:
    """pixels (batch, 3, H, W) -> logits (batch, 1, H, W): minus five times the sum of channels."""
    floats = TensorProto.FLOAT
    weights = np.full((1, 3, 1, 1), -5, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["pixels", "weights"], ["logits"])],
        "darkness",
        [helper.make_tensor_value_info("pixels", floats, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("logits", floats, ["batch", 1, "height", "width"])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def with_disk(height: int, width: int, *, radius: float = 0.3) -> NDArray[np.uint8]:
    """Pale skin with a dark disk in the middle; the radius is in shorter sides."""
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - height / 2 + 0.5, columns - width / 2 + 0.5)
    skin, lesion = np.array([230, 200, 190], np.uint8), np.array([70, 40, 30], np.uint8)
    return np.where(away[..., None] < radius * min(height, width), lesion, skin)


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(
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


@pytest.fixture
def model_info(provenance: Provenance) -> ModelInfo:
    return ModelInfo(
        cutis_version="0",
        architecture="linear",
        diagnoses=DIAGNOSES,
        preprocessing=Preprocessing(size=32),
        temperature=2.0,
        provenance=provenance,
        licence="CC0",
    )


@pytest.fixture
def segmenter_info(provenance: Provenance) -> SegmenterInfo:
    return SegmenterInfo(
        cutis_version="0",
        architecture="darkness",
        preprocessing=Preprocessing(size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        provenance=provenance,
        licence="CC0",
    )


@pytest.fixture
def segmenter_bundle(tmp_path: Path, segmenter_info: SegmenterInfo) -> Path:
    """A bundle with nothing but a segmenter."""
    folder = tmp_path / "segmenter-bundle"
    folder.mkdir()
    onnx.save(darkness_network(), folder / SEGMENTER_FILES["fp32"])
    record_files(folder, None, segmenter_info)
    return folder


@pytest.fixture
def lesion_bundle(bundle: Path, model_info: ModelInfo, segmenter_info: SegmenterInfo) -> Path:
    """A bundle whose model sees what is not lesion in black."""
    settings = model_info.preprocessing.model_copy(update={"lesion": "mask"})
    onnx.save(darkness_network(), bundle / SEGMENTER_FILES["fp32"])
    record_files(bundle, model_info.model_copy(update={"preprocessing": settings}), segmenter_info)
    return bundle


@pytest.fixture
def bundle(tmp_path: Path, model_info: ModelInfo) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, weights in WEIGHTS.items():
        onnx.save(linear_network(weights), folder / MODEL_FILES[name])
    record_files(folder, model_info)
    return folder


def record_files(
    folder: Path, model_info: ModelInfo | None, segmenter_info: SegmenterInfo | None = None
) -> None:
    """Writes the bundle's record for the files that the folder holds now."""
    files = [path for path in sorted(folder.iterdir()) if path.name != "bundle.json"]
    described = [
        BundleDiagnosis(id=d, name={"en": display_name(d)}, malignancy=None, urgency=None)
        for d in DIAGNOSES
    ]
    info = BundleInfo(
        cutis_version="0",
        model=model_info,
        diagnoses=tuple(described) if model_info else (),
        default_model="int8" if model_info else None,
        segmenter=segmenter_info,
        files={path.name: sha256_file(path) for path in files},
        notice=NOTICE,
    )
    write_info(folder, info)


@pytest.fixture
def record(model_info: ModelInfo) -> Callable[[Path], None]:
    """Renews the record of a bundle that a test has changed on purpose."""
    return lambda folder: record_files(folder, model_info)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """23 photos of different colours."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"photo_{index:02}.png" for index in range(23)]
    for path in paths:
        colour = rng.integers(0, 256, 3)
        noise = rng.integers(-20, 20, (40, 50, 3))
        Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(path)
    return paths
