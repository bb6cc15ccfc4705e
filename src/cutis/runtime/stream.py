"""Predictions over any number of photos in bounded memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from cutis.runtime.ahead import batched, map_ahead
from cutis.runtime.answers import Measured, judge, measure, ordered_sets
from cutis.runtime.network import RUN_BATCH
from cutis.runtime.predictor import Predictor

FALLBACK = "lesion_fallback"
"""Column of a model that looks at the lesion: why it took the whole photo, null where not."""

VERDICT = "verdict"
"""Column of a bundle with a policy: `answer`, `answer with caution` or `cannot tell`."""

DISTANCE = "distance"
"""Column of a policy that limits it: how unlike the training photos the photo is."""


def predict_photos(
    predictor: Predictor, photos: Iterable[Path], batch: int = 32, *, quality: bool = True
) -> Iterator[pd.DataFrame]:
    """Predictions tables of `batch` rows each, in the order of the photos.

    Columns: path, `logit_<diagnosis>` and `<diagnosis>` (the probability) for each diagnosis,
    FALLBACK where the model looks at the lesion, and error. Where the bundle has a policy for the
    network there are DISTANCE too, if it is limited, VERDICT, `reasons` (keys of REASON_TEXTS with
    commas between), `prediction_set` (diagnoses with semicolons between, most probable first) and
    `flags` (the quality flags, with commas between). What is empty is null.

    Args:
        quality: measures the photos' quality for the policy, which costs some milliseconds a
            photo; without it there are no flags, and none decides.

    A photo that cannot be read gives a row with the reason in `error`, no values, and the work
    goes on. Each of the predictor's threads decodes and answers a few photos of its own; memory
    does not grow with the number of photos.
    """
    answers = map_ahead(
        partial(_answer, predictor, quality=quality),
        batched(((str(photo), photo) for photo in photos), RUN_BATCH),
        predictor.network.threads,
    )
    with closing(answers):
        for rows in batched(chain.from_iterable(answers), batch):
            yield _table(predictor, rows, quality)


def predict_named(
    predictor: Predictor, photos: Mapping[str, Path | bytes], *, quality: bool = True
) -> pd.DataFrame:
    """One table as `predict_photos` gives it, of files or files' bytes with a name for each.

    The names, in the order of the photos, are the column path. The work stays in this thread.
    """
    groups = batched(photos.items(), RUN_BATCH)
    rows = [row for group in groups for row in _answer(predictor, group, quality=quality)]
    return _table(predictor, rows, quality)


def value_columns(predictor: Predictor) -> list[str]:
    """Names of the columns of numbers in a predictions table: logits, then probabilities."""
    diagnoses = predictor.model_info.diagnoses
    limited = predictor.policy is not None and predictor.policy.highest_distance is not None
    return [
        *(f"logit_{name}" for name in diagnoses),
        *diagnoses,
        *([DISTANCE] if limited else []),
    ]


def text_columns(predictor: Predictor, *, quality: bool = True) -> list[str]:
    """Names of the columns of words that follow the numbers."""
    names = [] if predictor.segmenter is None else [FALLBACK]
    if predictor.policy is not None:
        names += [VERDICT, "reasons", "prediction_set", *(["flags"] if quality else [])]
    return [*names, "error"]


def _answer(
    predictor: Predictor, photos: Sequence[tuple[str, Path | bytes]], *, quality: bool
) -> list[tuple[str, Measured]]:
    measured = measure(predictor, [photo for _, photo in photos], quality=quality)
    return [(name, row) for (name, _), row in zip(photos, measured, strict=True)]


def _table(
    predictor: Predictor, rows: Sequence[tuple[str, Measured]], quality: bool
) -> pd.DataFrame:
    measured = [row for _, row in rows]
    logits = np.stack([row.logits for row in measured])
    probabilities = predictor.probabilities(logits)
    distances = np.array([[row.distance] for row in measured], np.float32)
    names = value_columns(predictor)
    values = np.concatenate([logits, probabilities, distances], axis=1)
    table = pd.DataFrame(values[:, : len(names)], columns=names)
    table.insert(0, "path", [name for name, _ in rows])
    texts: dict[str, list[str | None]] = {
        FALLBACK: [row.fallback for row in measured],
        "flags": [",".join(row.flags or ()) or None for row in measured],
        "error": [row.error for row in measured],
    }
    said = judge(predictor, measured)
    if said is not None:
        sets = ordered_sets(predictor.model_info.diagnoses, said, probabilities)
        texts[VERDICT] = [str(verdict) for verdict in said.verdicts]
        texts["reasons"] = [",".join(said.reasons(n)) or None for n in range(len(rows))]
        texts["prediction_set"] = [";".join(held) or None for held in sets]
    for name in text_columns(predictor, quality=quality):
        table[name] = pd.array(texts[name], dtype="str")
    return table
