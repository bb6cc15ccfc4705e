"""From runs to a bundle: networks, parity, card and record, written together or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cutis import __version__
from cutis.data.batches import photo_batches
from cutis.errors import InputError
from cutis.evaluation.names import display_name, malignancy
from cutis.export.card import Scores, model_card
from cutis.export.onnx import write_onnx
from cutis.export.parity import (
    ModelParity,
    Parity,
    SegmenterParity,
    check_fp32,
    check_masks,
    compare_int8,
    reference_logits,
)
from cutis.export.quantize import write_int8
from cutis.lesion import channels
from cutis.records import NOTICE, ModelInfo, Preprocessing, SegmenterInfo
from cutis.runtime.bundle import (
    INFO_FILE,
    MODEL_FILES,
    SEGMENTER_FILE,
    BundleDiagnosis,
    BundleInfo,
    write_info,
)
from cutis.storage import sha256_file, staged_folder
from cutis.taxonomy import diagnoses, view, view_names
from cutis.training.lesion_masks import lesion_batches, own_segmenter, weights_sha256
from cutis.training.run import Run, load_run
from cutis.training.segmentation import SegmenterRun, is_segmenter_run, load_segmenter_run

PARITY_FILE = "parity.json"
CARD_FILE = "MODEL_CARD.md"


@dataclass(frozen=True)
class ClassifierPart:
    """A classifier to export.

    Attributes:
        module: in evaluation mode; normalised photos to logits (batch, diagnoses).
        info: its record.
        calibration: (photos, size, size, 3 or 4) uint8; the int8 ranges are measured on them.
        check: other photos likewise, on which the files are compared with the module.
    """

    module: nn.Module
    info: ModelInfo
    calibration: NDArray[np.uint8]
    check: NDArray[np.uint8]


@dataclass(frozen=True)
class SegmenterPart:
    """A segmenter to export.

    Attributes:
        module: in evaluation mode; normalised photos to logits (batch, 1, size, size).
        info: its record.
        check: (photos, size, size, 3) uint8, on which the file is compared with the module.
    """

    module: nn.Module
    info: SegmenterInfo
    check: NDArray[np.uint8]


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote."""

    folder: Path
    sizes: Mapping[str, int]  # bytes by file name
    parity: Parity


def export_run(
    run: Path,
    out: Path,
    *,
    calibration_photos: Sequence[Path] = (),
    check_photos: Sequence[Path],
    segmenter: Path | None = None,
    scores: Scores | None = None,
) -> ExportSummary:
    """Exports a run to a bundle: a classifier, a segmenter, or a classifier with a segmenter.

    A classifier that was trained on the lesion brings its own segmenter.

    Args:
        calibration_photos: of the training part; a classifier's int8 ranges are measured on them,
            a few hundred are enough. A segmenter alone needs none.
        check_photos: other photos, on which the exported networks are compared with the runs.
        segmenter: a segmentation run that goes into the bundle of a classifier.
        scores: figures for the model card.

    Raises InputError for a folder that is no finished run of the kind, a photo that cannot be
    read, photos in both lists, and an `out` that holds something else; and as `export_parts`.
    """
    trained, finder = runs_to_export(run, segmenter)
    both = set(calibration_photos) & set(check_photos)
    if both:
        raise InputError(
            f"{len(both)} photos serve for calibration and for the check",
            where=min(both),
            expected="check photos that the int8 ranges were not measured on",
            fix="take the check photos from another part",
        )
    if isinstance(trained, SegmenterRun):
        return export_parts(out, segmenter=_segmenter_part(trained, check_photos), scores=scores)
    return export_parts(
        out,
        classifier=_classifier_part(trained, finder, calibration_photos, check_photos),
        segmenter=_segmenter_part(finder, check_photos) if finder else None,
        scores=scores,
    )


def runs_to_export(
    run: Path, segmenter: Path | None = None
) -> tuple[Run | SegmenterRun, SegmenterRun | None]:
    """A run to export, and the segmenter that goes into the bundle of a classifier, if any.

    Raises InputError for a folder that is no finished run of the kind, two segmenters, and a
    segmenter beside a classifier that was trained with another.
    """
    if is_segmenter_run(run):
        if segmenter is not None:
            raise InputError(
                "two segmenters do not go into one bundle",
                where=run,
                expected="a classification run and a segmentation run, or one run",
                fix="leave --segmenter out, or name a classification run first",
            )
        return load_segmenter_run(run), None
    trained = load_run(run)
    own = own_segmenter(trained)
    if segmenter is None:
        return trained, own
    given = load_segmenter_run(segmenter)
    if own is not None and weights_sha256(given) != weights_sha256(own):
        raise InputError(
            "the run was trained with another segmenter",
            where=segmenter,
            expected="the segmenter that the run keeps a copy of",
            fix="leave --segmenter out: the run brings its own",
        )
    return trained, given


def export_parts(
    out: Path,
    *,
    classifier: ClassifierPart | None = None,
    segmenter: SegmenterPart | None = None,
    scores: Scores | None = None,
) -> ExportSummary:
    """Exports networks to a bundle; `scores` are figures for the model card.

    Raises InputError without calibration or check photos and for an operator that ONNX lacks;
    CheckFailedError, with nothing written, when an fp32 network is not the run's.
    """
    if classifier is None and segmenter is None:
        raise ValueError("a bundle holds a classifier, a segmenter or both")
    with staged_folder(out, marker=INFO_FILE) as folder:
        parity = Parity(
            model=_write_classifier(classifier, folder) if classifier else None,
            segmenter=_write_segmenter(segmenter, folder) if segmenter else None,
        )
        (folder / PARITY_FILE).write_text(parity.model_dump_json(indent=2) + "\n")
        record = BundleInfo(
            cutis_version=__version__,
            model=classifier.info if classifier else None,
            diagnoses=tuple(_describe(name) for name in classifier.info.diagnoses)
            if classifier
            else (),
            default_model=parity.model.default_model if parity.model else None,
            segmenter=segmenter.info if segmenter else None,
            files={},
            calibration_photos=len(classifier.calibration) if classifier else 0,
            notice=NOTICE,
        )
        (folder / CARD_FILE).write_text(model_card(record, parity, scores), encoding="utf-8")
        files = sorted(folder.iterdir())
        sizes = {file.name: file.stat().st_size for file in files}
        hashes = {file.name: sha256_file(file) for file in files}
        write_info(folder, record.model_copy(update={"files": hashes}))
    return ExportSummary(out, sizes, parity)


def _write_classifier(part: ClassifierPart, folder: Path) -> ModelParity:
    settings = part.info.preprocessing
    _require(part.calibration, "calibration")
    _require(part.check, "check")
    fp32, int8 = (folder / MODEL_FILES[name] for name in ("fp32", "int8"))
    reference = reference_logits(part.module, part.check, settings)
    write_onnx(part.module, settings.size, fp32, channels=channels(settings))
    exact = check_fp32(reference, fp32, part.check, settings)
    write_int8(fp32, part.calibration, settings, int8)
    close = compare_int8(reference, int8, part.check, part.info)
    return ModelParity(photos=len(part.check), fp32=exact, int8=close)


def _write_segmenter(part: SegmenterPart, folder: Path) -> SegmenterParity:
    settings = part.info.preprocessing
    _require(part.check, "check")
    file = folder / SEGMENTER_FILE
    reference = reference_logits(part.module, part.check, settings)
    write_onnx(part.module, settings.size, file)
    same = check_masks(reference, file, part.check, part.info)
    return SegmenterParity(photos=len(part.check), fp32=same)


def _require(photos: NDArray[np.uint8], kind: str) -> None:
    if len(photos) == 0:
        raise InputError(
            f"there are no {kind} photos",
            expected="at least one, better some hundreds",
            fix="give the catalog that the run was trained on",
        )


def _classifier_part(
    run: Run,
    segmenter: SegmenterRun | None,
    calibration_photos: Sequence[Path],
    check_photos: Sequence[Path],
) -> ClassifierPart:
    settings = run.info.preprocessing

    def read(photos: Sequence[Path], doing: str) -> NDArray[np.uint8]:
        if settings.lesion == "none" or segmenter is None:
            return _stacked(photo_batches(photos, settings, doing), settings)
        return _stacked(lesion_batches(photos, settings, segmenter, doing), settings)

    return ClassifierPart(
        run.model(),
        run.info,
        calibration=read(calibration_photos, "reading calibration photos"),
        check=read(check_photos, "reading check photos"),
    )


def _segmenter_part(run: SegmenterRun, check_photos: Sequence[Path]) -> SegmenterPart:
    settings = run.info.preprocessing
    photos = photo_batches(check_photos, settings, "reading check photos")
    return SegmenterPart(run.model(), run.info, _stacked(photos, settings))


def _stacked(batches: Iterable[NDArray[np.uint8]], settings: Preprocessing) -> NDArray[np.uint8]:
    size = settings.size
    return np.concatenate([np.empty((0, size, size, channels(settings)), np.uint8), *batches])


def _describe(class_id: str) -> BundleDiagnosis:
    node = diagnoses().get(class_id)
    return BundleDiagnosis(
        id=class_id,
        name=dict(node.name) if node else _class_name(class_id),
        malignancy=malignancy(class_id),
        urgency=node.urgency if node else None,
    )


def _class_name(class_id: str) -> dict[str, str]:
    """The names of a class that is no diagnosis, such as `benign`, from the view that has it."""
    for name in view_names():
        if class_id in (names := view(name).names):
            return dict(names[class_id])
    return {"en": display_name(class_id)}
