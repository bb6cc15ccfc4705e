"""Accuracy against coverage, by hand and against its definition."""

import numpy as np
import pytest

from cutis.metrics.ranking import ranked_counts
from cutis.metrics.risk_coverage import aurc, risk_coverage

CONFIDENCE = np.array([0.5, 0.9, 0.7, 0.8])
CORRECT = np.array([False, True, True, False])


def test_the_curve_by_hand() -> None:
    curve = risk_coverage(ranked_counts(CONFIDENCE, CORRECT, np.ones((1, 4))))
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.5]
    assert curve.coverage[0].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.accuracy[0] == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


def test_the_area_by_hand_and_by_definition() -> None:
    counts = ranked_counts(CONFIDENCE, CORRECT, np.ones((1, 4)))
    assert aurc(counts)[0] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(200), rng.random(200) < 0.7
    wrong = ~correct[np.argsort(-confidence)]
    expected = np.mean(np.cumsum(wrong) / np.arange(1, 201))
    assert aurc(ranked_counts(confidence, correct, np.ones((1, 200))))[0] == pytest.approx(expected)


def test_a_weight_is_a_repeated_photo() -> None:
    repeated = np.repeat(np.arange(4), [2, 1, 0, 3])
    expected = aurc(ranked_counts(CONFIDENCE[repeated], CORRECT[repeated], np.ones((1, 6))))
    weighted = ranked_counts(CONFIDENCE, CORRECT, np.array([[2.0, 1, 0, 3], [0, 0, 1, 0]]))
    assert aurc(weighted) == pytest.approx([expected[0], 0.0])
    # In the second weighting the surest photos weigh nothing: no accuracy there, and no area.
    assert np.isnan(risk_coverage(weighted).accuracy[1, :2]).all()


def test_equal_confidences_share_one_risk() -> None:
    counts = ranked_counts(np.full(4, 0.5), CORRECT, np.ones((1, 4)))
    assert aurc(counts).tolist() == [0.5]
