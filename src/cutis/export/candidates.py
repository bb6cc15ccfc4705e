"""The files that an export tries: each kind of network of a run, before any is compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cutis.data.batches import photo_batches
from cutis.errors import InputError
from cutis.export.choose_int8 import Int8Candidate, choose_int8
from cutis.export.fine_tuning import fine_tune_int8
from cutis.export.onnx import write_onnx
from cutis.export.parity import INT8_MASK_JACCARD, LARGEST_MEAN_DIFFERENCE, LEAST_AGREEMENT
from cutis.export.photos import ExportPhotos
from cutis.lesion import channels
from cutis.records import ModelInfo, SegmenterInfo
from cutis.runtime.bundle import MODEL_FILES, SEGMENTER_FILES
from cutis.training.lesion_masks import lesion_batches
from cutis.training.segmentation import SegmenterRun

NETWORKS = ("fp32", "int8", "tflite")
"""What a bundle may hold of a classifier; of a segmenter the first two."""


@dataclass(frozen=True)
class ClassifierPart:
    """A classifier to export.

    Attributes:
        module: in evaluation mode; normalised photos to logits (batch, diagnoses).
        info: its record.
        segmenter: draws the lesion for it; None where it looks at the whole photo.
    """

    module: nn.Module
    info: ModelInfo
    segmenter: SegmenterRun | None = None


@dataclass(frozen=True)
class SegmenterPart:
    """A segmenter to export.

    Attributes:
        module: in evaluation mode; normalised photos to logits (batch, 1, size, size).
        info: its record.
    """

    module: nn.Module
    info: SegmenterInfo


@dataclass
class Making:
    """How the int8 files came about, by file name."""

    methods: dict[str, str] = field(default_factory=dict)
    fine_tuned: list[str] = field(default_factory=list)


def write_candidates(
    part: ClassifierPart | SegmenterPart,
    photos: ExportPhotos,
    networks: Sequence[str],
    folder: Path,
    making: Making,
) -> None:
    """Writes the fp32 file of a network, with which all begins, and the others asked for.

    Where the int8 network falls short of the limits on validation photos, the weights are adapted
    to int8 on training photos, and what is nearer to the run is taken.

    Raises InputError for an operator that ONNX, or LiteRT, lacks.
    """
    files = MODEL_FILES if isinstance(part, ClassifierPart) else SEGMENTER_FILES
    settings = part.info.preprocessing
    fp32 = folder / files["fp32"]
    write_onnx(part.module, settings.size, fp32, channels=channels(settings))
    if set(networks) <= {"fp32"}:
        return
    read = _reader(part)
    calibration = read(photos.calibration, "reading calibration photos")
    if "int8" in networks:
        _write_int8(part, photos, calibration, read, folder / files["int8"], making)
    if "tflite" in networks and isinstance(part, ClassifierPart):
        from cutis.export.litert import write_tflite

        write_tflite(part.module, calibration, settings, folder / files["tflite"])


Read = Callable[[Sequence[Path], str], NDArray[np.uint8]]


def _reader(part: ClassifierPart | SegmenterPart) -> Read:
    """Reads photos as the network takes them, (photos, size, size, 3 or 4) uint8."""
    settings = part.info.preprocessing
    segmenter = part.segmenter if isinstance(part, ClassifierPart) else None

    def read(photos: Sequence[Path], doing: str) -> NDArray[np.uint8]:
        if segmenter is None:
            batches = photo_batches(photos, settings, doing)
        else:
            batches = lesion_batches(photos, settings, segmenter, doing)
        return np.concatenate(list(batches))

    return read


def _write_int8(
    part: ClassifierPart | SegmenterPart,
    photos: ExportPhotos,
    calibration: NDArray[np.uint8],
    read: Read,
    int8: Path,
    making: Making,
) -> None:
    settings = part.info.preprocessing
    fp32 = int8.with_name(
        (MODEL_FILES if isinstance(part, ClassifierPart) else SEGMENTER_FILES)["fp32"]
    )
    choice = read(photos.choice, "reading validation photos")
    chosen = choose_int8(fp32, calibration, choice, part.info, int8)
    making.methods[int8.name] = chosen.method
    lost = not np.isfinite(chosen.chosen.mean_probability_difference)  # nothing to learn from
    if _near(chosen.chosen) or lost or not photos.fine_tuning:
        return
    pixels = read(photos.fine_tuning, "reading training photos")
    try:
        adapted = fine_tune_int8(part.module, pixels, settings)
    except InputError:  # it diverged: what there is goes to the comparison
        return
    again, tuned = int8.with_suffix(".fp32"), int8.with_suffix(".tuned")
    write_onnx(adapted, settings.size, again, channels=channels(settings))
    better = choose_int8(again, calibration, choice, part.info, tuned, reference=fp32)
    again.unlink()
    if _rank(better.chosen) > _rank(chosen.chosen):
        tuned.replace(int8)
        making.methods[int8.name] = better.method
        making.fine_tuned.append(int8.name)
    tuned.unlink(missing_ok=True)


def _near(found: Int8Candidate) -> bool:
    """Whether an int8 network keeps the limits of the parity gate on the validation photos."""
    if found.agreement is None:
        return found.likeness >= INT8_MASK_JACCARD
    close = found.mean_probability_difference <= LARGEST_MEAN_DIFFERENCE
    return close and found.agreement >= LEAST_AGREEMENT


def _rank(found: Int8Candidate) -> tuple[bool, float, float]:
    """Of two networks the one that keeps the limits is better, then the one that is more alike."""
    return _near(found), found.likeness, -found.mean_probability_difference
