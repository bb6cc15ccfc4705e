"""What a model gains by answering only where it is sure: accuracy against the share answered.

Both are functions of `ranking.ranked_counts(confidence, correct, weights)`: a photo is answered
when its confidence is at or above the threshold. Shapes: R weightings, T thresholds.
"""

from dataclasses import dataclass

import numpy as np

from cutis.metrics.bootstrap import Floats
from cutis.metrics.ranking import RankedCounts
from cutis.metrics.scores import ratio


@dataclass(frozen=True)
class RiskCoverage:
    """The curve, from the surest photos to all."""

    thresholds: Floats  # (T,) falling
    coverage: Floats  # (R, T) share of photos answered
    accuracy: Floats  # (R, T) among these; NaN where they weigh nothing


def risk_coverage(counts: RankedCounts) -> RiskCoverage:
    """Accuracy of the answered photos at every share (El-Yaniv and Wiener 2010, section 2)."""
    answered = counts.true_positives + counts.false_positives
    return RiskCoverage(
        counts.thresholds, ratio(answered, answered[:, -1:]), ratio(counts.true_positives, answered)
    )


def aurc(counts: RankedCounts) -> Floats:
    """(R,) area under risk (1 - accuracy) against coverage (Geifman, Uziel and El-Yaniv 2019).

    Lower is better; 0 for a model without mistakes. A mean over photos of the risk among those
    that are at least as sure, so equal confidences share one risk.
    """
    curve = risk_coverage(counts)
    widths = np.diff(curve.coverage, axis=1, prepend=0.0)
    return np.asarray((widths * np.nan_to_num(1 - curve.accuracy)).sum(axis=1))
