"""From a trained network to the bundle that deployment needs."""

from cutis.export.bundle import ExportSummary, export_model, export_run

__all__ = ["ExportSummary", "export_model", "export_run"]
