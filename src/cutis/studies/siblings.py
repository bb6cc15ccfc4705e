"""Who trains and who tests, once with and once without the siblings of the test photos."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data.catalog import Catalog
from cutis.data.partition import deal, group_names
from cutis.errors import InputError

TEST_SHARE = 0.15
VALIDATION_SHARE = 0.15

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Trial:
    """One draw; every array holds positions in the table of photos, ascending."""

    seed: int
    test: Index
    has_sibling: NDArray[np.bool_]  # (test photos,) of the siblings that one training sees
    siblings: Index
    validation: Index
    with_siblings: Index  # the one training
    without_siblings: Index  # the other one


def grouped_rows(catalog: Catalog, view: str | None) -> pd.DataFrame:
    """The catalog's usable rows with their `group`, as splits find it.

    Raises InputError where no two of them belong together: nothing can leak then, or nobody has
    recorded what could.
    """
    groups = group_names(list(catalog.photos["image_id"]), catalog.links)
    rows = catalog.usable(view)
    rows = rows.assign(group=groups[rows["image_id"]].to_numpy())
    if not rows["group"].duplicated().any():
        raise InputError(
            "no two photos of the catalog belong together, so there is no leak to price",
            where=catalog.folder,
            expected="lesion or patient ids, or duplicates, among the photos with a diagnosis",
            fix="import a collection with lesion_id or patient_id, such as HAM10000",
        )
    return rows


def draw_trial(rows: pd.DataFrame, seed: int) -> Trial:
    """Draws test photos by image, and two training sets that differ in the test photos' siblings.

    Of each diagnosis, 15 % of the photos are test photos T, drawn one by one as a careless split
    does. Their siblings S are the other photos of their groups; the rest R are the groups without
    a test photo. 15 % of R, whole groups, are the validation part of both trainings; P is what
    remains. Without siblings, the training set is P. With siblings it is S and P without as many
    random photos of each diagnosis as S holds. So both have the same size and the same
    number of photos of each diagnosis, and only one has siblings of test photos; nothing of the
    validation part has a sibling in either.

    Args:
        rows: a row a photo with `image_id`, `group`, `diagnosis` and `source`, index from 0.

    Raises InputError where no test photo has a sibling, or P has fewer photos of a diagnosis than
    S.
    """
    rng = np.random.default_rng(seed)
    diagnosis = rows["diagnosis"].to_numpy()
    test = _drawn(diagnosis, TEST_SHARE, rng)
    tested = rows["group"].isin(rows["group"].iloc[test]).to_numpy()
    is_test = np.zeros(len(rows), bool)
    is_test[test] = True
    siblings = np.flatnonzero(tested & ~is_test)
    has_sibling = rows["group"].iloc[test].isin(rows["group"].iloc[siblings]).to_numpy()
    if not has_sibling.any():
        raise InputError(
            f"no test photo has a sibling (seed {seed})",
            expected="photos of one lesion or patient on both sides of a split by image",
            fix="use a collection with more photos of one lesion or patient",
        )
    rest = np.flatnonzero(~tested)
    validates = deal(rows.iloc[rest], [1 - VALIDATION_SHARE, VALIDATION_SHARE], seed) == 1
    pool = rest[~validates]
    kept = _without_as_many(pool, siblings, diagnosis, rng)
    return Trial(
        seed=seed,
        test=test,
        has_sibling=has_sibling,
        siblings=siblings,
        validation=rest[validates],
        with_siblings=np.sort(np.concatenate([siblings, kept])),
        without_siblings=pool,
    )


def _drawn(diagnosis: NDArray[np.object_], share: float, rng: np.random.Generator) -> Index:
    """A share of the photos of each diagnosis, at least one."""
    chosen = []
    for name in np.unique(diagnosis):
        members = np.flatnonzero(diagnosis == name)
        count = max(1, round(share * len(members)))
        chosen.append(rng.choice(members, count, replace=False))
    return np.sort(np.concatenate(chosen))


def _without_as_many(
    pool: Index, siblings: Index, diagnosis: NDArray[np.object_], rng: np.random.Generator
) -> Index:
    """The pool without as many random photos of each diagnosis as there are siblings of it."""
    dropped = []
    for name, count in zip(*np.unique(diagnosis[siblings], return_counts=True), strict=True):
        members = pool[diagnosis[pool] == name]
        if len(members) < count:
            raise InputError(
                f"{count} siblings of test photos show {name}, but only {len(members)} training "
                "photos without a sibling could make room for them",
                expected="at least as many photos of each diagnosis in groups without a test photo",
                fix="import more photos, or choose a view with fewer diagnoses (view=NAME)",
            )
        dropped.append(rng.choice(members, count, replace=False))
    return np.setdiff1d(pool, np.concatenate(dropped))
