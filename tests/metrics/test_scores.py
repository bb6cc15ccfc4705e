"""Scores of hard answers against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from cutis.metrics.scores import class_scores, confusion_matrix, defined_mean, overall_scores

CLASSES = 4


def _draw(seed: int, photos: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, photos)
    predicted = np.where(rng.random(photos) < 0.6, truth, rng.integers(0, CLASSES, photos))
    return truth, predicted, rng.integers(0, 3, (5, photos)).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_overall_scores_equal_scikit_learn(seed: int) -> None:
    truth, predicted, weights = _draw(seed)
    found = overall_scores(confusion_matrix(truth, predicted, CLASSES, weights))
    for row, weight in enumerate(weights):
        shown = np.unique(truth[weight > 0])
        macro, weighted = (
            reference.precision_recall_fscore_support(
                truth, predicted, labels=shown, average=average, sample_weight=weight,
                zero_division=0,
            )[:3]
            for average in ("macro", "weighted")
        )  # fmt: skip
        expected = {
            "accuracy": reference.accuracy_score(truth, predicted, sample_weight=weight),
            "balanced_accuracy": macro[1],
            "precision_macro": macro[0],
            "recall_macro": macro[1],
            "f1_macro": macro[2],
            "precision_weighted": weighted[0],
            "recall_weighted": weighted[1],
            "f1_weighted": weighted[2],
        }
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


def test_balanced_accuracy_equals_scikit_learn() -> None:
    truth, predicted, _ = _draw(11)
    ones = np.ones((1, truth.size))
    found = overall_scores(confusion_matrix(truth, predicted, CLASSES, ones))
    expected = reference.balanced_accuracy_score(truth, predicted)
    assert found["balanced_accuracy"][0] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_class_scores_equal_scikit_learn(seed: int) -> None:
    truth, predicted, weights = _draw(seed)
    found = class_scores(confusion_matrix(truth, predicted, CLASSES, weights))
    for row, weight in enumerate(weights):
        precision, recall, f1, _ = reference.precision_recall_fscore_support(
            truth, predicted, labels=range(CLASSES), sample_weight=weight, zero_division=np.nan
        )
        np.testing.assert_allclose(found["sensitivity"][row], recall)
        np.testing.assert_allclose(found["precision"][row], precision)
        np.testing.assert_allclose(found["f1"][row], f1)
        others = [
            reference.recall_score(truth != k, predicted != k, sample_weight=weight)
            for k in range(CLASSES)
        ]
        np.testing.assert_allclose(found["specificity"][row], others)


def test_confusion_matrix_has_truth_in_rows() -> None:
    truth, predicted = np.array([0, 0, 1]), np.array([1, 0, 1])
    found = confusion_matrix(truth, predicted, 2, np.array([[1.0, 2.0, 3.0]]))
    assert found.tolist() == [[[2.0, 1.0], [0.0, 3.0]]]


def test_a_diagnosis_without_a_photo_is_undefined_and_leaves_the_macro_scores() -> None:
    truth, predicted = np.array([0, 0, 1]), np.array([0, 2, 1])
    confusion = confusion_matrix(truth, predicted, 3, np.ones((1, 3)))
    scores = class_scores(confusion)
    for name in ("sensitivity", "precision", "f1"):
        assert np.isnan(scores[name][0, 2])
    assert scores["specificity"][0, 2] == pytest.approx(2 / 3)
    assert overall_scores(confusion)["balanced_accuracy"][0] == pytest.approx(0.75)


def test_a_diagnosis_never_answered_has_no_precision_but_costs_macro_precision() -> None:
    truth, predicted = np.array([0, 0, 1]), np.array([0, 0, 0])
    confusion = confusion_matrix(truth, predicted, 2, np.ones((1, 3)))
    assert np.isnan(class_scores(confusion)["precision"][0, 1])
    assert class_scores(confusion)["f1"][0, 1] == 0
    assert overall_scores(confusion)["precision_macro"][0] == pytest.approx(1 / 3)


def test_all_photos_of_one_diagnosis_leave_specificity_undefined() -> None:
    confusion = confusion_matrix(np.zeros(3, int), np.array([0, 1, 0]), 2, np.ones((1, 3)))
    assert np.isnan(class_scores(confusion)["specificity"][0, 0])


def test_no_weight_at_all_is_undefined() -> None:
    confusion = confusion_matrix(np.array([0, 1]), np.array([0, 1]), 2, np.zeros((1, 2)))
    assert all(np.isnan(values[0]) for values in overall_scores(confusion).values())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(CLASSES)))
def test_scores_do_not_depend_on_order_numbering_or_scale(seed: int, numbers: list[int]) -> None:
    truth, predicted, weights = _draw(seed, 30)
    renamed = np.array(numbers)
    order = np.random.default_rng(seed).permutation(30)
    once = overall_scores(confusion_matrix(truth, predicted, CLASSES, weights))
    again = overall_scores(
        confusion_matrix(
            renamed[truth][order], renamed[predicted][order], CLASSES, 7 * weights[:, order]
        )
    )
    for name, values in once.items():
        np.testing.assert_allclose(again[name], values)


def test_defined_mean_skips_nan() -> None:
    assert defined_mean(np.array([[1.0, np.nan, 3.0]]))[0] == 2
    assert np.isnan(defined_mean(np.array([[np.nan, np.nan]]))[0])
