"""Networks that find the lesion in a photo."""

from cutis.models.segmentation.base import Segmenter
from cutis.models.segmentation.registry import SEGMENTERS, build_segmenter

__all__ = ["SEGMENTERS", "Segmenter", "build_segmenter"]
