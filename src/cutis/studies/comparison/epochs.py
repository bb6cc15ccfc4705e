"""The published t-test on the epochs of consecutive stages, and the entries that test it honestly.

The papers pair validation figures by epoch. What holds instead is a comparison of the run cut off
after either stage on the same photos: such runs are recognised by their recipes.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from cutis.metrics.bootstrap import Resampling
from cutis.metrics.statistics import epoch_t_test
from cutis.recipes import Recipe, parse_recipe
from cutis.studies.comparison.pairs import estimated
from cutis.studies.comparison.record import EntryRecord, EpochTestRecord

_FREE = {"name", "title", "paper", "stage"}
"""Keys in which a recipe and its cut-off version may differ."""


def with_epoch_tests(
    entries: Sequence[EntryRecord], resampling: Resampling
) -> tuple[EntryRecord, ...]:
    """The entries with the t-test between each two consecutive stages of their runs."""
    return tuple(
        entry.model_copy(update={"epoch_tests": _tests(entry, entries, resampling)})
        for entry in entries
    )


def _tests(
    entry: EntryRecord, entries: Sequence[EntryRecord], resampling: Resampling
) -> tuple[EpochTestRecord, ...]:
    history = pd.DataFrame(list(entry.history))
    turns = (history["stage"] != history["stage"].shift()).cumsum()
    stages = [epochs for _, epochs in history.groupby(turns)]
    pairs = min(len(epochs) for epochs in stages)
    if len(stages) < 2 or pairs < 2:
        return ()
    return tuple(
        _test(first[:pairs], second[:pairs], score, _cut_off(entry, number, entries), resampling)
        for number, (first, second) in enumerate(pairwise(stages), start=1)
        for score in history.columns
        if score.startswith("validation_") and score != "validation_loss"
    )


def _test(
    first: pd.DataFrame,
    second: pd.DataFrame,
    score: str,
    honest: tuple[str, str] | None,
    resampling: Resampling,
) -> EpochTestRecord:
    found = epoch_t_test(list(first[score]), list(second[score]), resampling)
    known = bool(np.isfinite(found.t))
    return EpochTestRecord(
        first_stage=str(first["stage"].iloc[0]),
        second_stage=str(second["stage"].iloc[0]),
        score=score,
        pairs=found.pairs,
        t=found.t if known else None,
        p_value=found.p_value if known else None,
        gain=estimated(found.gain),
        honest=honest,
    )


def _cut_off(
    entry: EntryRecord, stages: int, entries: Sequence[EntryRecord]
) -> tuple[str, str] | None:
    """Names of the entries that are this one cut off after `stages` stages and after one more."""
    whole = _recipe(entry)
    names = []
    for length in (stages, stages + 1):
        found = [
            other.name
            for other in entries
            if _same_start(whole, _recipe(other), length)
            and _ground(other) == _ground(entry)
            and other.photos_sha256 == entry.photos_sha256
        ]
        if not found:
            return None
        names.append(entry.name if entry.name in found else found[0])
    return names[0], names[1]


def _same_start(whole: Recipe, other: Recipe, length: int) -> bool:
    same = whole.model_dump(exclude=_FREE) == other.model_dump(exclude=_FREE)
    return same and other.stage == whole.stage[:length]


def _recipe(entry: EntryRecord) -> Recipe:
    return parse_recipe(entry.recipe_text, where=entry.run)


def _ground(entry: EntryRecord) -> list[str]:
    """Catalog, split and start weights, as the head of the recipe as run notes them."""
    return [line for line in entry.recipe_text.splitlines() if line.startswith("#")]
