"""Predictions over any number of photos in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.errors import PhotoError
from cutis.preprocessing import load
from cutis.runtime.network import RUN_BATCH
from cutis.runtime.predictor import Predictor

T = TypeVar("T")
R = TypeVar("R")


class _Answer(NamedTuple):
    path: Path
    logits: NDArray[np.float32]  # (diagnoses,), NaN for an unreadable photo
    error: str | None


def predict_photos(
    predictor: Predictor, photos: Iterable[Path], batch: int = 32
) -> Iterator[pd.DataFrame]:
    """Predictions tables of `batch` rows each, in the order of the photos.

    Columns: path, `logit_<diagnosis>` and `<diagnosis>` (the probability) for each diagnosis, and
    error. A photo that cannot be read gives a row with the reason in `error`, no values, and the
    work goes on. Each of the predictor's threads decodes and answers a few photos of its own;
    memory does not grow with the number of photos.
    """
    pool = ThreadPoolExecutor(predictor.network.threads)
    try:
        answers = _map_ahead(
            pool,
            partial(_answer, predictor),
            _batched(photos, RUN_BATCH),
            ahead=2 * predictor.network.threads,
        )
        for rows in _batched(chain.from_iterable(answers), batch):
            yield _table(predictor, rows)
    finally:
        pool.shutdown(cancel_futures=True)


def _answer(predictor: Predictor, photos: list[Path]) -> list[_Answer]:
    errors: list[str | None] = []
    pixels: list[NDArray[np.uint8]] = []
    for photo in photos:
        try:
            pixels.append(load(photo, predictor.info.model.preprocessing))
            errors.append(None)
        except PhotoError as error:
            errors.append(error.problem)
    logits = np.full((len(photos), len(predictor.info.model.diagnoses)), np.nan, np.float32)
    if pixels:
        logits[[error is None for error in errors]] = predictor.logits(np.stack(pixels))
    return list(map(_Answer, photos, logits, errors))


def _table(predictor: Predictor, rows: list[_Answer]) -> pd.DataFrame:
    diagnoses = predictor.info.model.diagnoses
    logits = np.stack([row.logits for row in rows])
    columns = [f"logit_{name}" for name in diagnoses] + list(diagnoses)
    values = np.concatenate([logits, predictor.probabilities(logits)], axis=1)
    table = pd.DataFrame(values, columns=columns)
    table.insert(0, "path", [str(row.path) for row in rows])
    table["error"] = pd.array([row.error for row in rows], dtype="str")
    return table


def _map_ahead(
    pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], *, ahead: int
) -> Iterator[R]:
    """`map` on a pool that keeps the order and holds at most `ahead` items in flight."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while taken := list(islice(remaining, size)):
        yield taken
