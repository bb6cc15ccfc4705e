"""How far raters agree beyond chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from cutis.metrics.bootstrap import Estimates, Floats, Resampling, bootstrap
from cutis.metrics.scores import ratio

Weighting = Literal["none", "linear", "quadratic"]
NOT_RATED = -1
"""In a table of ratings: this rater has not seen this case."""

_FEWEST = 2  # cases; the kappa of one is 0 or undefined, whatever the raters are worth


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
    reach = float(ndtri((1 + level) / 2)) * error
    return Kappa(value, error, max(value - reach, -1.0), min(value + reach, 1.0))


def _agreement(classes: int, weighting: Weighting) -> Floats:
    """(K, K) weights: 1 for the same answer, less the further two answers are apart."""
    if weighting == "none":
        return np.eye(classes)
    apart = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))) / (classes - 1)
    return np.asarray(1 - (apart if weighting == "linear" else apart**2))


Undefined = Literal["few_cases", "one_category"]
"""Why there is no kappa: fewer than two common cases, or all answers are one and the same."""


@dataclass(frozen=True)
class Agreement:
    """How far raters agree on the cases that at least two of them have rated.

    `undefined` is None where `kappa` has a value. An interval is NaN where it cannot be drawn, and
    has no width where all agree: then few cases look as sure as many.
    """

    cases: int  # rated by two raters at least
    pairs: int  # of two raters' answers to one case
    agreed: Estimates  # share of these pairs with one and the same answer
    kappa: Estimates
    undefined: Undefined | None


def rater_agreement(
    ratings: NDArray[np.intp], group_index: NDArray[np.intp], settings: Resampling
) -> Agreement:
    """Kappa of raters who each may have seen only some of the cases, unweighted.

    For two raters Cohen's kappa (Cohen 1960). For more, observed and expected agreement are each
    averaged over all pairs of raters, a pair counting by its common cases (De Vries et al. 2008,
    Field Methods 20:272); where everybody has seen every case that is Conger's kappa (1980,
    Psychological Bulletin 88:322). Each pair keeps its raters' own frequencies, so that doctors
    who saw other kinds of cases are not held to one common frequency, as Fleiss' kappa would do.
    The interval resamples groups.

    Args:
        ratings: (cases, raters) the category, numbered from 0, or NOT_RATED.
        group_index: (cases,) the group of each case, such as the patient's.
    """
    rated = ratings != NOT_RATED
    common = rated.sum(axis=1) >= 2
    ratings, groups = ratings[common], np.unique(group_index[common], return_inverse=True)[1]
    raters = range(ratings.shape[1])
    pairs = [_Pair.of(ratings[:, a], ratings[:, b]) for a, b in combinations(raters, 2)]
    used = [pair for pair in pairs if pair.both.any()]

    def statistic(weights: Floats) -> Mapping[str, Floats]:
        total = np.zeros(len(weights))
        observed, expected = total.copy(), total.copy()
        for pair in used:
            counted, alike, chance = pair.sums(weights)
            total, observed, expected = total + counted, observed + alike, expected + chance
        return {
            "agreed": ratio(observed, total),
            "kappa": ratio(observed - expected, total - expected),
        }

    found = bootstrap(statistic, groups, settings)
    undefined: Undefined | None = None
    if len(ratings) < _FEWEST:
        undefined = "few_cases"
    elif np.isnan(found["kappa"].value):
        undefined = "one_category"
    kappa = found["kappa"] if undefined is None else _no_estimate()
    counted = sum(int(pair.both.sum()) for pair in used)
    return Agreement(len(ratings), counted, found["agreed"], kappa, undefined)


@dataclass(frozen=True)
class _Pair:
    """Two raters' answers to the cases that both have seen."""

    both: NDArray[np.bool_]  # (cases,)
    alike: Floats  # (common cases,) 1 for the same answer
    first: Floats  # (common cases, categories) 1 for the answer given
    second: Floats

    @classmethod
    def of(cls, first: NDArray[np.intp], second: NDArray[np.intp]) -> "_Pair":
        both = (first != NOT_RATED) & (second != NOT_RATED)
        one, other = first[both], second[both]
        chosen = np.eye(int(max(one.max(initial=0), other.max(initial=0))) + 1)
        return cls(both, (one == other).astype(np.float64), chosen[one], chosen[other])

    def sums(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """(R,) each: the cases, those answered alike, and as many as chance alone gives."""
        counts = weights[:, self.both]
        total = counts.sum(axis=1)
        rows, columns = counts @ self.first, counts @ self.second
        chance = ratio((rows * columns).sum(axis=1), total)
        return total, counts @ self.alike, np.nan_to_num(chance)


def _no_estimate() -> Estimates:
    nothing = np.array(np.nan)
    return Estimates(nothing, nothing, nothing, np.array(0.0))
