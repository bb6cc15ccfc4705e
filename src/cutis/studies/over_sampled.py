"""Over-sampling before the split, as some papers did it: a catalog with copies of its rows.

A copy has the path of its photo and `#2`, `#3` … behind its image_id. A split by image then puts
one and the same photo on both sides, which `cutis audit` finds. See docs/verbs/reproduce.md.
"""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cutis import taxonomy
from cutis.data.catalog import Catalog, CatalogOptions, write_catalog
from cutis.data.partition import group_names
from cutis.records import LINK_SCHEMA, LinkKind

FOLDER = "over-sampled"
"""The folder inside a reproduction that holds the derived catalog."""


def over_sample(
    catalog: Catalog,
    folder: Path,
    *,
    photos: int | Literal["balanced"],
    view: str | None,
    seed: int,
) -> Catalog:
    """Writes a catalog with equally many photos of every diagnosis of a view.

    Of frequent diagnoses photos are drawn without replacement; of rare ones all are taken, and
    copies drawn with replacement beside them. What belongs together in the catalog belongs
    together in the new one. The photos stay where they are.

    Args:
        photos: of each diagnosis; "balanced" for as many as the most frequent one has.
        view: as in `Catalog.usable`.

    A folder that holds this very catalog is left as it is. Raises InputError where it holds
    another one.
    """
    usable = catalog.usable(view)
    number = int(usable["diagnosis"].value_counts().max()) if photos == "balanced" else photos
    drawn = _drawn(usable, number, np.random.default_rng(seed))
    origin = drawn["image_id"]
    places = {
        column: drawn[column].map(partial(_absolute, catalog), na_action="ignore")
        for column in ("path", "mask")
    }
    # a view is applied when a catalog is read, so its rows need what the view is applied to
    view = view or catalog.info.options.view
    rows = drawn.assign(
        image_id=_numbered(origin),
        diagnosis=_exact_diagnoses(drawn, catalog, view),
        **places,
    )
    held = rows["source"].value_counts()
    return write_catalog(
        folder,
        rows.drop(columns=["appearances", "deciding"]),
        _links(rows["image_id"], origin, catalog),
        sources=[
            source.model_copy(update={"photos": int(held[source.name])})
            for source in catalog.info.sources
            if source.name in held
        ],
        options=CatalogOptions(view=view),
        replace=False,
    )


def _drawn(usable: pd.DataFrame, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """`number` rows of each diagnosis, ordered by image_id."""
    places = []
    for name in sorted(usable["diagnosis"].unique()):
        held = np.flatnonzero(usable["diagnosis"] == name)
        if len(held) > number:
            places.append(rng.choice(held, number, replace=False))
        else:
            places += [held, rng.choice(held, number - len(held))]
    return usable.iloc[np.sort(np.concatenate(places))].reset_index(drop=True)


def _numbered(origin: "pd.Series[str]") -> "pd.Series[str]":
    """The image_ids, from the second appearance on with its number."""
    number = origin.groupby(origin).cumcount() + 1
    return origin.where(number == 1, origin + "#" + number.astype(str))


def _absolute(catalog: Catalog, stored: str) -> str:
    return str(catalog.locate(stored).absolute())


def _exact_diagnoses(drawn: pd.DataFrame, catalog: Catalog, view: str | None) -> list[str]:
    """For each row, what its class in the view was made from: the diagnosis of an appearance."""
    known = catalog.photos.set_index("image_id")["diagnosis"].dropna()
    names = known.unique()
    chosen = None if view is None else taxonomy.view(view)
    class_of = {name: name if chosen is None else chosen.class_of(name) for name in names}
    return [
        next(
            (known[id] for id in ids if id in known and class_of[known[id]] == diagnosis), diagnosis
        )
        for ids, diagnosis in zip(drawn["appearances"], drawn["diagnosis"], strict=True)
    ]


def _links(image_ids: pd.Series, origin: pd.Series, catalog: Catalog) -> pd.DataFrame:
    """Stars: copies around their photo, and these around what the catalog's links lead to.

    The links of photos that were not drawn connect others, so they cannot just be left out.
    """
    left = pd.DataFrame({"image_id": image_ids, "origin": origin})
    everything = list(catalog.photos["image_id"])
    stars = [_star(left, left["origin"], LinkKind.IDENTICAL_BYTES, "made by over-sampling")]
    kinds: list[str] = []
    for kind in LinkKind:  # the strongest first
        kinds.append(kind.value)
        names = group_names(everything, catalog.links[catalog.links["kind"].isin(kinds)])
        left = left[~left["image_id"].isin(stars[-1]["image_id_b"])]
        group = left["origin"].map(names)
        stars.append(_star(left, group, kind, "linked in the catalog that was over-sampled"))
    return pd.concat([star for star in stars if len(star)] or stars[:1], ignore_index=True)


def _star(rows: pd.DataFrame, group: pd.Series, kind: LinkKind, reason: str) -> pd.DataFrame:
    """The first image_id of each group linked to each of the others."""
    first = rows.groupby(group)["image_id"].transform("min")
    others = first != rows["image_id"]
    columns: list[str] = LINK_SCHEMA.names
    return pd.DataFrame(
        {
            "image_id_a": first[others],
            "image_id_b": rows.loc[others, "image_id"],
            "kind": kind.value,
            "score": 1.0,
            "reason": reason,
        }
    )[columns]
