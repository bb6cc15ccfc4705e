"""Feedback from the app trains and is never judged on, unless somebody holds it out by name.

What people confirmed after a model had answered is no sample of a clinic's patients: the model's
own uncertainty chose it, and the diagnosis was given with the model's answer in view. A test part
of such photos measures neither.
"""

from collections.abc import Collection

import pandas as pd

from cutis.data.catalog import Catalog, SourceInfo
from cutis.data.sources.feedback import FEEDBACK
from cutis.errors import InputError
from cutis.records import Part

HELD_OUT = (
    "the test part is feedback, which a model's own uncertainty chose: its figures are not those "
    "of a clinic's patients"
)
"""The warning where somebody holds feedback out."""


def feedback_sources(sources: Collection[SourceInfo]) -> tuple[str, ...]:
    """The names of the sources that came from an archive of the app."""
    return tuple(source.name for source in sources if source.format == FEEDBACK.name)


def is_feedback(rows: pd.DataFrame, sources: Collection[str]) -> "pd.Series[bool]":
    """Which rows of a merged view have their diagnosis from these sources and from no other.

    A copy in another source that does not say what it shows makes no row less feedback.
    """
    known = set(sources)
    return rows["deciding"].map(
        lambda ids: all(image_id.partition("/")[0] in known for image_id in ids)
    )


def training_parts(table: pd.DataFrame, feedback: "pd.Series[bool]") -> pd.Series:
    """The part of each row once the feedback has come into a split of the others.

    Feedback trains, in every fold too. Where its group holds another photo that is in a part other
    than train, or in a fold, it is in no part.

    Args:
        table: `group`, `part` and `fold`; part and fold of the feedback are null.
        feedback: which rows are feedback, aligned with the table.
    """
    judged = table["part"].isin([Part.VALIDATION, Part.TEST]) | table["fold"].notna()
    apart = table["group"].isin(table.loc[judged, "group"])
    part = apart.map({True: None, False: Part.TRAIN.value}).astype(object)
    return table["part"].mask(feedback, part)


def refuse_judged(table: pd.DataFrame, feedback: "pd.Series[bool]", catalog: Catalog) -> None:
    """Raises InputError where an extended split would judge on diagnoses of feedback.

    Args:
        table: `image_id` and `part`.
        feedback: as `training_parts` takes it.
    """
    judged = table[feedback & table["part"].isin([Part.VALIDATION, Part.TEST])]
    if len(judged):
        raise InputError(
            f"of {len(judged)} photos that the split judges, the diagnosis is now that of feedback",
            where=f"{catalog.folder}: {judged['image_id'].iloc[0]}",
            expected="the diagnoses of the other sources, on which the model was judged",
            fix="import the sources with --conflicts keep, which keeps every copy of a photograph",
        )


def only_feedback(catalog: Catalog) -> InputError:
    """Refuses a catalog in which nothing is left to deal."""
    return InputError(
        "the catalog holds nothing to divide: all its diagnosed photos, but those held out, are "
        "feedback, which only trains",
        where=catalog.folder,
        expected="photos of other sources too",
        fix="import the feedback into the catalog that the model was trained on, then extend its "
        "split: cutis split CATALOG --name more --extend CATALOG/splits/default",
    )
