"""Answers and lesion masks from a bundle: fast, in bounded memory, without torch."""

from cutis.runtime.answers import PhotoAnswer, answer_photo
from cutis.runtime.bundle import BundleInfo
from cutis.runtime.photos import find_photos
from cutis.runtime.predictor import Predictor
from cutis.runtime.segment_folder import SegmentSummary, segment_to_folder
from cutis.runtime.segmenter import Segmentation, Segmenter, segment_photos
from cutis.runtime.stream import predict_photos
from cutis.runtime.table import PredictionSummary, predict_to_file

__all__ = [
    "BundleInfo",
    "PhotoAnswer",
    "PredictionSummary",
    "Predictor",
    "SegmentSummary",
    "Segmentation",
    "Segmenter",
    "answer_photo",
    "find_photos",
    "predict_photos",
    "predict_to_file",
    "segment_photos",
    "segment_to_folder",
]
