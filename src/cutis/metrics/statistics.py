"""Tests between two classifiers on the same photos, and the test that papers run on epochs.

What each asks, when it holds and when it does not: docs/statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cutis.errors import InputError
from cutis.metrics.bootstrap import Estimates, Floats, Resampling, Statistic, bootstrap
from cutis.metrics.scores import weighted_mean


@dataclass(frozen=True)
class EpochTest:
    """A paired t-test on epochs; `gain` is the mean over the epochs of second less first."""

    pairs: int
    t: float
    p_value: float
    gain: Estimates  # with its percentile bootstrap interval over the epochs


def epoch_t_test(
    first: Sequence[float], second: Sequence[float], settings: Resampling | None = None
) -> EpochTest:
    """The paired t-test of published work on figures by epoch, second less first, two-sided.

    Epochs of one run are not independent samples: each starts from the weights of the one before,
    and a single run says nothing about the next. The p-value therefore does not hold, and this
    function is here to reproduce published tests only.

    Args:
        first: a figure of each epoch of one stage.
        second: the same of another stage; epochs are paired by their place.

    InputError for stages of different lengths, or fewer than two pairs.
    """
    gains = _epoch_gains(first, second)
    spread = gains.std(ddof=1) / np.sqrt(gains.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = float(gains.mean() / spread)  # equal gains have no spread: infinite, or NaN for none
    gain = bootstrap(
        lambda weights: {"gain": weighted_mean(gains, weights)},
        np.arange(gains.size),
        settings or Resampling(),
    )["gain"]
    return EpochTest(gains.size, t, float(2 * stats.t.sf(abs(t), gains.size - 1)), gain)


def _epoch_gains(first: Sequence[float], second: Sequence[float]) -> Floats:
    if len(first) != len(second) or len(first) < 2:
        raise InputError(
            "these epochs cannot be paired",
            expected=f"two stages of equally many epochs, two at least, not {len(first)} and "
            f"{len(second)}",
        )
    return np.asarray(second, np.float64) - np.asarray(first, np.float64)


@dataclass(frozen=True)
class McNemar:
    """Two-sided p-values of McNemar's test, from the photos on which only one was right."""

    only_first: int
    only_second: int
    exact: float
    mid_p: float


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> McNemar:
    """Whether two classifiers are right equally often on the same photos.

    Exact conditional test, and its mid-p version, which is less conservative (Fagerland, Lydersen
    and Laake 2013, equations 3 and 4). Both take the photos as independent.

    Args:
        first_right: (photos,) whether the first classifier's answer is the truth.
        second_right: likewise.
    """
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    fewer, both = min(only_first, only_second), only_first + only_second
    tail = 2 * float(stats.binom.cdf(fewer, both, 0.5))
    point = float(stats.binom.pmf(fewer, both, 0.5))
    if both == 0:  # the formula gives 0.5 where nothing tells the two apart
        return McNemar(0, 0, 1.0, 1.0)
    if only_first == only_second:
        return McNemar(only_first, only_second, 1.0, 1 - point / 2)
    return McNemar(only_first, only_second, tail, tail - point)


def paired_bootstrap(
    first: Statistic, second: Statistic, group_index: NDArray[np.intp], settings: Resampling
) -> dict[str, Estimates]:
    """Second less first of every score that both give, with intervals over resampled groups.

    Both are judged on the same resamples, so what the photos have in common drops out.

    Args:
        group_index: (photos,) the group of each photo, numbered from 0 without gaps.
    """

    def differences(weights: Floats) -> dict[str, Floats]:
        before, after = first(weights), second(weights)
        return {name: after[name] - before[name] for name in before if name in after}

    return bootstrap(differences, group_index, settings)


def holm(p_values: Sequence[float]) -> Floats:
    """P-values corrected for their number by Holm's step-down method (Holm 1979), in their order.

    Where each is compared with 0.05, the chance of any false alarm among them is at most 5 %,
    whatever they have to do with each other.
    """
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given)
    stepped = given[order] * np.arange(given.size, 0, -1)
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return corrected


@dataclass(frozen=True)
class Areas:
    """Areas under the ROC curves of several scores on the same photos, and their covariance."""

    values: Floats  # (scores,)
    covariance: Floats  # (scores, scores)

    def interval(self, index: int = 0, level: float = 0.95) -> tuple[float, float]:
        """The normal interval of one area, cut at 0 and 1."""
        return _normal_interval(self.values[index], self.covariance[index, index], level, 0.0)


@dataclass(frozen=True)
class AreaTest:
    """DeLong's test; `difference` is the second area less the first."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    z: float
    p_value: float


def delong(scores: Floats, positive: NDArray[np.bool_]) -> Areas:
    """Areas under ROC curves and their covariance (DeLong, DeLong and Clarke-Pearson 1988).

    Computed from ranks as Sun and Xu (2014) show, in n log n.

    Args:
        scores: (scores, photos); higher means more likely positive, equal scores count half.
        positive: (photos,) the truth.

    InputError with fewer than two photos on either side.
    """
    scores = np.atleast_2d(np.asarray(scores, np.float64))
    ill, well = scores[:, positive], scores[:, ~positive]
    many, others = ill.shape[1], well.shape[1]
    if min(many, others) < 2:
        raise InputError(
            "DeLong's variance needs two photos on either side",
            expected=f"not {many} positive and {others} negative",
        )
    ranks = stats.rankdata(np.concatenate([ill, well], axis=1), axis=1)
    # For each photo, the share of the other side that it outranks: eq. 5 of Sun and Xu.
    above = (ranks[:, :many] - stats.rankdata(ill, axis=1)) / others
    below = 1 - (ranks[:, many:] - stats.rankdata(well, axis=1)) / many
    covariance = np.atleast_2d(np.cov(above)) / many + np.atleast_2d(np.cov(below)) / others
    return Areas(above.mean(axis=1), covariance)


def delong_test(
    first: Floats, second: Floats, positive: NDArray[np.bool_], level: float = 0.95
) -> AreaTest:
    """Whether two scores of the same photos have the same area under the ROC curve, two-sided.

    Takes the photos as independent. Scores that rank all photos alike have p-value 1. Arguments
    and errors as in `delong`.
    """
    areas = delong(np.stack([first, second]), positive)
    difference = float(areas.values[1] - areas.values[0])
    variance = float(np.array([-1, 1]) @ areas.covariance @ np.array([-1, 1]))
    low, high = _normal_interval(difference, variance, level, -1.0)
    error = float(np.sqrt(max(variance, 0.0)))
    z = difference / error if error > 0 else np.copysign(np.inf, difference) if difference else 0.0
    return AreaTest(
        float(areas.values[0]),
        float(areas.values[1]),
        difference,
        low,
        high,
        float(z),
        float(2 * stats.norm.sf(abs(z))),
    )


def _normal_interval(
    value: float, variance: float, level: float, least: float
) -> tuple[float, float]:
    reach = float(stats.norm.ppf((1 + level) / 2) * np.sqrt(max(variance, 0.0)))
    return max(value - reach, least), min(value + reach, 1.0)
