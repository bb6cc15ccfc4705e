"""The int8 network that is nearest to fp32 is written, and what was tried is told."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.special import expit, softmax

from cutis.errors import InputError
from cutis.export import choose_int8 as module
from cutis.export.choose_int8 import choose_int8
from cutis.export.quantize import METHODS
from cutis.records import ModelInfo, Preprocessing, Provenance, SegmenterInfo

SIZE = 8
SETTINGS = Preprocessing(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))
PROVENANCE = Provenance(
    recipe="drawn",
    catalog_sha256="0" * 64,
    split_name="default",
    split_sha256="1" * 64,
    unsafe=False,
    seed=0,
    train_counts={},
    train_groups=1,
    sources=("drawn",),
    licences=("CC0",),
)
CLASSIFIER = ModelInfo(
    cutis_version="0",
    architecture="one_convolution",
    diagnoses=("melanoma", "melanocytic_nevus"),
    preprocessing=SETTINGS,
    temperature=0.5,
    provenance=PROVENANCE,
    licence="CC0",
)
SEGMENTER = SegmenterInfo(
    cutis_version="0",
    architecture="one_convolution",
    preprocessing=SETTINGS,
    threshold=0.6,
    provenance=PROVENANCE,
    licence="CC0",
)


def photos(count: int, seed: int) -> NDArray[np.uint8]:
    """Noise around a colour that differs by photo."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(60, 190, (count, 1, 1, 3))
    return (colours + rng.integers(-60, 60, (count, SIZE, SIZE, 3))).astype(np.uint8)


def network(path: Path, shift: float = 0.0, *, segmenter: bool = False) -> Path:
    """Logits of a classifier: 0 and the mean of red less that of green, plus `shift`.

    A segmenter's: red less green of every pixel, plus `shift`.
    """
    weights = np.zeros((1 if segmenter else 2, 3, 1, 1), np.float32)
    weights[-1, :2, 0, 0] = 8, -8
    bias = np.zeros(len(weights), np.float32)
    bias[-1] = shift
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    nodes = [helper.make_node("Conv", ["pixels", "w", "b"], ["map"], name="conv")]
    shape: list[str | int] = ["batch", 1, SIZE, SIZE] if segmenter else ["batch", 2]
    if segmenter:
        nodes.append(helper.make_node("Identity", ["map"], ["logits"], name="end"))
    else:
        constants.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
        nodes.append(
            helper.make_node("ReduceMean", ["map", "axes"], ["logits"], name="end", keepdims=0)
        )
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        constants,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    return path


@pytest.fixture
def shifts(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """By method, how far the logits of a stand-in for its int8 file are shifted."""
    by_method: dict[str, float] = {}

    def write(fp32: Path, pixels: object, settings: object, path: Path, *, method: str) -> None:
        segmenter = len(onnx.load(fp32).graph.output[0].type.tensor_type.shape.dim) == 4
        network(path, by_method[method], segmenter=segmenter)

    monkeypatch.setattr(module, "write_int8", write)
    return by_method


def difference_of_means(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return 8 * (pixels[..., 0] / 255.0 - pixels[..., 1] / 255.0)


def test_a_classifiers_best_has_the_highest_agreement(
    shifts: dict[str, float], tmp_path: Path
) -> None:
    shifts.update(minmax=0.6, percentile=0.1, entropy=-0.3)
    fp32, pixels = network(tmp_path / "fp32"), photos(200, seed=0)
    found = choose_int8(fp32, photos(4, seed=1), pixels, CLASSIFIER, tmp_path / "int8")
    assert (found.method, found.calibration_photos, found.validation_photos) == (
        "percentile", 4, 200,
    )  # fmt: skip
    assert tuple(one.method for one in found.candidates) == METHODS
    logit = difference_of_means(pixels).mean(axis=(1, 2))
    both = {shift: np.stack([np.zeros(200), logit + shift], axis=1) for shift in (0, 0.1, 0.6)}
    worst = found.candidates[0]
    assert worst.agreement == pytest.approx(((logit > 0) == (logit + 0.6 > 0)).mean())
    assert worst.agreement is not None
    assert worst.agreement < 0.98
    gap = np.abs(softmax(both[0.6] / 0.5, axis=1) - softmax(both[0] / 0.5, axis=1)).mean()
    assert worst.mean_probability_difference == pytest.approx(gap, rel=1e-4)
    assert worst.mean_jaccard is None
    assert found.best == found.chosen.agreement
    network(tmp_path / "expected", 0.1)
    assert (tmp_path / "int8").read_bytes() == (tmp_path / "expected").read_bytes()


def test_of_equals_the_nearest_probabilities_win(shifts: dict[str, float], tmp_path: Path) -> None:
    shifts.update(minmax=0.02, percentile=0.03, entropy=-0.01)
    fp32, pixels = network(tmp_path / "fp32"), photos(3, seed=0)
    found = choose_int8(fp32, photos(4, seed=1), pixels, CLASSIFIER, tmp_path / "int8")
    assert {one.agreement for one in found.candidates} == {1.0}
    assert found.method == "entropy"


def test_a_segmenters_best_has_the_highest_jaccard(
    shifts: dict[str, float], tmp_path: Path
) -> None:
    shifts.update(minmax=0.2, percentile=-0.7, entropy=1.0)
    fp32, pixels = network(tmp_path / "fp32", segmenter=True), photos(40, seed=0)
    found = choose_int8(fp32, photos(4, seed=1), pixels, SEGMENTER, tmp_path / "int8")
    assert found.method == "minmax"
    logit = difference_of_means(pixels)
    ours, theirs = (expit(logit + shift) >= 0.6 for shift in (1.0, 0.0))
    jaccard = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2))
    entropy = found.candidates[2]
    assert entropy.mean_jaccard == pytest.approx(jaccard.mean())
    assert entropy.agreement is None
    gap = np.abs(expit(logit + 1.0) - expit(logit)).mean()
    assert entropy.mean_probability_difference == pytest.approx(gap, rel=1e-4)
    assert found.best == found.chosen.mean_jaccard


def test_the_reference_may_be_another_file(shifts: dict[str, float], tmp_path: Path) -> None:
    shifts.update(minmax=0.0, percentile=0.5, entropy=-0.5)
    fp32, pixels = network(tmp_path / "fp32"), photos(100, seed=0)
    found = choose_int8(
        fp32,
        photos(4, seed=1),
        pixels,
        CLASSIFIER,
        tmp_path / "int8",
        reference=network(tmp_path / "before", 0.5),
    )
    assert found.method == "percentile"
    assert found.chosen.mean_probability_difference == 0


def test_only_the_methods_asked_for(shifts: dict[str, float], tmp_path: Path) -> None:
    shifts.update(minmax=0.0, entropy=0.5)
    found = choose_int8(
        network(tmp_path / "fp32"),
        photos(4, seed=1),
        photos(9, seed=0),
        CLASSIFIER,
        tmp_path / "int8",
        methods=["entropy"],
    )
    assert (found.method, len(found.candidates)) == ("entropy", 1)


def test_no_validation_photos(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no validation photos"):
        choose_int8(
            network(tmp_path / "fp32"),
            photos(4, seed=1),
            photos(0, seed=0),
            CLASSIFIER,
            tmp_path / "int8",
        )
    assert not (tmp_path / "int8").exists()


def test_no_calibration_photos(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no calibration photos"):
        choose_int8(
            network(tmp_path / "fp32"),
            photos(0, seed=1),
            photos(4, seed=0),
            CLASSIFIER,
            tmp_path / "int8",
        )
    assert not (tmp_path / "int8").exists()
