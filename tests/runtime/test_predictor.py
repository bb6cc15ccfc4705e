"""The predictor answers what its network computes, on any number of threads."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from cutis.errors import InputError
from cutis.records import Preprocessing
from cutis.runtime import Predictor

from .conftest import WEIGHTS


def some_pixels(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def expected_logits(pixels: NDArray[np.uint8], model: str) -> NDArray[np.float64]:
    settings = Preprocessing()
    normalised = (pixels / 255 - np.array(settings.mean)) / np.array(settings.std)
    logits: NDArray[np.float64] = normalised.mean(axis=(1, 2)) @ WEIGHTS[model]
    return logits


@pytest.mark.parametrize("count", [1, 4, 5, 11])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("model", ["fp32", "int8"])
def test_logits_are_the_networks(bundle: Path, model: str, threads: int, count: int) -> None:
    pixels = some_pixels(count)
    logits = Predictor.load(bundle, model=model, threads=threads).logits(pixels)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected_logits(pixels, model), atol=1e-5)


def test_no_photo_gives_no_row(bundle: Path) -> None:
    assert Predictor.load(bundle).logits(some_pixels(0)).shape == (0, 3)


def test_the_default_is_the_bundles(bundle: Path) -> None:
    assert Predictor.load(bundle).model == "int8"


def test_a_model_that_the_bundle_lacks_is_refused(
    bundle: Path, record: Callable[[Path], None]
) -> None:
    (bundle / "model-int8.onnx").unlink()
    record(bundle)
    assert Predictor.load(bundle, model="fp32").model == "fp32"
    with pytest.raises(InputError, match="holds no model 'int8'") as caught:
        Predictor.load(bundle, model="int8")
    assert caught.value.expected == "fp32"


def test_a_misspelt_model_gets_the_right_spelling(bundle: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'fp32'"):
        Predictor.load(bundle, model="FP_32")


def test_no_thread_is_refused(bundle: Path) -> None:
    with pytest.raises(InputError, match="0 threads"):
        Predictor.load(bundle, threads=0)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 3, 32, 32), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((1, 24, 24, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
    ],
)
def test_pixels_of_another_kind_are_refused(bundle: Path, pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="pixels are uint8 of shape"):
        Predictor.load(bundle).logits(pixels)


def test_probabilities_are_the_softmax_at_the_temperature(bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    logits = np.array([[1, 2, 3], [1000, 0, -1000]], np.float32)
    probabilities = predictor.probabilities(logits)
    np.testing.assert_allclose(probabilities, softmax(logits / 2.0, axis=1), atol=1e-6)
    assert probabilities.dtype == np.float32
