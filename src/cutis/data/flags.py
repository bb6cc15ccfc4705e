"""What the column `flags` of a catalog says."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from cutis.errors import InputError, nearest
from cutis.records import QUALITY_COLUMNS, QualityFlag

UNREADABLE = "unreadable"
"""The flag of a photo that could not be decoded."""


def flagged(photos: pd.DataFrame, flags: Collection[str]) -> "pd.Series[bool]":
    """Which rows carry one of the flags or more."""
    raised = [not set(flags).isdisjoint(row) for row in photos["flags"]]
    return pd.Series(np.array(raised, bool), index=photos.index)


def count_flags(photos: pd.DataFrame) -> dict[str, int]:
    """Photos by flag, in the order of the flags' names."""
    return dict(sorted(Counter(flag for row in photos["flags"] for flag in row).items()))


def quality_known(photos: pd.DataFrame) -> bool:
    """Whether the quality of any photo has been measured."""
    return bool(photos[QUALITY_COLUMNS].notna().any(axis=None))


def check_drop(drop: Sequence[str], photos: pd.DataFrame) -> tuple[str, ...]:
    """The flags to drop in their usual order; InputError for what is no flag or not measured."""
    known = [flag.value for flag in QualityFlag]
    for flag in drop:
        if flag not in known:
            raise InputError(
                f"there is no quality flag '{flag}'",
                expected="one or more of " + ", ".join(known),
                fix=nearest(flag, known) or None,
            )
    if drop and not quality_known(photos):
        raise InputError(
            "no photo can be dropped by a flag: their quality has not been measured",
            fix="import the sources again with 'cutis import'",
        )
    return tuple(flag for flag in known if flag in drop)
