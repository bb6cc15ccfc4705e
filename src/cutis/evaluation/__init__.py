"""From a predictions table to metrics, figures and a report; no torch."""

from cutis.evaluation.context import EvaluationContext
from cutis.evaluation.evaluate import Report, evaluate_predictions
from cutis.evaluation.malignant import Side
from cutis.evaluation.table import read_predictions

__all__ = ["EvaluationContext", "Report", "Side", "evaluate_predictions", "read_predictions"]
