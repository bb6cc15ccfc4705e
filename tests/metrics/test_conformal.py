"""Conformal thresholds by hand, and the coverage that they promise on simulated photos."""

import time

import numpy as np
import pytest

from cutis.errors import InputError
from cutis.metrics.calibration import softmax
from cutis.metrics.conformal import (
    conformal_threshold,
    coverage_study,
    prediction_sets,
    set_thresholds,
)

SHARES = np.array([0.67, 0.11, 0.11, 0.05, 0.03, 0.015, 0.015])


def collection(
    groups: int, seed: int = 0, sharpness: float = 3.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, truths and groups of one to three photos that are hard or easy together."""
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(groups), rng.choice([1, 2, 3], groups, p=[0.7, 0.2, 0.1]))
    truth = rng.choice(SHARES.size, groups, p=SHARES)[index]
    logits = np.log(SHARES) + rng.normal(size=(groups, SHARES.size))[index]
    logits += 0.5 * rng.normal(size=logits.shape)
    logits[np.arange(index.size), truth] += sharpness
    return softmax(logits), truth, index


def test_the_threshold_of_single_photos_is_an_order_statistic() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1, 40) / 100)
    # ceil(40 * 0.95) = 38th largest of 39; ceil(40 * 0.9) = 36th.
    assert conformal_threshold(scores, np.arange(39)) == 0.02
    assert conformal_threshold(scores, np.arange(39), 0.9) == 0.04
    assert conformal_threshold(scores[:19], np.arange(19)) == scores[:19].min()
    assert conformal_threshold(scores[:18], np.arange(18)) == -np.inf


def test_a_group_counts_once_however_many_photos_it_has() -> None:
    # Four groups of 1, 1, 2 and 4 photos; half of 4 + 1 groups is 2.5.
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    groups = np.array([3, 7, 5, 5, 9, 9, 9, 9])
    # The mass reaches 1, 2, 2.5: the third photo. Counted by photo it would be the fifth.
    assert conformal_threshold(scores, groups, 0.5) == 0.7
    assert conformal_threshold(scores, np.arange(8), 0.5) == 0.5


def test_thresholds_by_diagnosis_and_pooled() -> None:
    # 39 groups of the first, 39 of the second, 2 of the third, which takes the next rarer in.
    truth = np.repeat([0, 1, 2], [40, 39, 2])
    own = np.concatenate([np.arange(40), 40 + np.arange(39), [1, 2]]) / 100
    probabilities = np.zeros((81, 3))
    probabilities[np.arange(81), truth] = own
    found = set_thresholds(probabilities, truth, np.arange(81))
    assert found.pooled.tolist() == [False, True, True]
    # ceil(41 * 0.95) = 39th of 40; ceil(42 * 0.95) = 40th of 41 pooled: 0.02 after 0.01.
    assert found.values.tolist() == [0.01, 0.02, 0.02]
    together = set_thresholds(probabilities, truth, np.arange(81), conditional=False)
    assert together.pooled.all()
    # ceil(82 * 0.95) = 78th of 81: the fourth from below of 0, 0.01, 0.01, 0.02, 0.02, 0.03.
    assert together.values.tolist() == [0.02] * 3


def test_one_lesion_is_no_more_calibration_for_its_many_photos() -> None:
    truth = np.repeat([0, 1], [100, 60])
    groups = np.concatenate([np.arange(100), 200 + np.arange(60) % 30])
    found = set_thresholds(np.full((160, 2), 0.5), truth, groups)
    assert found.pooled.all()
    alone = set_thresholds(np.full((160, 2), 0.5), truth, np.arange(160))
    assert not alone.pooled.any()


def test_sets_hold_what_reaches_its_threshold_and_may_be_empty() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    sets = prediction_sets(probabilities, np.array([0.15, 0.3, 0.8]))
    assert sets.tolist() == [[True, True, False], [True, True, False], [False, False, False]]


def test_coverage_by_lesion_and_by_diagnosis_on_new_groups() -> None:
    """Standard error over 60 draws of 1,500 groups a side: 0.001 over all, 0.005 by diagnosis."""
    covered, by_diagnosis, marginal = [], [], []
    for seed in range(60):
        probabilities, truth, groups = collection(3000, seed)
        first = groups < 1500
        found = set_thresholds(probabilities[first], truth[first], groups[first])
        assert not found.pooled[:4].any()
        hits = (probabilities >= found.values)[np.arange(truth.size), truth][~first]
        weights = 1 / np.bincount(groups)[groups][~first]
        covered.append(np.average(hits, weights=weights))
        by_diagnosis.append([hits[truth[~first] == k].mean() for k in range(4)])
        pooled = set_thresholds(
            probabilities[first], truth[first], groups[first], conditional=False
        )
        hits = (probabilities >= pooled.values)[np.arange(truth.size), truth][~first]
        marginal.append(hits[truth[~first] == 3].mean())
    assert 0.946 < np.mean(covered) < 0.956
    assert np.all(np.abs(np.mean(by_diagnosis, axis=0) - 0.955) < 0.015)
    # What class-conditional thresholds are for: a common one leaves the rarer diagnosis behind.
    assert np.mean(marginal) < 0.9


def test_counting_photos_instead_of_groups_breaks_the_promise() -> None:
    """Lesions with many photos are easy here, so by photo the threshold comes out too high."""
    by_group, by_photo = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sizes = rng.choice([1, 6], 200)
        groups = np.repeat(np.arange(200), sizes)
        scores = rng.normal(size=200)[groups] + (sizes[groups] == 6) * 2.0
        new_sizes = rng.choice([1, 6], 500)
        new = rng.normal(size=500) + (new_sizes == 6) * 2.0
        by_group.append((new >= conformal_threshold(scores, groups)).mean())
        by_photo.append((new >= conformal_threshold(scores, np.arange(scores.size))).mean())
    # Standard error over 200 repeats: 0.0013.
    assert 0.946 < np.mean(by_group) < 0.958
    assert np.mean(by_photo) < 0.90


@pytest.mark.parametrize("conditional", [True, False])
def test_the_study_finds_the_nominal_coverage(conditional: bool) -> None:
    probabilities, truth, groups = collection(1500)
    study = coverage_study(probabilities, truth, groups, conditional=conditional)
    assert study.coverage.shape == (100,)
    assert study.diagnosis_coverage.shape == (100, 7)
    assert 0.945 < study.coverage.mean() < 0.957
    assert 1 < study.set_size.mean() < 3
    again = coverage_study(probabilities, truth, groups, conditional=conditional)
    assert np.array_equal(study.coverage, again.coverage)


def test_the_study_by_hand() -> None:
    # All of one diagnosis and probability: every set is full and covers, whatever the split.
    study = coverage_study(
        np.full((60, 2), 0.5), np.zeros(60, np.intp), np.arange(60) // 2, splits=3
    )
    assert study.coverage.tolist() == study.photo_coverage.tolist() == [1.0] * 3
    assert study.set_size.tolist() == [2.0] * 3
    assert study.empty.tolist() == [0.0] * 3
    assert study.diagnosis_coverage[:, 0].tolist() == [1.0] * 3
    assert np.isnan(study.diagnosis_coverage[:, 1]).all()


def test_the_study_counts_a_lesion_once() -> None:
    # The 30 lesions with nine photos have sets of two, the 30 with one photo sets of one: a mean
    # size of about 1.5 by lesion, 1.9 by photo.
    groups = np.repeat(np.arange(60), np.tile([1, 9], 30))
    probabilities = np.ones((300, 2))
    probabilities[groups % 2 == 0, 1] = 0.0
    study = coverage_study(probabilities, np.zeros(300, np.intp), groups)
    assert 1.45 < study.set_size.mean() < 1.55


def test_no_lesion_stands_on_both_sides_of_a_split() -> None:
    # Lesions of 10 photos, each photo with its lesion's own probability: thresholds from the same
    # lesions would separate perfectly known values; from other lesions coverage stays nominal.
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(300), 10)
    own = rng.random(300)[groups]
    study = coverage_study(
        np.stack([own, 1 - own], axis=1), np.zeros(3000, np.intp), groups, conditional=False
    )
    # A judged lesion is covered with all its photos or with none: 60 lesions, so 60ths.
    assert np.allclose(study.coverage * 60, np.round(study.coverage * 60))
    assert 0.94 < study.coverage.mean() < 0.96


def test_ten_thousand_photos_take_a_moment() -> None:
    probabilities, truth, groups = collection(7000)
    start = time.perf_counter()
    prediction_sets(probabilities, set_thresholds(probabilities, truth, groups).values)
    assert time.perf_counter() - start < 0.5


ARRAYS = (np.full((30, 2), 0.5), np.zeros(30, np.intp), np.arange(30))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": 1.0}, "no coverage"),
        ({"level": 0.99}, "30 groups are too few(.|\n)*99 groups or more"),
        ({"truth_index": np.zeros(29, np.intp)}, "cannot be made"),
        ({"truth_index": np.full(30, 2)}, "none of the model's"),
        ({"truth_index": np.full(30, -1)}, "none of the model's"),
        ({"probabilities": np.full((30, 2), np.nan)}, "not finite"),
        ({"group_index": np.zeros(30, np.intp)}, "1 groups are too few(.|\n)*19 groups"),
    ],
)
def test_thresholds_refuse(changes: dict[str, object], message: str) -> None:
    names = ("probabilities", "truth_index", "group_index")
    arguments: dict = dict(zip(names, ARRAYS, strict=True)) | changes
    with pytest.raises(InputError, match=message):
        set_thresholds(**arguments)


def test_a_study_needs_groups_on_both_sides() -> None:
    with pytest.raises(InputError, match="cannot be split"):
        coverage_study(*ARRAYS, calibration_share=1.0)
