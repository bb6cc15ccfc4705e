"""Runs side by side: their figures, their cost, and which differences hold."""

from cutis.studies.comparison.comparing import compare
from cutis.studies.comparison.record import Comparison, Entry, Published

__all__ = ["Comparison", "Entry", "Published", "compare"]
