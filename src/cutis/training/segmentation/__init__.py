"""Training of segmenters: from a recipe and a catalog with masks to a run, and the run's masks."""

from cutis.training.segmentation.run import SegmenterRun, is_segmenter_run, load_segmenter_run
from cutis.training.segmentation.train import train_segmenter

__all__ = ["SegmenterRun", "is_segmenter_run", "load_segmenter_run", "train_segmenter"]
