"""Scores of a ranking: ROC and precision-recall curves, their areas, and operating points.

Shapes: R weightings, N photos, T distinct scores. A photo is called positive when its score is at
or above the threshold, so equal scores always go together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutis.metrics.bootstrap import Floats
from cutis.metrics.scores import ratio


@dataclass(frozen=True)
class RankedCounts:
    """Weighted counts of true and false positives at each threshold, the strictest first."""

    thresholds: Floats  # (T,) falling
    true_positives: Floats  # (R, T)
    false_positives: Floats  # (R, T)

    @property
    def positives(self) -> Floats:
        """(R, 1) weight of the positive photos."""
        return self.true_positives[:, -1:]

    @property
    def negatives(self) -> Floats:
        """(R, 1) weight of the negative photos."""
        return self.false_positives[:, -1:]


def ranked_counts(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> RankedCounts:
    """Counts at every threshold.

    Args:
        scores: (N,) higher means more likely positive; at least one.
        positive: (N,) the truth.
        weights: (R, N).
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    in_order = weights[:, order]
    true = np.cumsum(in_order * positive[order], axis=1)[:, last_of_ties]
    both = np.cumsum(in_order, axis=1)[:, last_of_ties]
    return RankedCounts(ranked[last_of_ties], true, both - true)


def auroc(counts: RankedCounts) -> Floats:
    """(R,) area under the ROC curve by trapezoids: ties count half (Hanley and McNeil 1982).

    NaN where there are no positive or no negative photos.
    """
    steps = np.diff(counts.true_positives, axis=1, prepend=0.0)
    widths = np.diff(counts.false_positives, axis=1, prepend=0.0)
    area = np.einsum("rt,rt->r", widths, counts.true_positives - steps / 2)
    return ratio(area, (counts.positives * counts.negatives)[:, 0])


def average_precision(counts: RankedCounts) -> Floats:
    """(R,) sum of precision times the step in recall, without interpolation.

    NaN where there are no positive photos.
    """
    answered = counts.true_positives + counts.false_positives
    precision = counts.true_positives / np.maximum(answered, np.finfo(float).tiny)
    steps = np.diff(counts.true_positives, axis=1, prepend=0.0)
    return ratio(np.einsum("rt,rt->r", steps, precision), counts.positives[:, 0])


def sensitivity_at_specificity(counts: RankedCounts, specificity: float) -> Floats:
    """(R,) highest sensitivity of any threshold whose specificity is at least the given one.

    Only thresholds that exist are taken, nothing is interpolated; 0 where none qualifies.
    """
    index = strictest_index(counts, specificity)
    found = np.take_along_axis(counts.true_positives, np.maximum(index, 0)[:, None], axis=1)[:, 0]
    undefined = counts.negatives[:, 0] == 0
    sensitivity = ratio(np.where(index >= 0, found, 0.0), counts.positives[:, 0])
    return np.where(undefined, np.nan, sensitivity)


def specificity_at_sensitivity(counts: RankedCounts, sensitivity: float) -> Floats:
    """(R,) highest specificity of any threshold whose sensitivity is at least the given one."""
    index = laxest_index(counts, sensitivity)
    found = np.take_along_axis(counts.false_positives, index[:, None], axis=1)
    specificity = ratio(counts.negatives - found, counts.negatives)[:, 0]
    return np.where(counts.positives[:, 0] == 0, np.nan, specificity)


def strictest_index(counts: RankedCounts, specificity: float) -> NDArray[np.intp]:
    """(R,) last threshold that keeps the specificity; -1 where none does."""
    allowed = (1 - specificity) * counts.negatives
    kept = counts.false_positives <= allowed + _slack(counts.negatives)
    return np.asarray(kept.sum(axis=1) - 1, np.intp)


def laxest_index(counts: RankedCounts, sensitivity: float) -> NDArray[np.intp]:
    """(R,) first threshold that reaches the sensitivity."""
    needed = sensitivity * counts.positives
    reached = counts.true_positives >= needed - _slack(counts.positives)
    return np.asarray(np.argmax(reached, axis=1), np.intp)


def _slack(total: Floats) -> Floats:
    # 0.1 * 30 is a little more than 3: a count must not fail its own limit by rounding.
    return total * 1e-9
