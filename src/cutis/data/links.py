"""Pairs of photos that belong together: by the ids of the sources and by what the photos show."""

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data.duplicates import find_links
from cutis.records import LINK_SCHEMA, LinkKind

_ISIC = re.compile(r"isic[_\- ]?(\d{7})(?!\d)", re.IGNORECASE)
_FIRST_DRAWN = "9000000"
"""Drawn collections count from here on, each anew, so equal numbers mean nothing there."""


def link_photos(photos: pd.DataFrame, fingerprints: NDArray[np.void]) -> pd.DataFrame:
    """All links of a catalog.

    photos: rows as those of a catalog. fingerprints: (n,) of FINGERPRINT, of the photos whose
    `pixels_sha256` is known, in their order.

    Ids are believed within their source only: "patient 1" of two collections are two people. The
    numbers of the ISIC archive are believed everywhere.
    """
    readable = photos["pixels_sha256"].notna()
    seen = photos.loc[readable, ["image_id", "sha256", "pixels_sha256"]]
    found = [
        _links_by_id(photos, "lesion_id", LinkKind.SAME_LESION, "lesion"),
        _links_by_id(photos, "patient_id", LinkKind.SAME_PATIENT, "patient"),
        find_links(seen.reset_index(drop=True), fingerprints),
        _links_by_isic_number(photos),
    ]
    links = pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)
    columns: list[str] = LINK_SCHEMA.names
    return links[columns].sort_values(columns[:3], ignore_index=True)


def isic_number(name: str) -> str | None:
    """The seven digits of an ISIC number in a file's name; None without one."""
    found = _ISIC.search(name.replace("\\", "/").rsplit("/", 1)[-1])
    return found[1] if found else None


def _links_by_isic_number(photos: pd.DataFrame) -> pd.DataFrame:
    """A star for each number of the ISIC archive, over all sources: they mean the same archive."""
    numbers = photos["image_id"].map(isic_number)
    archived = photos.assign(isic=numbers.where(numbers < _FIRST_DRAWN, None), source="")
    return _links_by_id(archived, "isic", LinkKind.SAME_ISIC_NUMBER, "ISIC number")


def _links_by_id(photos: pd.DataFrame, column: str, kind: LinkKind, word: str) -> pd.DataFrame:
    """A star for each id: its first photo linked to each of the others."""
    known = photos.loc[photos[column].notna(), ["image_id", "source", column]]
    known = known.sort_values("image_id")
    first = known.groupby(["source", column])["image_id"].transform("first")
    others = known[known["image_id"] != first]
    return pd.DataFrame(
        {
            "image_id_a": first[others.index],
            "image_id_b": others["image_id"],
            "kind": kind.value,
            "score": 1.0,
            "reason": word + " " + others[column].astype(str),
        }
    )
