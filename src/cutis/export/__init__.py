"""From trained networks to the bundle that deployment needs."""

from cutis.export.bundle import (
    ClassifierPart,
    ExportSummary,
    SegmenterPart,
    export_parts,
    export_run,
    runs_to_export,
)

__all__ = [
    "ClassifierPart",
    "ExportSummary",
    "SegmenterPart",
    "export_parts",
    "export_run",
    "runs_to_export",
]
