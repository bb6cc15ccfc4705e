"""From runs to a bundle: networks, parity, policy, card and record; all of it or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cutis.data.batches import require_photos
from cutis.errors import InputError
from cutis.export.assembly import Assembly
from cutis.export.candidates import (
    NETWORKS,
    ClassifierPart,
    Making,
    SegmenterPart,
    write_candidates,
)
from cutis.export.card import Scores
from cutis.export.comparing import compare_networks, compare_segmenters
from cutis.export.litert import require_litert
from cutis.export.parity import Parity
from cutis.export.photos import divide
from cutis.runtime.bundle import INFO_FILE, MODEL_FILES, SEGMENTER_FILES
from cutis.runtime.engines import check_engine
from cutis.storage import staged_folder
from cutis.training.lesion_masks import own_segmenter, weights_sha256
from cutis.training.run import Run, load_run
from cutis.training.segmentation import SegmenterRun, is_segmenter_run, load_segmenter_run


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote.

    `refused` holds why files that were tried are not in the bundle, by file name.
    """

    folder: Path
    sizes: Mapping[str, int]  # bytes by file name
    parity: Parity
    refused: Mapping[str, Sequence[str]] = field(default_factory=dict)


def export_run(
    run: Path,
    out: Path,
    photos: pd.DataFrame,
    *,
    segmenter: Path | None = None,
    networks: Sequence[str] = ("fp32", "int8"),
    allow: bool = False,
    scores: Scores | None = None,
    notes: str | None = None,
    measure: bool = True,
) -> ExportSummary:
    """Exports a run to a bundle: a classifier, a segmenter, or a classifier with a segmenter.

    A classifier that was trained on the lesion brings its own segmenter.

    Args:
        photos: of the split that the run was trained on, with `export.photos.COLUMNS`.
        segmenter: a segmentation run that goes into the bundle of a classifier.
        networks: some of NETWORKS. Of a segmenter there is no tflite.
        allow: keeps networks that fail the parity gate; the bundle then says so.
        scores: figures for the model card.
        notes: Markdown for the model card: how it was trained, who may use it.
        measure: milliseconds and memory of every network, in processes of their own.

    Raises InputError for a folder that is no finished run of the kind, a photo that cannot be
    read, and an `out` that holds something else; and as `export_parts`.
    """
    trained, finder = runs_to_export(run, segmenter)
    classifier = None
    if isinstance(trained, SegmenterRun):
        finder = trained
    else:
        looks = trained.info.preprocessing.lesion != "none"
        classifier = ClassifierPart(trained.model(), trained.info, finder if looks else None)
    return export_parts(
        out,
        photos,
        classifier=classifier,
        segmenter=SegmenterPart(finder.model(), finder.info) if finder else None,
        networks=networks,
        allow=allow,
        scores=scores,
        notes=notes,
        measure=measure,
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
    photos: pd.DataFrame,
    *,
    classifier: ClassifierPart | None = None,
    segmenter: SegmenterPart | None = None,
    networks: Sequence[str] = ("fp32", "int8"),
    allow: bool = False,
    scores: Scores | None = None,
    notes: str | None = None,
    measure: bool = True,
) -> ExportSummary:
    """Exports networks to a bundle; the other arguments are those of `export_run`.

    Every file is tried in its own runtime, from photo to answer, on all photos that did not serve
    for calibration, nor for fine-tuning where a network was fine-tuned. What does not answer as
    the run does is left out, unless `allow`.

    Raises InputError without training or validation photos, for photos that are gone, an operator
    that a format lacks and a kind of network that does not exist; CheckFailedError, with nothing
    written, when of the classifier or of the segmenter no network that was asked for is the run's.
    """
    held = [part for part in (segmenter, classifier) if part]
    if not held:
        raise ValueError("a bundle holds a classifier, a segmenter or both")
    _check_names(networks, segmenter)
    if "tflite" in networks:  # both are asked for before hours of other work
        check_engine("litert")
        require_litert()
    divided = divide(photos, held[-1].info.provenance.seed)
    require_photos([*divided.calibration, *divided.compared["path"]])
    making = Making()
    with staged_folder(out, marker=INFO_FILE) as folder:
        for part in held:
            write_candidates(part, divided, networks, folder, making)
        if making.fine_tuned:  # a network is not judged on what it was adapted to
            divided = divided.without_fine_tuning()
        bundle = Assembly(folder, classifier, segmenter, networks, allow=allow)
        bundle.seal()
        parity = Parity(
            calibration_photos=len(divided.calibration),
            fine_tuned=tuple(making.fine_tuned),
            methods=making.methods,
        )
        if segmenter:
            outlines = compare_segmenters(segmenter, folder, divided.compared)
            bundle.take(outlines, SEGMENTER_FILES)
            parity = parity.model_copy(update={"segmenters": outlines})
        if classifier:
            compared = compare_networks(classifier, folder, divided.compared)
            checks = tuple(check for check, _ in compared)
            bundle.take(checks, MODEL_FILES)
            bundle.add_policies(compared, divided.compared)
            parity = parity.model_copy(update={"networks": checks})
        bundle.drop_unasked()
        if measure:
            parity = parity.with_costs(folder, divided.choice)
        bundle.write_pages(parity, scores, notes)
        sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    return ExportSummary(out, sizes, parity, bundle.refused)


def _check_names(networks: Sequence[str], segmenter: SegmenterPart | None) -> None:
    unknown = set(networks) - set(NETWORKS)
    if unknown or not networks:
        raise InputError(
            f"there is no kind of network '{min(unknown)}'" if unknown else "no network is named",
            expected="one or more of " + ", ".join(NETWORKS),
        )
    if segmenter is not None and not set(networks) & SEGMENTER_FILES.keys():
        raise InputError(
            "there is no tflite of a segmenter",
            expected="networks of which one is a segmenter's: " + " or ".join(SEGMENTER_FILES),
            fix="add fp32 or int8",
        )
