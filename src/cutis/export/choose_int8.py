"""The calibration method whose int8 network answers most like the fp32 one."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cutis.errors import InputError
from cutis.export.quantize import METHODS, write_int8
from cutis.metrics import softmax
from cutis.metrics.segmentation import PixelCounts, overlap_scores
from cutis.records import ModelInfo, Record, SegmenterInfo
from cutis.runtime.network import Network
from cutis.storage import write_file


class Int8Candidate(Record):
    """An int8 network against the fp32 one, on the validation photos."""

    method: str
    agreement: float | None = None  # share of photos with the same first answer; classifiers
    mean_jaccard: float | None = None  # of both masks, over photos; segmenters
    mean_probability_difference: float  # absolute, over photos and diagnoses or pixels

    @property
    def likeness(self) -> float:
        """The agreement of a classifier, the mean Jaccard of a segmenter."""
        found = self.agreement if self.mean_jaccard is None else self.mean_jaccard
        return 0.0 if found is None else found


class ChosenInt8(Record):
    """What was tried and what was taken."""

    method: str
    calibration_photos: int
    validation_photos: int
    candidates: tuple[Int8Candidate, ...]

    @property
    def chosen(self) -> Int8Candidate:
        """The candidate that was taken."""
        return next(one for one in self.candidates if one.method == self.method)

    @property
    def best(self) -> float:
        """The likeness of the candidate that was taken."""
        return self.chosen.likeness


def choose_int8(
    fp32: Path,
    calibration: NDArray[np.uint8],
    validation: NDArray[np.uint8],
    info: ModelInfo | SegmenterInfo,
    path: Path,
    *,
    reference: Path | None = None,
    methods: Sequence[str] = METHODS,
) -> ChosenInt8:
    """Writes the int8 form of an fp32 file by the method that changes its answers least.

    The best is the one with the highest agreement (a segmenter's: the highest mean Jaccard), of
    equals the one with the smallest difference of probability.

    Args:
        calibration: (photos, size, size, 3 or 4) of the training part; see `write_int8`.
        validation: other photos likewise, on which the choice is made.
        reference: the fp32 file to agree with, where it is another than the one that is quantised,
            as after `fine_tune_int8`.

    Raises InputError without validation photos, and as `write_int8` does.
    """
    if len(validation) == 0:
        raise InputError(
            "there are no validation photos to choose an int8 network on",
            expected="at least one, better some hundreds, that the ranges were not measured on",
            fix="give the catalog that the run was trained on",
        )
    settings = info.preprocessing
    expected = Network((reference or fp32).read_bytes(), settings).logits(validation)
    with TemporaryDirectory() as folder:
        files = {method: Path(folder) / f"{method}.onnx" for method in methods}
        candidates = []
        for method, file in files.items():
            write_int8(fp32, calibration, settings, file, method=method)
            logits = Network(file.read_bytes(), settings).logits(validation)
            candidates.append(_compared(method, logits, expected, info))
        best = max(candidates, key=lambda one: (one.likeness, -one.mean_probability_difference))
        write_file(path, files[best.method].read_bytes())
    return ChosenInt8(
        method=best.method,
        calibration_photos=len(calibration),
        validation_photos=len(validation),
        candidates=tuple(candidates),
    )


def _compared(
    method: str,
    logits: NDArray[np.float32],
    expected: NDArray[np.float32],
    info: ModelInfo | SegmenterInfo,
) -> Int8Candidate:
    if isinstance(info, ModelInfo):
        first, second = (
            softmax(values.astype(np.float64), info.temperature) for values in (logits, expected)
        )
        return Int8Candidate(
            method=method,
            agreement=float((logits.argmax(axis=1) == expected.argmax(axis=1)).mean()),
            mean_probability_difference=float(np.abs(first - second).mean()),
        )
    ours, theirs = expit(logits), expit(expected)
    return Int8Candidate(
        method=method,
        mean_jaccard=_mean_jaccard(ours >= info.threshold, theirs >= info.threshold),
        mean_probability_difference=float(np.abs(ours - theirs).mean()),
    )


def _mean_jaccard(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Over photos, of masks (photos, 1, size, size)."""
    parts = (ours & theirs, ours & ~theirs, ~ours & theirs, ~ours & ~theirs)
    counts = PixelCounts(*(part.sum(axis=(1, 2, 3)).astype(np.float64) for part in parts))
    return float(overlap_scores(counts)["jaccard"].mean())
