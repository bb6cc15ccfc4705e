"""Softmax, temperature, proper scores and calibration error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from cutis.errors import InputError
from cutis.metrics.calibration import (
    bin_index,
    brier_scores,
    calibration_error,
    fit_temperature,
    log_losses,
    reliability,
    softmax,
)


def _draw(seed: int, photos: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated as they are, and truths drawn from their probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(photos, 4)) * 2
    steps = np.cumsum(softmax(logits), axis=1)
    return logits, (rng.random((photos, 1)) > steps).sum(axis=1)


def test_proper_scores_equal_scikit_learn() -> None:
    logits, truth = _draw(0)
    probabilities = softmax(logits)
    assert log_losses(probabilities, truth).mean() == pytest.approx(
        reference.log_loss(truth, probabilities)
    )
    assert brier_scores(probabilities, truth).mean() == pytest.approx(
        reference.brier_score_loss(truth, probabilities, scale_by_half=False)
    )


def test_a_true_answer_held_impossible_costs_a_finite_loss() -> None:
    assert log_losses(np.array([[0.0, 1.0]]), np.array([0]))[0] == pytest.approx(34.54, abs=0.01)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_fit_temperature_finds_the_temperature_of_the_draw(temperature: float) -> None:
    logits, truth = _draw(1, 20_000)
    assert fit_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_is_the_minimum_of_the_loss() -> None:
    logits, truth = _draw(2)
    best = fit_temperature(3 * logits, truth)

    def loss(temperature: float) -> float:
        return float(log_losses(softmax(3 * logits, temperature), truth).mean())

    assert loss(best) < min(loss(best * 1.01), loss(best * 0.99))


def test_fit_temperature_without_a_mistake_ends_at_the_edge() -> None:
    assert fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(0.05, rel=0.01)


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "cannot be fitted"),
        (np.zeros((2, 3)), np.zeros(3, int), "cannot be fitted"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "not finite"),
        (np.zeros((1, 2)), np.array([2]), "none of the model's diagnoses"),
    ],
)
def test_fit_temperature_refuses(logits: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_temperature(logits, truth)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-50, 50))
def test_softmax_ignores_a_shift_and_keeps_the_order(seed: int, shift: float) -> None:
    logits, _ = _draw(seed, 5)
    for temperature in (0.5, 1.0, 3.0):
        probabilities = softmax(logits + shift, temperature)
        np.testing.assert_allclose(probabilities, softmax(logits, temperature))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert (probabilities.argmax(axis=1) == logits.argmax(axis=1)).all()


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_equals_its_definition_on_repeated_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.random(80)
    correct = rng.random(80) < confidence
    weights = rng.integers(0, 3, (4, 80))
    found = calibration_error(confidence, correct, weights.astype(float))
    for row, times in enumerate(weights):
        sure, right = np.repeat(confidence, times), np.repeat(correct, times)
        expected = 0.0
        for number in range(15):
            inside = (sure > number / 15) & (sure <= (number + 1) / 15)
            if inside.any():
                expected += inside.mean() * abs(sure[inside].mean() - right[inside].mean())
        assert found[row] == pytest.approx(expected)


def test_calibration_error_of_known_cases() -> None:
    ones = np.ones((1, 4))
    right = np.array([True, True, True, False])
    assert calibration_error(np.full(4, 0.75), right, ones)[0] == pytest.approx(0)
    assert calibration_error(np.full(4, 1.0), right, ones)[0] == pytest.approx(0.25)


def test_bins_hold_their_upper_edge() -> None:
    assert bin_index(np.array([0.0, 0.1, 0.2, 0.21, 1.0]), 5).tolist() == [0, 0, 0, 1, 4]


def test_reliability_bins_sum_to_the_calibration_error() -> None:
    logits, truth = _draw(3)
    confidence = softmax(logits).max(axis=1)
    correct = logits.argmax(axis=1) == truth
    bars = reliability(confidence, correct)
    total = sum(
        bar.photos * abs(bar.confidence - bar.accuracy)
        for bar in bars
        if bar.confidence is not None and bar.accuracy is not None
    )
    assert sum(bar.photos for bar in bars) == truth.size
    assert bars[0].confidence is None
    assert bars[0].photos == 0
    error = calibration_error(confidence, correct, np.ones((1, truth.size)))[0]
    assert total / truth.size == pytest.approx(error)
