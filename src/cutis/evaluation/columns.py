"""Columns of a predictions table: which diagnosis each is, and whether its numbers hold."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cutis.errors import InputError
from cutis.evaluation.names import resolve
from cutis.metrics.bootstrap import Floats

RESERVED = (
    "image_id", "path", "truth", "predicted", "group", "error", "source", "source_part",
    "source_label", "diagnosis", "confirmed_by", "patient_id", "lesion_id", "age", "sex", "site",
    "modality",
)  # fmt: skip
LOGIT = "logit_"
SUM_TOLERANCE = 0.01
"""How far a row's probabilities may be from 1: thirty values rounded to three places."""


@dataclass(frozen=True)
class NamedColumns:
    """A table whose diagnosis columns carry taxonomy ids; empty `diagnoses` where it has none."""

    frame: pd.DataFrame
    diagnoses: tuple[str, ...]
    has_logits: bool
    has_probabilities: bool
    unused: tuple[str, ...]


def canonical(predictions: pd.DataFrame, classes: tuple[str, ...]) -> NamedColumns:
    """Renames diagnosis columns to ids ("nv" to "melanocytic_nevus") and finds the diagnoses.

    Args:
        classes: the model's diagnoses where it is known, else empty: then the columns decide.
    """
    key_of(predictions)
    names: dict[str, str] = {}
    for column in map(str, predictions.columns):
        if column not in RESERVED:
            prefix = LOGIT if column.startswith(LOGIT) else ""
            label = column.removeprefix(LOGIT)
            # A logit column is a class even where the taxonomy does not know it (a view's own).
            found = resolve(label, ()) if label not in classes else label
            if prefix or found:
                names[column] = prefix + (found or label)
    own = {name.removeprefix(LOGIT) for name in names.values() if name.startswith(LOGIT)}
    names |= {name: name for name in map(str, predictions.columns) if name in own}
    _refuse_same(names)
    frame = predictions.rename(columns=names)
    logits = [name.removeprefix(LOGIT) for name in names.values() if name.startswith(LOGIT)]
    probabilities = [name for name in names.values() if not name.startswith(LOGIT)]
    diagnoses = classes or tuple(logits or probabilities)
    _refuse_missing(diagnoses, logits, LOGIT)
    _refuse_missing(diagnoses, probabilities, "")
    unused = [name for name in map(str, predictions.columns) if name not in (*names, *RESERVED)]
    return NamedColumns(frame, diagnoses, bool(logits), bool(probabilities), tuple(unused))


def key_of(frame: pd.DataFrame) -> str:
    """The column that tells photos apart."""
    for name in ("image_id", "path"):
        if name in frame:
            return name
    raise InputError(
        "the table has no column that names the photos",
        expected="image_id or path",
        fix=f"columns found: {', '.join(map(str, frame.columns))}",
    )


def refuse_duplicates(frame: pd.DataFrame, key: str) -> None:
    """InputError for a photo without a name or with two rows."""
    if frame[key].isna().any():
        position = int(np.argmax(frame[key].isna().to_numpy()))
        raise InputError(f"a photo has no {key}", where=f"row {position + 1}")
    twice = frame[key].duplicated()
    if twice.any():
        raise InputError(
            f"{int(twice.sum())} photos stand in more than one row",
            where=row_name(frame, int(np.argmax(twice.to_numpy()))),
            expected=f"each {key} once",
            fix="keep one row of each photo",
        )


def row_name(frame: pd.DataFrame, position: int) -> str:
    """A row in words: its number in the table, counted from 1 below the header, and its photo."""
    row = frame.iloc[position]
    return f"row {int(frame.index[position]) + 1} ({row[key_of(frame)]})"


def outputs(frame: pd.DataFrame, named: NamedColumns) -> tuple[Floats | None, Floats | None]:
    """Logits and probabilities, (photos, diagnoses) each, checked; None where there are none."""
    logits = probabilities = None
    if named.has_logits:
        logits = _numbers(frame, [LOGIT + name for name in named.diagnoses])
    if named.has_probabilities:
        probabilities = _numbers(frame, list(named.diagnoses))
        _check_probabilities(frame, probabilities, named.unused)
    return logits, probabilities


def _numbers(frame: pd.DataFrame, names: list[str]) -> Floats:
    numeric = np.asarray(frame[names].apply(pd.to_numeric, errors="coerce"), np.float64)
    bad = ~np.isfinite(numeric)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{names[column]} is {frame[names[column]].iloc[row]!r}, not a finite number",
            where=row_name(frame, int(row)),
            expected="a number in each cell; photos that failed carry a text in 'error'",
            fix="predict these photos again or remove the rows",
        )
    return numeric


def _check_probabilities(
    frame: pd.DataFrame, probabilities: Floats, unused: tuple[str, ...]
) -> None:
    outside = ((probabilities < 0) | (probabilities > 1)).any(axis=1)
    if outside.any():
        raise InputError(
            f"{int(outside.sum())} rows have numbers outside 0 … 1",
            where=row_name(frame, int(np.argmax(outside))),
            expected="probabilities",
            fix="name columns of logits logit_<diagnosis>",
        )
    sums = probabilities.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        first = int(np.argmax(off))
        beside = f"; columns not taken as diagnoses: {', '.join(unused)}" if unused else ""
        raise InputError(
            f"the probabilities of {int(off.sum())} rows do not sum to 1 (here {sums[first]:.4g})",
            where=row_name(frame, first),
            expected=f"a sum of 1, within {SUM_TOLERANCE}",
            fix=f"give a column for each diagnosis, after softmax{beside}",
        )


def _refuse_same(names: dict[str, str]) -> None:
    first: dict[str, str] = {}
    for column, name in names.items():
        if first.setdefault(name, column) != column:
            raise InputError(
                f"the columns '{first[name]}' and '{column}' are the same diagnosis",
                expected="one column for each",
                fix="remove or rename one of them",
            )


def _refuse_missing(diagnoses: tuple[str, ...], found: list[str], prefix: str) -> None:
    missing = [name for name in diagnoses if name not in found]
    if found and missing:
        raise InputError(
            f"columns are missing: {', '.join(prefix + name for name in missing)}",
            expected=", ".join(prefix + name for name in diagnoses),
            fix=f"columns found: {', '.join(prefix + name for name in found)}",
        )
