"""From pairs of masks to a report folder."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cutis import __version__
from cutis.evaluation.context import ReportContext
from cutis.evaluation.evaluate import MARKER, Row
from cutis.evaluation.segmentation import assembly, figures
from cutis.evaluation.segmentation.page import SCORE_NAMES, render
from cutis.evaluation.segmentation.scoring import Pair, ScoredMasks, score_pairs
from cutis.evaluation.values import interval
from cutis.metrics.bootstrap import Resampling
from cutis.records import FORMAT_VERSION, NOTICE
from cutis.storage import staged_folder

_SUMMARY = ("jaccard", "thresholded_jaccard", "dice", "sensitivity", "specificity", "relative_hd95")


@dataclass(frozen=True)
class SegmentationReport:
    """A written report: its folder and the content of its metrics.json."""

    folder: Path
    metrics: Mapping[str, Any]

    def summary(self) -> list[Row]:
        """The headline for a terminal: name, value, low, high; None for what is undefined."""
        chosen = [(SCORE_NAMES[name], self.metrics["scores"][name]) for name in _SUMMARY]
        chosen.append(("Share of failed photos", self.metrics["failures"]["share"]))
        return [(name, found["value"], found["low"], found["high"]) for name, found in chosen]


def evaluate_masks(
    rows: pd.DataFrame,
    pairs: Iterable[Pair],
    out: Path,
    *,
    context: ReportContext | None = None,
    resampling: Resampling | None = None,
) -> SegmentationReport:
    """Scores predicted masks and writes report.html, metrics.json, scores.parquet and figures.

    Args:
        rows: `image_id` and `path`, and where known `group`, `source`, `diagnosis`.
        pairs: predicted and true mask of each row, (height, width) of the photo, taken one at a
            time; an InputError in the place of a pair is counted as a photo without a mask that
            can be read.
        out: a new or empty folder, or an older report, which is replaced.
        resampling: how intervals are made; 1,000 resamples where None.

    Raises InputError, before anything is written, for masks that differ in size, and where no photo
    has a pair.
    """
    return write_report(score_pairs(rows, pairs), out, context=context, resampling=resampling)


def write_report(
    scored: ScoredMasks,
    out: Path,
    *,
    context: ReportContext | None = None,
    resampling: Resampling | None = None,
    without_mask: int = 0,
) -> SegmentationReport:
    """Writes the report of photos that `score_pairs` has judged; see `evaluate_masks`.

    Args:
        without_mask: photos of the part that have no true mask, so that nobody judged them.
    """
    context, resampling = context or ReportContext(), resampling or Resampling()
    metrics = _measure(scored, context, resampling, without_mask)
    with staged_folder(out, MARKER) as folder:
        drawn = figures.draw_all(
            scored, metrics, context.history, folder, unsafe=context.marked_unsafe
        )
        page = render(scored, metrics, drawn, context)
        (folder / "report.html").write_text(page, encoding="utf-8")
        (folder / MARKER).write_text(
            json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
        )
        scored.table().to_parquet(folder / "scores.parquet", index=False)
    return SegmentationReport(out, metrics)


def _measure(
    scored: ScoredMasks, context: ReportContext, resampling: Resampling, without_mask: int
) -> dict[str, Any]:
    model = context.model
    return {
        "format_version": FORMAT_VERSION,
        "cutis_version": __version__,
        "task": "segmentation",
        "notice": NOTICE,
        "unsafe": context.marked_unsafe,
        "photos": len(scored.photos),
        "groups": scored.groups,
        "grouped": scored.grouped,
        "without_mask": without_mask,
        "problems": [{"image_id": name, "problem": problem} for name, problem in scored.problems],
        "interval": interval(resampling),
        "split": context.split_name,
        "part": None if context.part is None else str(context.part),
        "test_uses": context.test_uses,
        "left_out": context.left_out,
        "seen_by_model": context.seen_by_model,
        "known_to_segmenter": context.known_to_segmenter,
        "model": None if model is None else model.model_dump(mode="json"),
        "training_counts": context.counts,
        **assembly.scores(scored, resampling),
        **assembly.subgroups(scored, resampling),
        "histogram": assembly.histogram(scored),
        "worst": [assembly.example(scored, shown) for shown in scored.worst],
        "random": [assembly.example(scored, shown) for shown in scored.random],
    }
