"""Figures and cost of each entry."""

import contextlib
import hashlib
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from cutis.data.batches import different_photos
from cutis.data.splits import record_test_use, test_uses
from cutis.evaluation.assembly import overall
from cutis.evaluation.context import EvaluationContext
from cutis.evaluation.malignant import Side
from cutis.evaluation.table import EvaluationTable, prepare_table
from cutis.lesion import channels
from cutis.metrics.bootstrap import Resampling
from cutis.models.backbone import count_parameters
from cutis.records import Part, Preprocessing
from cutis.storage import sha256_file
from cutis.studies.comparison.copies import scored_copies
from cutis.studies.comparison.record import (
    Comparison,
    Confusion,
    Cost,
    EntryRecord,
    Figure,
)
from cutis.studies.comparison.scenes import Opened
from cutis.training.backend import Backend
from cutis.training.inference import predict_run, predictions_table
from cutis.training.lesion_masks import input_pixels, own_segmenter
from cutis.training.loop import logits_of
from cutis.training.run import HISTORY, RECIPE, WEIGHTS, Run
from cutis.training.segmentation import SegmenterRun

MARKER = "comparison.json"
TRAIN_SAMPLE = 2000
"""Training photos that are predicted at most; so many tell what was learnt by heart."""
SCORES = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro",
          "auroc_macro")  # fmt: skip
_OF_MALIGNANT = {
    "malignant_recall": "sensitivity",
    "malignant_precision": "precision",
    "malignant_f1": "f1",
}
_WARM_UP, _TIMED = 5, 20  # photos

Key = tuple[str, str, Part]
"""Hashes of the weights and of the judged photos, and the part."""


@dataclass(frozen=True)
class Judged:
    """An entry with its record, and what tests and pictures need beside that."""

    opened: Opened
    record: EntryRecord
    table: EvaluationTable
    predictions: pd.DataFrame
    train_pixels: NDArray[np.uint8]  # (photos, size, size, 3 or 4), copies left out


def judge(
    opened: Opened, number: int, kept: Mapping[Key, pd.DataFrame], resampling: Resampling
) -> Judged:
    """Predicts the judged part from the photos' bytes, training photos from cached pixels.

    A use of a test part is counted, unless its predictions are among those kept.
    """
    run, entry = opened.run, opened.entry
    weights = sha256_file(run.folder / WEIGHTS)
    photos = _photos_hash(opened.judged_rows)
    known = kept.get((weights, photos, entry.part))
    predictions = (
        predict_run(run, opened.judged_rows, opened.scene.catalog.locate)
        if known is None
        else known
    )
    table = prepare_table(predictions, opened.judged_rows, EvaluationContext(model=run.info))
    figures, confusion = _scored(table, resampling)
    pixels, place = _train_pixels(opened)
    train, train_format = _predicted_train(opened, pixels, place)
    train_figures, train_confusion = _scored(train, Resampling(resamples=0))
    history = pd.read_csv(run.folder / HISTORY, dtype={"stage": str}, keep_default_na=False)
    record = EntryRecord(
        name=entry.name,
        arm=entry.arm,
        part=entry.part,
        run=run.folder.name,
        model=run.info,
        weights_sha256=weights,
        recipe_text=(run.folder / RECIPE).read_text(encoding="utf-8"),
        photos_sha256=photos,
        photos=int(table.truth_index.size),
        groups=table.groups,
        test_uses=_count_use(opened, fresh=known is None),
        predictions=f"predictions-{number}.parquet",
        figures=figures,
        train_figures={name: figure.value for name, figure in train_figures.items()},
        train_format=train_format,
        train_photos=int(train.truth_index.size),
        confusion=confusion,
        train_confusion=train_confusion,
        class_counts={part.value: _counts(rows) for part, rows in opened.scene.rows.items()},
        copies=scored_copies(table, opened.judged_rows, opened.scene.rows[Part.TRAIN]),
        cost=_cost(run, history),
        history=tuple(
            {str(k): v for k, v in row.items() if v == v} for row in history.to_dict("records")
        ),
    )
    return Judged(opened, record, table, predictions, pixels)


def kept_predictions(out: Path) -> dict[Key, pd.DataFrame]:
    """The predictions that an older comparison in the same place holds."""
    if not (out / MARKER).is_file():
        return {}
    try:
        older = Comparison.model_validate_json((out / MARKER).read_bytes())
    except ValidationError:  # of another version: everything is predicted anew
        return {}
    kept = {}
    for entry in older.entries:
        with contextlib.suppress(OSError, pa.ArrowException):  # gone or damaged: predicted anew
            table = pd.read_parquet(out / entry.predictions)
            kept[entry.weights_sha256, entry.photos_sha256, entry.part] = table
    return kept


def malignant_index(diagnoses: tuple[str, ...]) -> int | None:
    """Which of two diagnoses is the malignant one; None where that is not the question."""
    sides = [Side().of(name) for name in diagnoses]
    return sides.index(True) if len(sides) == 2 and sides.count(True) == 1 else None


def _count_use(opened: Opened, fresh: bool) -> int | None:
    """How often the judged test part has been used; None for another part."""
    if opened.entry.part != Part.TEST:
        return None
    catalog, split = opened.scene.catalog, opened.scene.split
    if fresh:
        return record_test_use(catalog, split, str(opened.entry.run))
    return test_uses(catalog, split)


def _photos_hash(rows: pd.DataFrame) -> str:
    facts = rows["image_id"] + "\t" + rows["diagnosis"] + "\t" + rows["sha256"]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _scored(table: EvaluationTable, resampling: Resampling) -> tuple[dict[str, Figure], Confusion]:
    found = overall(table, resampling)
    figures = {name: Figure.model_validate(found["scores"][name]) for name in SCORES}
    malignant = malignant_index(table.diagnoses)
    if malignant is not None:
        one = found["per_diagnosis"][malignant]
        figures |= {name: Figure.model_validate(one[score])
                    for name, score in _OF_MALIGNANT.items()}  # fmt: skip
    return figures, Confusion.model_validate(found["confusion"])


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {str(name): int(photos) for name, photos in rows["diagnosis"].value_counts().items()}


def _train_pixels(opened: Opened) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The training part as training decoded it, and the place of each of its rows there.

    The same rows in the same order find what training kept.
    """
    rows, catalog = opened.scene.rows, opened.scene.catalog
    table, place = different_photos(pd.concat([rows[Part.TRAIN], rows[Part.VALIDATION]]))
    paths = [catalog.locate(stored) for stored in table["path"]]
    hashes = table["sha256"].tolist()
    settings = opened.run.info.preprocessing
    segmenter = own_segmenter(opened.run)
    pixels, _ = input_pixels(paths, hashes, settings, segmenter, catalog.folder / ".cache")
    place = place[: len(rows[Part.TRAIN])]
    return pixels[: place.max() + 1], place


def _predicted_train(
    opened: Opened, pixels: NDArray[np.uint8], place: NDArray[np.int64]
) -> tuple[EvaluationTable, str]:
    """Training photos with their predictions, and the number format they were computed in."""
    info, rows = opened.run.info, opened.scene.rows[Part.TRAIN]
    chosen = np.arange(len(rows))
    if len(rows) > TRAIN_SAMPLE:
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), TRAIN_SAMPLE, replace=False))
    rows = rows.iloc[chosen]
    backend = Backend("auto", info.preprocessing)
    model = opened.run.model()
    backend.place(model)
    logits = logits_of(model, pixels, place[chosen], backend).numpy()
    predictions = predictions_table(info.diagnoses, logits, info.temperature, rows)
    table = prepare_table(predictions, rows, EvaluationContext(model=info))
    return table, "bfloat16" if backend.lower else "float32"


def _cost(run: Run, history: pd.DataFrame) -> Cost:
    """Networks that answer a photo together, the run's and its segmenter's, cost together."""
    segmenter = own_segmenter(run)
    answering: list[Run | SegmenterRun] = [run] if segmenter is None else [run, segmenter]
    models = [one.model() for one in answering]
    return Cost(
        parameters=sum(count_parameters(model) for model in models),
        megabytes=sum((one.folder / WEIGHTS).stat().st_size for one in answering) / 1e6,
        seconds=float(history["seconds"].sum()),
        epochs=len(history),
        milliseconds=sum(
            _milliseconds(model, one.info.preprocessing)
            for model, one in zip(models, answering, strict=True)
        ),
    )


@torch.inference_mode()
def _milliseconds(model: torch.nn.Module, settings: Preprocessing) -> float:
    """Median time of one photo at a time on the CPU, with as many threads as torch uses."""
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    photo = torch.zeros(1, channels(settings), settings.size, settings.size)
    photo = photo.to(memory_format=torch.channels_last)
    times = []
    for _ in range(_WARM_UP + _TIMED):
        started = time.perf_counter()
        model(photo)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[_WARM_UP:])
