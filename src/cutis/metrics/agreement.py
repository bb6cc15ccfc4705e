"""How far two raters agree beyond chance."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from cutis.metrics.bootstrap import Floats

Weighting = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa: 1 for full agreement, 0 for as much as chance gives; NaN if undefined."""

    value: float
    standard_error: float
    low: float
    high: float


def cohen_kappa(counts: Floats, weighting: Weighting = "none", level: float = 0.95) -> Kappa:
    """Agreement of two raters corrected for chance, with its large-sample normal interval.

    Cohen (1960) and, weighted, Cohen (1968); standard error of Fleiss, Cohen and Everitt (1969,
    equation 13). Linear and quadratic weights make answers of a scale count by their distance;
    diagnoses are no scale. Undefined where both raters gave one and the same answer throughout.

    Args:
        counts: (K, K) photos by the first rater's answer (rows) and the second's (columns).
    """
    shares = np.asarray(counts, np.float64) / np.sum(counts)
    weights = _agreement(len(shares), weighting)
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed = float((weights * shares).sum())
    expected = float(rows @ weights @ columns)
    if expected >= 1:
        return Kappa(np.nan, np.nan, np.nan, np.nan)
    value = (observed - expected) / (1 - expected)
    means = (weights @ columns)[:, None] + (rows @ weights)[None, :]
    spread = (shares * (weights - means * (1 - value)) ** 2).sum()
    spread -= (value - expected * (1 - value)) ** 2
    error = float(np.sqrt(max(spread, 0.0) / np.sum(counts)) / (1 - expected))
    reach = float(stats.norm.ppf((1 + level) / 2)) * error
    return Kappa(value, error, max(value - reach, -1.0), min(value + reach, 1.0))


def _agreement(classes: int, weighting: Weighting) -> Floats:
    """(K, K) weights: 1 for the same answer, less the further two answers are apart."""
    if weighting == "none":
        return np.eye(classes)
    apart = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))) / (classes - 1)
    return np.asarray(1 - (apart if weighting == "linear" else apart**2))
