"""From predicted and true masks to metrics, figures and a report; no torch."""

from cutis.evaluation.segmentation.evaluate import (
    SegmentationReport,
    evaluate_masks,
    write_report,
)
from cutis.evaluation.segmentation.scoring import Pair, ScoredMasks, score_pairs

__all__ = [
    "Pair",
    "ScoredMasks",
    "SegmentationReport",
    "evaluate_masks",
    "score_pairs",
    "write_report",
]
