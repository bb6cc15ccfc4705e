"""How photos belong together, and who is a photo's nearest relative."""

import math

import pandas as pd

from cutis.data.links import isic_number
from cutis.data.partition import group_names
from cutis.records import LinkKind

STRENGTH = (
    LinkKind.IDENTICAL_BYTES.value,
    LinkKind.IDENTICAL_PIXELS.value,
    LinkKind.SAME_PHOTOGRAPH.value,
    LinkKind.SAME_ISIC_NUMBER.value,
    LinkKind.SAME_LESION.value,
    LinkKind.SAME_PATIENT.value,
)
"""The kinds of relation, the strongest first."""

_COPIES = STRENGTH[:3]
_RELATIVES = ["image_id", "relative", "kind", "score", "reason"]


def with_relations(rows: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Adds a column for each way to belong together; equal values do, null belongs to nothing.

    `isic`; `lesion` and `patient`, the ids within their source; `photograph`, all that copies and
    ISIC numbers connect over any number of steps; `family`, the same with lesions.
    """
    isic = rows["image_id"].map(isic_number).astype(object)
    isic = isic.where(isic.notna(), None)
    ids = list(rows["image_id"])
    stars = _stars(rows["image_id"], isic)
    copies = pd.concat([links[links["kind"].isin(_COPIES)][stars.columns], stars])
    siblings = links[links["kind"] != LinkKind.SAME_PATIENT.value][stars.columns]
    return rows.assign(
        isic=isic,
        lesion=_within_source(rows, "lesion_id"),
        patient=_within_source(rows, "patient_id"),
        photograph=group_names(ids, copies)[ids].to_numpy(),
        family=group_names(ids, pd.concat([siblings, stars]))[ids].to_numpy(),
    )


def sibling_links(rows: pd.DataFrame) -> pd.DataFrame:
    """The families of rows `with_relations` as links, each a star around its first photo."""
    return _stars(rows["image_id"], rows["family"]).assign(kind=LinkKind.SAME_LESION.value)


def nearest(seekers: pd.DataFrame, pool: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """For each seeker that has relatives in the pool, the nearest of them.

    Both are rows `with_relations`. Columns image_id, relative, kind, score and reason; the
    strongest kind of relation wins, among near duplicates the best score. The score is NaN where
    others connect the two.
    """
    found = [
        _by_key(seekers, pool, "sha256", STRENGTH[0], "the files are equal byte for byte"),
        _by_key(seekers, pool, "pixels_sha256", STRENGTH[1], "the decoded pixels are equal"),
        _by_link(seekers, pool, links),
        _by_key(
            seekers,
            pool,
            "isic",
            LinkKind.SAME_ISIC_NUMBER.value,
            "the same ISIC number in the name",
        ),
        _by_key(seekers, pool, "photograph", STRENGTH[2], "by way of another copy", math.nan),
        _by_key(seekers, pool, "lesion", STRENGTH[4], "the same lesion id"),
        _by_key(seekers, pool, "family", STRENGTH[4], "by way of another photo", math.nan),
        _by_key(seekers, pool, "patient", STRENGTH[5], "the same patient id"),
    ]
    return pd.concat(found).drop_duplicates("image_id").reset_index(drop=True)


def _by_key(
    seekers: pd.DataFrame,
    pool: pd.DataFrame,
    key: str,
    kind: str,
    reason: str,
    score: float = 1.0,
) -> pd.DataFrame:
    first = pool[pool[key].notna()].drop_duplicates(key).set_index(key)["image_id"]
    relative = seekers[key].map(first)
    hits = relative.notna()
    return pd.DataFrame(
        {
            "image_id": seekers.loc[hits, "image_id"],
            "relative": relative[hits],
            "kind": kind,
            "score": score,
            "reason": reason,
        }
    )


def _by_link(seekers: pd.DataFrame, pool: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    near = links[links["kind"] == LinkKind.SAME_PHOTOGRAPH.value]
    there = near.rename(columns={"image_id_a": "image_id", "image_id_b": "relative"})
    back = near.rename(columns={"image_id_b": "image_id", "image_id_a": "relative"})
    both = pd.concat([there, back])[_RELATIVES]
    inside = both["image_id"].isin(seekers["image_id"]) & both["relative"].isin(pool["image_id"])
    ordered = both[inside].sort_values(["score", "relative"], ascending=[False, True])
    return ordered.drop_duplicates("image_id").astype({"score": float})


def _within_source(rows: pd.DataFrame, column: str) -> pd.Series:
    # Ids are believed within their source only.
    return rows["source"].str.cat(rows[column], sep="\n").where(rows[column].notna(), None)


def _stars(ids: pd.Series, key: pd.Series) -> pd.DataFrame:
    """A link from the first photo of each key to each other one."""
    known = key.notna()
    first = ids[known].groupby(key[known]).transform("first")
    others = first != ids[known]
    return pd.DataFrame({"image_id_a": first[others], "image_id_b": ids[known][others]})
