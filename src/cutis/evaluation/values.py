"""Figures as they stand in metrics.json: a value, its interval, and why it may be missing."""

from typing import Any

import numpy as np

from cutis.metrics.bootstrap import Estimates, Floats, Resampling

NO_PROBABILITIES = "the table has no probabilities"
NO_INTERVAL = "no interval: fewer than two groups, or undefined in more than half of the resamples"


def figure(
    estimates: Estimates, index: int | None = None, *, reason: str | None = None
) -> dict[str, Any]:
    """One figure with its interval.

    Args:
        index: which of the estimates, where they are one for each diagnosis.
        reason: why it is undefined, if it is.
    """
    value, low, high = (
        _number(array if index is None else array[index])
        for array in (estimates.value, estimates.low, estimates.high)
    )
    if value is not None:
        reason = NO_INTERVAL if low is None else None
    return {"value": value, "low": low, "high": high, "reason": reason}


def undefined(reason: str) -> dict[str, Any]:
    """A figure that does not exist."""
    return {"value": None, "low": None, "high": None, "reason": reason}


def interval(settings: Resampling) -> dict[str, Any]:
    """How the intervals of all figures were made."""
    return {
        "method": "percentile bootstrap, whole groups drawn with replacement",
        "level": settings.level,
        "resamples": settings.resamples,
        "seed": settings.seed,
    }


def _number(value: Floats) -> float | None:
    return float(value) if np.isfinite(value) else None
