"""A bundle's probabilities, fitted to a clinic's own photos; see docs/recalibration.md."""

from cutis.studies.recalibration.recalibrate import recalibrate
from cutis.studies.recalibration.record import RecalibrationStudy

__all__ = ["RecalibrationStudy", "recalibrate"]
