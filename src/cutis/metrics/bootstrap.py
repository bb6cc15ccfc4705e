"""Percentile bootstrap intervals over whole groups (Efron and Tibshirani 1993, chapter 13).

Photos of one lesion or patient are not independent, so what is drawn with replacement are groups,
each with all its photos (the cluster bootstrap of Field and Welsh 2007). A resample is a row of
weights that says how often each photo counts; a statistic is computed for many rows at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Mapping[str, Floats]]
"""Weights (resamples, photos) to named values (resamples, …), NaN where undefined."""

_CHUNK = 1_000_000  # weights in memory at once; about 8 MB


@dataclass(frozen=True)
class Resampling:
    """How intervals are made; the same settings give the same interval."""

    resamples: int = 1000
    seed: int = 0
    level: float = 0.95


@dataclass(frozen=True)
class Estimates:
    """One statistic of the sample with its interval; scalars or arrays of one shape.

    `low` and `high` are NaN where the statistic is undefined in more than half of the resamples or
    there are fewer than two groups; `defined` is the share of resamples in which it is defined.
    """

    value: Floats
    low: Floats
    high: Floats
    defined: Floats


def bootstrap(
    statistic: Statistic, group_index: NDArray[np.intp], settings: Resampling
) -> dict[str, Estimates]:
    """Values of a statistic on the sample, and percentile intervals over resampled groups.

    Args:
        group_index: (photos,) the group of each photo, numbered from 0 without gaps.
    """
    sample = {
        name: np.asarray(values, np.float64)[0]
        for name, values in statistic(np.ones((1, group_index.size))).items()
    }
    drawn: dict[str, list[Floats]] = {name: [] for name in sample}
    for weights in resampled_weights(group_index, settings):
        for name, values in statistic(weights).items():
            drawn[name].append(np.asarray(values, np.float64))
    return {name: _summarise(sample[name], drawn[name], settings.level) for name in sample}


def resampled_weights(group_index: NDArray[np.intp], settings: Resampling) -> Iterator[Floats]:
    """Chunks (some resamples, photos) of how often each photo counts in a resample.

    Empty with fewer than two groups. The draws do not depend on the size of the chunks.
    """
    photos = group_index.size
    groups = int(group_index.max(initial=-1)) + 1
    if groups < 2:
        return
    rng = np.random.default_rng(settings.seed)
    chunk = max(1, _CHUNK // photos)
    for start in range(0, settings.resamples, chunk):
        rows = min(chunk, settings.resamples - start)
        drawn = rng.integers(0, groups, size=(rows, groups))
        drawn += np.arange(rows)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)
        yield counts[:, group_index].astype(np.float64)


def _summarise(value: Floats, chunks: list[Floats], level: float) -> Estimates:
    if not chunks:
        nothing = np.full(value.shape, np.nan)
        return Estimates(value, nothing, nothing, np.zeros(value.shape))
    draws = np.concatenate(chunks)
    known = np.isfinite(draws)
    defined = known.mean(axis=0)
    # Percentiles need a number in every column; the undefined columns are blanked below.
    filled = np.where(defined > 0, draws, 0.0)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.nanquantile(filled, tails, axis=0)
    usable = (defined > 0.5) & np.isfinite(value)
    return Estimates(value, np.where(usable, low, np.nan), np.where(usable, high, np.nan), defined)
