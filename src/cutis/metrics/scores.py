"""Scores of hard answers, from confusion matrices of many weightings at once.

Shapes: R weightings, N photos, K diagnoses. Undefined values are NaN, never 0.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cutis.metrics.bootstrap import Floats


def confusion_matrix(
    truth_index: NDArray[np.intp], predicted_index: NDArray[np.intp], classes: int, weights: Floats
) -> Floats:
    """(R, K, K) weighted counts: rows are the truth, columns the answer.

    Args:
        truth_index: (N,) in 0 … classes - 1.
        predicted_index: (N,) likewise.
        weights: (R, N).
    """
    photos = truth_index.size
    cell = truth_index * classes + predicted_index
    one_hot = sparse.csr_array(
        (np.ones(photos), (cell, np.arange(photos))), shape=(classes * classes, photos)
    )
    cells = np.asarray(one_hot @ weights.T)
    return cells.T.reshape(-1, classes, classes)


def class_scores(confusion: Floats) -> Mapping[str, Floats]:
    """Sensitivity, specificity, precision and F1 of each diagnosis against the rest, (R, K) each.

    Sensitivity, precision and F1 are NaN for a diagnosis without a photo; precision is NaN also
    for one that was never answered; specificity is NaN where all photos are of the diagnosis.
    """
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    support = confusion.sum(axis=2)
    answered = confusion.sum(axis=1)
    total = support.sum(axis=1, keepdims=True)
    present = support > 0
    others = total - support
    return {
        "sensitivity": ratio(hits, support),
        "specificity": ratio(others - (answered - hits), others),
        "precision": np.where(present, ratio(hits, answered), np.nan),
        "f1": np.where(present, ratio(2 * hits, support + answered), np.nan),
    }


def overall_scores(confusion: Floats) -> Mapping[str, Floats]:
    """Accuracy, balanced accuracy, macro and weighted averages, (R,) each.

    Averages run over the diagnoses that have a photo. One of them that was never answered enters
    with precision 0, as in scikit-learn (`zero_division=0`): left out, ignoring rare diagnoses
    would pay. Balanced accuracy is the macro recall, and accuracy the weighted one.
    """
    support = confusion.sum(axis=2)
    scores = class_scores(confusion)
    precision = np.where(support > 0, np.nan_to_num(scores["precision"]), np.nan)
    hits = np.trace(confusion, axis1=1, axis2=2)
    return {
        "accuracy": ratio(hits, support.sum(axis=1)),
        "balanced_accuracy": defined_mean(scores["sensitivity"]),
        "precision_macro": defined_mean(precision),
        "recall_macro": defined_mean(scores["sensitivity"]),
        "f1_macro": defined_mean(scores["f1"]),
        "precision_weighted": defined_mean(precision, support),
        "recall_weighted": defined_mean(scores["sensitivity"], support),
        "f1_weighted": defined_mean(scores["f1"], support),
    }


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Element by element, NaN where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    undefined = np.full(shape, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator > 0))


def defined_mean(values: Floats, weights: Floats | None = None) -> Floats:
    """Mean over the last axis of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    counted = known.astype(np.float64) if weights is None else known * weights
    return ratio((np.where(known, values, 0.0) * counted).sum(axis=-1), counted.sum(axis=-1))


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """(R,) means of per-photo values (N,) under weights (R, N)."""
    return ratio(weights @ values, weights.sum(axis=1))
