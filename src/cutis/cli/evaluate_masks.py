"""`cutis evaluate` of a segmenter: predicted against true masks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cutis.cli.extras import needs_training
from cutis.cli.scene import Scene, catalog_of_model, open_scene
from cutis.errors import InputError
from cutis.records import SegmenterInfo

if TYPE_CHECKING:
    import pandas as pd

    from cutis.evaluation.segmentation import Pair, SegmentationReport
    from cutis.lesion import Mask


@dataclass(frozen=True)
class JudgedSegmenter:
    """What gives the masks, each at its photo's size, one at a time."""

    info: SegmenterInfo
    masks: "Callable[[list[Path]], Iterable[Mask]]"
    run: Path | None = None


def judged_segmenter(source: Path, engine: str) -> JudgedSegmenter | None:
    """The segmenter of a run, or of a bundle without a classifier; None for anything else."""
    if (source / "bundle.json").is_file():
        return _bundle(source, engine)
    return _run(source) if source.is_dir() else None


def evaluate_segmenter(
    judged: JudgedSegmenter,
    source: Path,
    out: Path,
    data: Path | None,
    split: str | None,
    part: str,
) -> "SegmentationReport":
    """Judges a segmenter on the photos with a mask; see `cutis evaluate`."""
    from cutis.evaluation.segmentation import score_pairs, write_report

    place = data or catalog_of_model(judged.run)
    scene = open_scene(place, split, part, judged.info.provenance, None)
    photos = scene.judged(part, judged.run)
    rows = photos.rows[photos.rows["mask"].notna()].reset_index(drop=True)
    if rows.empty:
        raise InputError(
            f"no photo of the part '{part}' has a lesion mask",
            where=place,
            expected="photos with masks, as HAM10000, ISIC 2017 and PH2 have them",
            fix="import the collection together with its masks",
        )
    scored = score_pairs(rows, _pairs(judged, rows, scene))
    context = replace(
        scene.context(judged.info, judged.run, source, part, masked=True),
        left_out=photos.left_out,
        seen_by_model=photos.seen_by_model,
        known_to_segmenter=photos.known_to_segmenter,
    )
    return write_report(scored, out, context=context, without_mask=len(photos.rows) - len(rows))


def _pairs(judged: JudgedSegmenter, rows: "pd.DataFrame", scene: Scene) -> "Iterator[Pair]":
    from cutis.data.masks import read_mask

    locate = scene.catalog.locate
    predicted = judged.masks([locate(stored) for stored in rows["path"]])
    for found, stored in zip(predicted, rows["mask"], strict=True):
        try:
            truth = read_mask(locate(stored), found.shape)
        except InputError as error:
            yield error
        else:
            yield found, truth


def _bundle(source: Path, engine: str) -> JudgedSegmenter | None:
    from cutis.runtime import Segmenter
    from cutis.runtime.bundle import read_info

    info = read_info(source)
    if info.model is not None or info.segmenter is None:
        return None
    segmenter = Segmenter.of(source, info, engine=engine)

    def masks(photos: list[Path]) -> "Iterator[Mask]":
        return (segmenter.segment(photo).mask for photo in photos)

    return JudgedSegmenter(info.segmenter, masks)


def _run(source: Path) -> JudgedSegmenter | None:
    with needs_training():
        from cutis.training.segmentation import is_segmenter_run, load_segmenter_run
        from cutis.training.segmentation.inference import predict_masks
    if not is_segmenter_run(source):
        return None
    run = load_segmenter_run(source)
    return JudgedSegmenter(run.info, lambda photos: predict_masks(run, photos), source)
