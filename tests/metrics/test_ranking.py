"""Curves, areas and operating points against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from cutis.metrics.ranking import (
    auroc,
    average_precision,
    laxest_index,
    ranked_counts,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
    strictest_index,
)


def _draw(seed: int, photos: int, digits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(photos) < 0.4
    positive[:2] = True, False
    scores = np.round(rng.random(photos) + 0.4 * positive, digits)
    weights = rng.integers(0, 4, (3, photos)).astype(float)
    weights[:, :2] = 1
    return scores, positive, weights


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0, 1, 8]))
def test_areas_equal_scikit_learn_with_weights_and_ties(
    seed: int, photos: int, digits: int
) -> None:
    scores, positive, weights = _draw(seed, photos, digits)
    counts = ranked_counts(scores, positive, weights)
    for row, weight in enumerate(weights):
        area = reference.roc_auc_score(positive, scores, sample_weight=weight)
        precision = reference.average_precision_score(positive, scores, sample_weight=weight)
        assert auroc(counts)[row] == pytest.approx(area)
        assert average_precision(counts)[row] == pytest.approx(precision)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("digits", [1, 8])
def test_operating_points_equal_the_best_point_of_the_curve(level: float, digits: int) -> None:
    scores, positive, weights = _draw(5, 80, digits)
    counts = ranked_counts(scores, positive, weights)
    for row, weight in enumerate(weights):
        false, true, _ = reference.roc_curve(
            positive, scores, sample_weight=weight, drop_intermediate=False
        )
        sensitivity = true[1 - false >= level - 1e-9].max()
        specificity = (1 - false)[true >= level - 1e-9].max()
        assert sensitivity_at_specificity(counts, level)[row] == pytest.approx(sensitivity)
        assert specificity_at_sensitivity(counts, level)[row] == pytest.approx(specificity)


def test_thresholds_reach_what_they_promise() -> None:
    scores, positive, _ = _draw(9, 200, 8)
    ones = np.ones((1, 200))
    counts = ranked_counts(scores, positive, ones)
    strict = scores >= counts.thresholds[strictest_index(counts, 0.9)[0]]
    lax = scores >= counts.thresholds[laxest_index(counts, 0.9)[0]]
    assert (~strict[~positive]).mean() >= 0.9
    assert strict[positive].mean() == pytest.approx(sensitivity_at_specificity(counts, 0.9)[0])
    assert lax[positive].mean() >= 0.9
    assert (~lax[~positive]).mean() == pytest.approx(specificity_at_sensitivity(counts, 0.9)[0])


def test_a_limit_met_exactly_counts_as_met() -> None:
    scores = np.arange(20, 0, -1) / 20
    positive = np.zeros(20, bool)
    positive[[0, 1, 3, 19]] = True
    counts = ranked_counts(scores, positive, np.full((1, 20), 0.1))
    # 15 of 16 negatives below the threshold are 0.9375; three positives lie at or above it.
    assert sensitivity_at_specificity(counts, 0.9375)[0] == pytest.approx(0.75)
    assert specificity_at_sensitivity(counts, 0.75)[0] == pytest.approx(0.9375)


def test_rounding_does_not_cost_a_photo() -> None:
    # One false positive of ten is 90 % specificity, though (1 - 0.9) * 10 is a little below 1.
    scores = np.arange(12, 0, -1) / 12
    positive = np.zeros(12, bool)
    positive[[1, 11]] = True
    counts = ranked_counts(scores, positive, np.ones((1, 12)))
    assert sensitivity_at_specificity(counts, 0.9)[0] == pytest.approx(0.5)


def test_no_threshold_that_is_strict_enough_gives_no_sensitivity() -> None:
    counts = ranked_counts(np.array([0.9, 0.1]), np.array([False, True]), np.ones((1, 2)))
    assert strictest_index(counts, 0.9)[0] == -1
    assert sensitivity_at_specificity(counts, 0.9)[0] == 0


@pytest.mark.parametrize("truth", [True, False])
def test_one_side_alone_is_undefined(truth: bool) -> None:
    counts = ranked_counts(np.array([0.2, 0.7]), np.full(2, truth), np.ones((1, 2)))
    assert np.isnan(auroc(counts)[0])
    assert np.isnan(sensitivity_at_specificity(counts, 0.9)[0])
    assert np.isnan(specificity_at_sensitivity(counts, 0.9)[0])
    assert np.isnan(average_precision(counts)[0]) == (not truth)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_auroc_depends_on_the_order_alone_and_turns_with_it(seed: int) -> None:
    scores, positive, weights = _draw(seed, 30, 1)
    area = auroc(ranked_counts(scores, positive, weights))
    np.testing.assert_allclose(auroc(ranked_counts(np.exp(scores), positive, weights)), area)
    np.testing.assert_allclose(auroc(ranked_counts(-scores, positive, weights)), 1 - area)
    np.testing.assert_allclose(auroc(ranked_counts(-scores, ~positive, weights)), area)
