"""The photos that a recalibrated bundle must not be judged on."""

import pandas as pd

from cutis.data.catalog import Catalog
from cutis.data.partition import in_groups_of
from cutis.errors import InputError
from cutis.runtime import Predictor


def own_cases(rows: pd.DataFrame, catalog: Catalog, predictor: Predictor) -> "pd.Series[bool]":
    """Which rows of a catalog stand in a group of which the bundle was recalibrated on a photo.

    Figures of those would be too good.
    """
    own = catalog.photos[predictor.was_fitted_to(catalog.photos)]
    return in_groups_of(rows, own, catalog.links)


def without_own_cases(rows: pd.DataFrame, catalog: Catalog, predictor: Predictor) -> pd.DataFrame:
    """The rows that are not `own_cases`; InputError where none is left."""
    left = rows[~own_cases(rows, catalog, predictor)]
    if left.empty and len(rows):
        raise InputError(
            f"the bundle was recalibrated on these {len(rows)} photos, or on others of their "
            "groups",
            where=catalog.folder,
            expected="photos that nothing was fitted to",
            fix="look at recalibration.html of the bundle, whose figures come from "
            "cross-validation, or take cases that were confirmed later",
        )
    return left.reset_index(drop=True)
