"""A split of a smaller catalog, extended to a catalog that holds more photos."""

from pathlib import Path

import numpy as np
import pandas as pd

from cutis.errors import InputError
from cutis.records import Part


def extended_parts(rows: pd.DataFrame, base: pd.DataFrame, catalog: Path) -> pd.Series:
    """The part of every row: as in the base split, and train for what it does not know.

    No part gains a photo that is judged, and nothing that belongs together with one trains: where
    a group holds a test photo of the base, its other photos are in no part, and likewise where it
    holds a validation photo and none of the test part. That takes photos of the base too, where
    only the larger catalog shows that they belong together. Photos that the base left out stay so.

    Args:
        rows: `image_id` and `group` in the larger catalog.
        base: `image_id` and `part` in the smaller one.
        catalog: for messages.

    Raises InputError where a photo that the base judges is not among the rows: the figures of two
    such splits could not be compared.
    """
    known = rows["image_id"].map(base.set_index("image_id")["part"])
    judged = base.loc[base["part"].isin([Part.VALIDATION, Part.TEST]), "image_id"]
    missing = sorted(set(judged) - set(rows["image_id"]))
    if missing:
        raise InputError(
            f"{len(missing)} photos that the split judges are not in this catalog",
            where=f"{catalog}: {missing[0]}",
            expected="every validation and test photo of the split, under the same image_id",
            fix="import the same source too, with --conflicts keep, which keeps every copy of a "
            "photograph",
        )
    part = known.where(rows["image_id"].isin(base["image_id"]), Part.TRAIN.value).astype(object)
    rank = part.map({Part.TEST.value: 2, Part.VALIDATION.value: 1}).fillna(0)
    strictest = rank.groupby(rows["group"]).transform("max")
    return part.where(rank == strictest).replace({np.nan: None})
