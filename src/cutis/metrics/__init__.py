"""Scores, calibration and intervals: pure functions on arrays, numpy and scipy only."""

from cutis.metrics.bootstrap import Estimates, Resampling
from cutis.metrics.calibration import fit_temperature, softmax

__all__ = ["Estimates", "Resampling", "fit_temperature", "softmax"]
