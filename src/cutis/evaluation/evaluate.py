"""From predictions to a report folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cutis import __version__
from cutis.errors import InputError
from cutis.evaluation import assembly, calibration, figures, malignant, mistakes, words
from cutis.evaluation.columns import LOGIT
from cutis.evaluation.context import EvaluationContext
from cutis.evaluation.report import SCORE_NAMES, render
from cutis.evaluation.table import EvaluationTable, prepare_table
from cutis.evaluation.values import interval
from cutis.metrics.bootstrap import Resampling
from cutis.records import FORMAT_VERSION, NOTICE
from cutis.storage import staged_folder

MARKER = "metrics.json"
_SUMMARY = ("balanced_accuracy", "accuracy", "f1_macro", "auroc_macro", "calibration_error")

Row = tuple[str, float | None, float | None, float | None]


@dataclass(frozen=True)
class Report:
    """A written report: its folder and the content of its metrics.json."""

    folder: Path
    metrics: Mapping[str, Any]

    def summary(self) -> list[Row]:
        """The headline for a terminal: name, value, low, high; None for what is undefined."""
        chosen = [(SCORE_NAMES[name], self.metrics["scores"][name]) for name in _SUMMARY]
        area = self.metrics["malignant"].get("auroc")
        if area is not None:
            chosen.append(("AUROC, malignant against benign", area))
        return [(name, found["value"], found["low"], found["high"]) for name, found in chosen]


def evaluate_predictions(
    predictions: pd.DataFrame,
    truth: pd.DataFrame | None,
    out: Path,
    *,
    context: EvaluationContext | None = None,
    resampling: Resampling | None = None,
    side: malignant.Side | None = None,
) -> Report:
    """Scores predictions and writes report.html, metrics.json, predictions.parquet and figures.

    Args:
        predictions: see docs/reference/predictions.md.
        truth: rows with image_id, path, diagnosis and group, and where known source, confirmed_by,
            age, sex, modality; None when the predictions carry `truth` (and `group`).
        out: a new or empty folder, or an older report, which is replaced.
        resampling: how intervals are made; 1,000 resamples where None.
        side: on which side of malignant against benign precancer falls; the malignant where None.

    Raises InputError, before anything is written, for a table that does not hold.
    """
    context, resampling = context or EvaluationContext(), resampling or Resampling()
    side = side or malignant.Side()
    table = prepare_table(predictions, truth, context)
    validation = _validation(table, context)
    metrics = _measure(table, validation, context, resampling, side)
    with staged_folder(out, MARKER) as folder:
        drawn = figures.draw_all(
            table,
            malignant.binary_view(table, side),
            metrics,
            context.history,
            folder,
            unsafe=context.marked_unsafe,
        )
        page = render(table, metrics, drawn, metrics["mistakes"], context)
        (folder / "report.html").write_text(page, encoding="utf-8")
        (folder / MARKER).write_text(
            json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
        )
        scored_table(table).to_parquet(folder / "predictions.parquet", index=False)
    return Report(out, metrics)


def scored_table(table: EvaluationTable) -> pd.DataFrame:
    """The predictions as they were scored; a valid predictions table itself."""
    photos = table.photos.drop(columns="truth_given")
    if not table.grouped:
        photos = photos.drop(columns="group")
    known = table.diagnoses[: table.known]
    parts = [photos.dropna(axis="columns", how="all")]
    if table.logits is not None:
        parts.append(pd.DataFrame(table.logits, columns=[LOGIT + name for name in known]))
    if table.probabilities is not None:
        parts.append(pd.DataFrame(table.probabilities[:, : table.known], columns=list(known)))
    return pd.concat(parts, axis="columns")


def _validation(table: EvaluationTable, context: EvaluationContext) -> EvaluationTable | None:
    if context.validation is None:
        return None
    validation = prepare_table(context.validation, None, context)
    if validation.diagnoses[: validation.known] != table.diagnoses[: table.known]:
        raise InputError(
            "the validation predictions are of another model",
            expected=", ".join(table.diagnoses[: table.known]),
            fix=f"diagnoses found: {', '.join(validation.diagnoses[: validation.known])}",
        )
    shared = set(validation.photos["image_id"].dropna()) & set(table.photos["image_id"].dropna())
    if shared:
        raise InputError(
            f"{len(shared)} validation photos are evaluated too, first {min(shared)}",
            expected="photos of another part, since the temperature is fitted on them",
        )
    return validation


def _measure(
    table: EvaluationTable,
    validation: EvaluationTable | None,
    context: EvaluationContext,
    resampling: Resampling,
    side: malignant.Side,
) -> dict[str, Any]:
    own = context.model.temperature if context.model else 1.0
    scaling = calibration.choose_scaling(table, validation, own)
    model = context.model
    return {
        "format_version": FORMAT_VERSION,
        "cutis_version": __version__,
        "notice": NOTICE,
        "unsafe": context.marked_unsafe,
        "alarm": words.alarm(table, context.marked_unsafe),
        "photos": int(table.truth_index.size),
        "groups": table.groups,
        "grouped": table.grouped,
        "unreadable": table.unreadable,
        "notes": list(table.notes),
        "interval": interval(resampling),
        "split": context.split_name,
        "part": None if context.part is None else str(context.part),
        "test_uses": context.test_uses,
        "left_out": context.left_out,
        "seen_by_model": context.seen_by_model,
        "known_to_segmenter": context.known_to_segmenter,
        "model": None if model is None else model.model_dump(mode="json"),
        "training_counts": context.counts,
        **assembly.overall(table, resampling),
        "calibration": calibration.section(table, scaling, own, resampling),
        "malignant": malignant.section(table, side, resampling, validation),
        "subgroups": assembly.subgroups(table, side, resampling),
        "mistakes": mistakes.most_confident(table),
    }
