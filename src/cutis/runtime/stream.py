"""Predictions over any number of photos in bounded memory."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.errors import PhotoError
from cutis.runtime.ahead import batched, map_ahead
from cutis.runtime.network import RUN_BATCH
from cutis.runtime.predictor import Predictor

FALLBACK = "lesion_fallback"
"""Column of a model that looks at the lesion: why it took the whole photo, null where not."""


class _Answer(NamedTuple):
    path: Path
    logits: NDArray[np.float32]  # (diagnoses,), NaN for an unreadable photo
    fallback: str | None
    error: str | None


def predict_photos(
    predictor: Predictor, photos: Iterable[Path], batch: int = 32
) -> Iterator[pd.DataFrame]:
    """Predictions tables of `batch` rows each, in the order of the photos.

    Columns: path, `logit_<diagnosis>` and `<diagnosis>` (the probability) for each diagnosis,
    FALLBACK where the model looks at the lesion, and error. A photo that cannot be read gives a
    row with the reason in `error`, no values, and the work goes on. Each of the predictor's
    threads decodes and answers a few photos of its own; memory does not grow with the number of
    photos.
    """
    answers = map_ahead(
        partial(_answer, predictor), batched(photos, RUN_BATCH), predictor.network.threads
    )
    with closing(answers):
        for rows in batched(chain.from_iterable(answers), batch):
            yield _table(predictor, rows)


def value_columns(predictor: Predictor) -> list[str]:
    """Names of the columns of numbers in a predictions table: logits, then probabilities."""
    diagnoses = predictor.model_info.diagnoses
    return [f"logit_{name}" for name in diagnoses] + list(diagnoses)


def text_columns(predictor: Predictor) -> list[str]:
    """Names of the columns of reasons that follow the numbers."""
    return ["error"] if predictor.segmenter is None else [FALLBACK, "error"]


def _answer(predictor: Predictor, photos: list[Path]) -> list[_Answer]:
    fallbacks: list[str | None] = []
    errors: list[str | None] = []
    pixels: list[NDArray[np.uint8]] = []
    for photo in photos:
        fallback, problem = None, None
        try:
            seen, fallback = predictor.read(photo)
            pixels.append(seen)
        except PhotoError as error:
            problem = error.problem
        fallbacks.append(fallback)
        errors.append(problem)
    logits = np.full((len(photos), len(predictor.model_info.diagnoses)), np.nan, np.float32)
    if pixels:
        logits[[error is None for error in errors]] = predictor.logits(np.stack(pixels))
    return list(map(_Answer, photos, logits, fallbacks, errors))


def _table(predictor: Predictor, rows: list[_Answer]) -> pd.DataFrame:
    logits = np.stack([row.logits for row in rows])
    values = np.concatenate([logits, predictor.probabilities(logits)], axis=1)
    table = pd.DataFrame(values, columns=value_columns(predictor))
    table.insert(0, "path", [str(row.path) for row in rows])
    reasons = {FALLBACK: [row.fallback for row in rows], "error": [row.error for row in rows]}
    for name in text_columns(predictor):
        table[name] = pd.array(reasons[name], dtype="str")
    return table
