"""Intervals by resampling whole groups."""

from collections.abc import Mapping

import numpy as np
import pytest
from sklearn import metrics as reference

from cutis.metrics import bootstrap as module
from cutis.metrics.bootstrap import Floats, Resampling, bootstrap, resampled_weights
from cutis.metrics.ranking import auroc, ranked_counts
from cutis.metrics.scores import confusion_matrix, overall_scores, weighted_mean


def _explicit_rows(group_index: np.ndarray, settings: Resampling) -> list[np.ndarray]:
    """The photos of each resample, row by row, drawn the slow way."""
    groups = group_index.max() + 1
    members = [np.flatnonzero(group_index == group) for group in range(groups)]
    rng = np.random.default_rng(settings.seed)
    return [
        np.concatenate([members[group] for group in rng.integers(0, groups, groups)])
        for _ in range(settings.resamples)
    ]


def test_weights_give_what_explicit_resamples_give() -> None:
    rng = np.random.default_rng(0)
    photos, settings = 80, Resampling(resamples=40, seed=3)
    truth, groups = rng.integers(0, 3, photos), rng.integers(0, 30, photos)
    group_index = np.unique(groups, return_inverse=True)[1]
    scores = rng.random(photos) + 0.5 * (truth == 1)
    predicted = np.where(rng.random(photos) < 0.7, truth, 0)

    def statistic(weights: Floats) -> Mapping[str, Floats]:
        hard = overall_scores(confusion_matrix(truth, predicted, 3, weights))
        return {**hard, "auroc": auroc(ranked_counts(scores, truth == 1, weights))}

    found = bootstrap(statistic, group_index, settings)
    rows = _explicit_rows(group_index, settings)
    expected = {
        "auroc": [reference.roc_auc_score(truth[r] == 1, scores[r]) for r in rows],
        "balanced_accuracy": [
            reference.balanced_accuracy_score(truth[r], predicted[r]) for r in rows
        ],
        "f1_weighted": [
            reference.f1_score(truth[r], predicted[r], average="weighted") for r in rows
        ],
    }
    for name, values in expected.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert float(found[name].low) == pytest.approx(low), name
        assert float(found[name].high) == pytest.approx(high), name
    assert float(found["auroc"].value) == pytest.approx(reference.roc_auc_score(truth == 1, scores))


def test_draws_do_not_depend_on_the_size_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    group_index, settings = np.array([0, 0, 1, 2, 2, 3]), Resampling(resamples=23)
    whole = np.concatenate(list(resampled_weights(group_index, settings)))
    monkeypatch.setattr(module, "_CHUNK", 24)
    parts = list(resampled_weights(group_index, settings))
    assert len(parts) == 6
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_photos_of_one_group_are_drawn_together() -> None:
    group_index = np.array([0, 1, 0, 2, 1])
    weights = np.concatenate(list(resampled_weights(group_index, Resampling(resamples=50))))
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 4])
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_copies_in_one_group_do_not_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(4)
    right = (rng.random(100) < 0.7).astype(float)

    def width(values: np.ndarray, groups: np.ndarray) -> float:
        found = bootstrap(lambda w: {"x": weighted_mean(values, w)}, groups, Resampling())["x"]
        return float(found.high - found.low)

    single = width(right, np.arange(100))
    copied = np.repeat(right, 4)
    assert width(copied, np.repeat(np.arange(100), 4)) == pytest.approx(single)
    assert width(copied, np.arange(400)) < 0.6 * single


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        right = (rng.random(150) < 0.75).astype(float)
        found = bootstrap(
            lambda w, right=right: {"x": weighted_mean(right, w)},
            np.arange(150),
            Resampling(resamples=200),
        )["x"]
        covered += float(found.low) <= 0.75 <= float(found.high)
    assert 0.89 <= covered / 200 <= 0.99


def test_same_seed_same_interval_other_seed_another() -> None:
    right = np.arange(40) % 3 == 0

    def interval(seed: int) -> tuple[float, float]:
        found = bootstrap(
            lambda w: {"x": weighted_mean(right.astype(float), w)},
            np.arange(40),
            Resampling(seed=seed, resamples=100),
        )["x"]
        return float(found.low), float(found.high)

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_one_group_has_a_value_and_no_interval() -> None:
    found = bootstrap(
        lambda w: {"x": weighted_mean(np.ones(3), w)}, np.zeros(3, int), Resampling()
    )["x"]
    assert float(found.value) == 1
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_undefined_in_most_resamples_has_no_interval() -> None:
    # One group of many holds the only photo of diagnosis 1: it is missing in 37 % of resamples.
    truth = np.zeros(50, int)
    truth[0] = 1

    def recalls(weights: Floats) -> Mapping[str, Floats]:
        zero = np.where(weights[:, 0] > 0, 1.0, np.nan)
        often = np.where(weights[:, 0] > 1, 1.0, np.nan)
        return {"once": zero, "rare": np.where(len(weights) == 1, 1.0, often)}

    found = bootstrap(recalls, np.arange(50), Resampling())
    assert float(found["once"].defined) == pytest.approx(0.63, abs=0.05)
    assert float(found["once"].low) == 1
    assert np.isnan(found["rare"].low)
