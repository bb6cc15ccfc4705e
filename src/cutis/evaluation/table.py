"""The predictions table, read, checked and turned into arrays. docs/reference/predictions.md."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.evaluation import columns
from cutis.evaluation.context import EvaluationContext
from cutis.evaluation.names import resolve
from cutis.metrics.bootstrap import Floats
from cutis.metrics.calibration import softmax
from cutis.taxonomy import nearest_labels

ABOUT_PHOTOS = ("source", "confirmed_by", "age", "sex", "modality")


@dataclass(frozen=True)
class EvaluationTable:
    """N readable photos with truth and answer. K diagnoses: the model's, then the truth's others.

    `photos` has the columns image_id, path, truth (a diagnosis), truth_given (before a nearer
    diagnosis was counted as the model's class), predicted, group and ABOUT_PHOTOS.
    """

    photos: pd.DataFrame
    diagnoses: tuple[str, ...]
    known: int  # the model's diagnoses come first; the others it cannot answer
    logits: Floats | None  # (N, known)
    probabilities: Floats | None  # (N, K), 0 for what the model cannot answer
    truth_index: NDArray[np.intp]
    predicted_index: NDArray[np.intp]
    group_index: NDArray[np.intp]
    grouped: bool  # false: no groups were given, each photo is its own
    unreadable: int
    notes: tuple[str, ...]

    @property
    def groups(self) -> int:
        """How many groups the photos belong to."""
        return int(self.group_index.max(initial=-1)) + 1

    def subset(self, mask: NDArray[np.bool_]) -> "EvaluationTable":
        """The same table with some of its photos."""
        return replace(
            self,
            photos=self.photos[mask].reset_index(drop=True),
            logits=None if self.logits is None else self.logits[mask],
            probabilities=None if self.probabilities is None else self.probabilities[mask],
            truth_index=self.truth_index[mask],
            predicted_index=self.predicted_index[mask],
            group_index=np.unique(self.group_index[mask], return_inverse=True)[1],
        )


def read_predictions(path: Path) -> pd.DataFrame:
    """A predictions table from CSV or Parquet; InputError for what cannot be read."""
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise InputError(
            f"a predictions table is not written as '{path.suffix}'",
            where=path,
            expected="a .csv or .parquet file",
        )
    try:
        return pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    except FileNotFoundError as error:
        raise InputError("the predictions table is missing", where=path) from error
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise InputError(
            f"the predictions table cannot be read: {error}",
            where=path,
            fix="write it again, as UTF-8 text or Parquet",
        ) from error


def prepare_table(
    predictions: pd.DataFrame, truth: pd.DataFrame | None, context: EvaluationContext
) -> EvaluationTable:
    """Checks a predictions table, joins the truth to it and numbers diagnoses and groups.

    Raises InputError for missing columns, photos that stand twice or have no prediction, numbers
    that are no probabilities, and a truth or answer that is no diagnosis.
    """
    classes = context.model.diagnoses if context.model else ()
    named = columns.canonical(predictions, classes)
    columns.refuse_duplicates(named.frame, columns.key_of(named.frame))
    frame, ignored = _with_truth(named.frame, truth, context)
    unreadable = frame["error"].notna() if "error" in frame else pd.Series(False, frame.index)
    frame = frame[~unreadable]
    if frame.empty:
        raise InputError("the table has no readable photo", expected="at least one row")

    logits, probabilities = columns.outputs(frame, named)
    given, truths = _named(frame, "truth", named.diagnoses)
    answers = _answers(frame, named, probabilities if probabilities is not None else logits)
    others = set(truths) - set(named.diagnoses)
    known = named.diagnoses if named.diagnoses else tuple(sorted({*truths, *answers}))
    diagnoses = (*known, *sorted((others | set(answers)) - set(known)))
    if probabilities is None and logits is not None:
        probabilities = softmax(logits, context.model.temperature if context.model else 1.0)
    if probabilities is not None:
        missing = len(diagnoses) - probabilities.shape[1]
        probabilities = np.pad(probabilities, ((0, 0), (0, missing)))

    numbers = {name: number for number, name in enumerate(diagnoses)}
    grouped = "group" in frame and bool(frame["group"].notna().all())
    groups = frame["group"].astype(str).to_numpy() if grouped else np.arange(len(frame))
    return EvaluationTable(
        photos=_about(frame, given, truths, answers, groups.astype(str)),
        diagnoses=diagnoses,
        known=len(known),
        logits=logits,
        probabilities=probabilities,
        truth_index=np.array([numbers[name] for name in truths], np.intp),
        predicted_index=np.array([numbers[name] for name in answers], np.intp),
        group_index=np.unique(groups, return_inverse=True)[1],
        grouped=grouped,
        unreadable=int(unreadable.sum()),
        notes=_notes(named, given, truths, grouped, int(unreadable.sum()), ignored),
    )


def _with_truth(
    frame: pd.DataFrame, truth: pd.DataFrame | None, context: EvaluationContext
) -> tuple[pd.DataFrame, int]:
    """The table with truth, group and what is known of the photos; and how many rows had none."""
    if truth is None:
        if "truth" not in frame:
            raise InputError(
                "the table has no column 'truth'",
                expected="truth: a diagnosis for each photo",
                fix="add the column, or give the catalog with --data",
            )
        return frame, 0
    facts = truth.rename(columns={"diagnosis": "truth"})
    key = columns.key_of(frame)
    if key == "path" and context.locate is not None:
        facts = facts.assign(path=[str(context.locate(stored)) for stored in facts["path"]])
        frame = frame.assign(path=[str(context.locate(str(stored))) for stored in frame["path"]])
    absent = facts[~facts[key].isin(frame[key])]
    if len(absent):
        raise InputError(
            f"{len(absent)} of {len(facts)} photos have no prediction, first {absent[key].iloc[0]}",
            expected=f"a row for each photo, matched by {key}",
            fix="predict the whole part; leaving photos out would bias every figure",
        )
    own = [name for name in facts.columns if name == key or name in ("truth", "group", "path")]
    own += [name for name in ("image_id", *ABOUT_PHOTOS) if name in facts and name not in own]
    kept = frame.drop(columns=[name for name in own if name in frame and name != key])
    # Messages name the rows of the table that was given, not of the joined one.
    kept = kept.assign(table_row=frame.index)
    joined = facts[own].merge(kept, on=key, how="left", validate="many_to_one")
    return joined.set_index("table_row"), len(frame) - joined[key].nunique()


def _named(
    frame: pd.DataFrame, column: str, classes: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """Each row's value as a diagnosis, and as the model's class where one contains it."""
    empty = frame[column].isna()
    if empty.any():
        raise InputError(
            f"{int(empty.sum())} rows have no {column}",
            where=columns.row_name(frame, int(np.argmax(empty.to_numpy()))),
            expected="a diagnosis in each row",
            fix="fill in the rows or remove them",
        )
    values = frame[column].astype(str).str.strip()
    as_given: Mapping[str, str | None] = {value: resolve(value, ()) for value in values.unique()}
    as_class = {value: resolve(value, classes) for value in values.unique()}
    for value, found in as_class.items():
        if found is None:
            close = nearest_labels(value)
            raise InputError(
                f"'{value}' is no diagnosis",
                where=f"column {column}, "
                + columns.row_name(frame, int(np.argmax((values == value).to_numpy()))),
                expected="an id of the taxonomy or a class of the model",
                fix="did you mean " + " or ".join(f"'{name}'" for name in close) + "?"
                if close
                else "rename it in the table",
            )
    classes_found = [as_class[value] or value for value in values]
    return [as_given[value] or as_class[value] or value for value in values], classes_found


def _answers(frame: pd.DataFrame, named: columns.NamedColumns, outputs: Floats | None) -> list[str]:
    if "predicted" in frame:
        return _named(frame, "predicted", named.diagnoses)[1]
    if outputs is None:
        raise InputError(
            "the table has no predictions",
            expected="probability columns named by diagnosis, logit_<diagnosis> columns, or a "
            "column 'predicted'",
            fix=f"columns found: {', '.join(map(str, frame.columns))}",
        )
    return [named.diagnoses[index] for index in outputs.argmax(axis=1)]


def _about(
    frame: pd.DataFrame,
    given: list[str],
    truths: list[str],
    answers: list[str],
    groups: NDArray[np.str_],
) -> pd.DataFrame:
    def column(name: str) -> "pd.Series[str]":
        return frame[name] if name in frame else pd.Series(None, frame.index, dtype=object)

    about = pd.DataFrame({name: column(name) for name in ("image_id", "path", *ABOUT_PHOTOS)})
    about["age"] = pd.to_numeric(about["age"], errors="coerce")
    about = about.assign(truth=truths, truth_given=given, predicted=answers, group=groups)
    return about.reset_index(drop=True)


def _notes(
    named: columns.NamedColumns,
    given: list[str],
    truths: list[str],
    grouped: bool,
    unreadable: int,
    ignored: int,
) -> tuple[str, ...]:
    """What a reader must know about how the table was taken."""
    nearer = sum(before != after for before, after in zip(given, truths, strict=True))
    beyond = sum(truth not in named.diagnoses for truth in truths) if named.diagnoses else 0
    notes = {
        "No groups were given: each photo counts as its own group. Where photos share a lesion or "
        "a patient the intervals are too narrow.": not grouped,
        f"{unreadable} photos could not be read and are left out.": unreadable,
        f"{ignored} predictions are of photos outside this part and are left out.": ignored,
        f"{nearer} photos have a nearer diagnosis than the model answers; each counts as the "
        "model's class that contains it.": nearer,
        f"{beyond} photos show a diagnosis that the model cannot answer; they count as "
        "mistakes.": beyond,
    }
    return tuple(text for text, holds in notes.items() if holds)
