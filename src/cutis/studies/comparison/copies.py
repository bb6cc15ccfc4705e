"""Judged photos that stand in training as the very same file: counted, scored, and as a table."""

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from cutis import html
from cutis.evaluation.names import display_name
from cutis.evaluation.table import EvaluationTable
from cutis.studies.comparison.record import Comparison, Copied, Copies


def copies_in_training(judged: pd.DataFrame, train: pd.DataFrame) -> dict[str, Copied]:
    """By diagnosis, how many judged photos stand in training too; rows as of `part_rows`."""
    there = _there(judged, train)
    return {
        str(name): Copied(judged=len(held), copied=int(held.sum()))
        for name, held in there.groupby(judged["diagnosis"])
    }


def together(copies: Mapping[str, Copied]) -> Copied:
    """The same over all diagnoses."""
    return Copied(
        judged=sum(one.judged for one in copies.values()),
        copied=sum(one.copied for one in copies.values()),
    )


def scored_copies(table: EvaluationTable, judged: pd.DataFrame, train: pd.DataFrame) -> Copies:
    """The counts, with the accuracy on photos that stand in training and on the others."""
    ids = judged.loc[_there(judged, train), "image_id"]
    there = table.photos["image_id"].isin(ids).to_numpy()
    right = table.truth_index == table.predicted_index
    return Copies(
        by_diagnosis=copies_in_training(judged, train),
        accuracy=float(right[there].mean()) if there.any() else None,
        accuracy_of_others=float(right[~there].mean()) if not there.all() else None,
    )


def section(comparison: Comparison) -> Markup:
    """A column an arm; nothing where no judged photo of any arm stands in training."""
    found = {arm.name: comparison.entry(arm.entries[0]).copies for arm in comparison.arms}
    if not any(together(copies.by_diagnosis).copied for copies in found.values()):
        return Markup("")
    names = sorted({name for copies in found.values() for name in copies.by_diagnosis})
    rows: list[list[html.Content]] = [
        [display_name(name), *(copied_words(c.by_diagnosis.get(name)) for c in found.values())]
        for name in names
    ]
    rows.append(["Together", *(copied_words(together(c.by_diagnosis)) for c in found.values())])
    rows.append(["Accuracy on these photos", *(_figure(c.accuracy) for c in found.values())])
    others = [_figure(copies.accuracy_of_others) for copies in found.values()]
    rows.append(["Accuracy on the others", *others])
    return html.section(
        "Judged photos that stand in training",
        html.paragraph(
            "The very same file is among the training photos: a network that has learnt them by "
            "heart answers it, and a new patient's photo is never one of them."
        ),
        html.table(
            ["Diagnosis", *found],
            rows,
            caption="Photos that stand in training, of those judged. The last rows are of the "
            "first run of each arm; the two kinds of photos differ in their diagnoses too.",
        ),
    )


def copied_words(copied: Copied | None) -> str:
    """A count as tables write it, e.g. 498 of 514."""
    return "–" if copied is None else f"{copied.copied:,} of {copied.judged:,}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _there(judged: pd.DataFrame, train: pd.DataFrame) -> "pd.Series[bool]":
    return judged["sha256"].isin(train["sha256"])
