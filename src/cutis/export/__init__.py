"""From trained networks to the bundle that deployment needs."""

from cutis.export.bundle import ExportSummary, export_parts, export_run, runs_to_export
from cutis.export.candidates import NETWORKS, ClassifierPart, SegmenterPart

__all__ = [
    "NETWORKS",
    "ClassifierPart",
    "ExportSummary",
    "SegmenterPart",
    "export_parts",
    "export_run",
    "runs_to_export",
]
