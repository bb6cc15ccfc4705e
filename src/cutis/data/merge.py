"""One row a photograph: a view of a catalog whose sources hold copies of one another.

The appearances of a photograph are the photos that links of copies connect, directly or not. One of
them is kept; no row of the catalog is deleted. docs/verbs/catalog.md states the rules.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cutis import taxonomy
from cutis.data.conflicts import Decision, Judge, Kind, Policy, Rule
from cutis.data.partition import group_names
from cutis.records import LinkKind

DISAGREEMENT_COLUMNS = (
    "photograph",  # the image_id of the appearance that is kept
    "kind",  # conflict, refinement or same class
    "appearances",  # image_id of each, the kept one first
    "labels",  # of each, as its source writes it; None where there is none
    "diagnoses",  # of each; None where its source does not say
    "decision",  # a diagnosis or class, or one of the words below
)
LEFT_OUT = "left out"
NO_CLASS = "no class in the view"
NOT_MERGED = "not merged"

_COPIES = [
    LinkKind.IDENTICAL_BYTES,
    LinkKind.IDENTICAL_PIXELS,
    LinkKind.SAME_PHOTOGRAPH,
    LinkKind.SAME_ISIC_NUMBER,
]
_PLAIN = ("age", "sex", "site", "modality")
_IDS = ("lesion_id", "patient_id")


@dataclass(frozen=True)
class Merged:
    """A merged view.

    `photos` has the columns of the catalog and two more. `appearances` are the image_ids of one
    photograph, the kept one first. `deciding` are those of them that give it its diagnosis: they
    have the one decided on, or any where none has that. `diagnosis` is the one decided on, null
    where the photograph is left out.
    `disagreements` has DISAGREEMENT_COLUMNS, one row a photograph whose appearances differ.
    """

    photos: pd.DataFrame
    disagreements: pd.DataFrame


def merge(
    photos: pd.DataFrame,
    links: pd.DataFrame,
    policy: Policy,
    *,
    view: str | None = None,
    order: Sequence[str] = (),
) -> Merged:
    """One row a photograph, or a row an appearance under the policy `keep`.

    Args:
        photos: rows of a catalog, the unreadable ones left out.
        links: of the same catalog.
        policy: decides where appearances contradict each other.
        view: conflicts are judged, and diagnoses given, in its classes.
        order: the sources, first those to keep where appearances are equally large; sources that
            the policy trusts go before all.
    """
    judge = Judge(policy, None if view is None else taxonomy.view(view))
    ranked = _ranked(photos, links, [*policy.trusted, *order])
    several = ranked[ranked["photograph"].duplicated(keep=False)]
    decisions = _decisions(several, judge)
    appearances = _listed(several, "image_id")
    disagreements = _disagreements(several, decisions, policy)
    kept = ranked if policy.rule is Rule.KEEP else ranked.drop_duplicates("photograph")
    classes = {name: judge.class_of(name) for name in kept["diagnosis"].dropna().unique()}
    rows = kept.assign(
        diagnosis=kept["diagnosis"].map(classes).astype(photos["diagnosis"].dtype),
        appearances=_tuples([(image_id,) for image_id in kept["image_id"]], kept.index),
        deciding=_tuples([(image_id,) for image_id in kept["image_id"]], kept.index),
    )
    if policy.rule is not Rule.KEEP:
        copied = rows["photograph"].isin(appearances)
        merged = _completed(rows[copied], several, decisions, judge, appearances)
        rows = pd.concat([rows[~copied], merged]) if len(merged) else rows
    rows = rows.drop(columns="photograph")
    return Merged(rows.sort_values("image_id", ignore_index=True), disagreements)


def appears_in(rows: pd.DataFrame, source: str) -> "pd.Series[bool]":
    """Which rows of a merged view are photographs that a source holds, kept from it or not."""
    return rows["appearances"].map(
        lambda ids: any(image_id.startswith(f"{source}/") for image_id in ids)
    )


def _ranked(photos: pd.DataFrame, links: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The photos with `photograph`, the image_id of the appearance to keep; the best stand first.

    More pixels before fewer, then the order of the sources, then that of the image_ids.
    """
    names = group_names(list(photos["image_id"]), links[links["kind"].isin(_COPIES)])
    places = {source: place for place, source in reversed(list(enumerate(order)))}
    keys = pd.DataFrame(
        {
            "group": names[photos["image_id"]].to_numpy(),
            "pixels": -photos["width"].astype(float) * photos["height"].astype(float),
            "place": photos["source"].map(places).fillna(len(places)),
            "image_id": photos["image_id"],
        }
    ).sort_values(["group", "pixels", "place", "image_id"])
    best = keys.groupby("group")["image_id"].transform("first")
    return photos.loc[keys.index].assign(photograph=best)


def _decisions(several: pd.DataFrame, judge: Judge) -> dict[str, Decision]:
    """The decision for every photograph of which at least one appearance has a diagnosis."""
    known = several[several["diagnosis"].notna()]
    sources, diagnoses = _listed(known, "source"), _listed(known, "diagnosis")
    return {
        name: judge.decide(frozenset(zip(sources[name], diagnoses[name], strict=True)))
        for name in sources
    }


def _tuples(values: Sequence[tuple[str, ...]], index: pd.Index) -> pd.Series:
    return pd.Series(list(values), index=index, dtype=object)


def _listed(several: pd.DataFrame, column: str) -> dict[str, tuple[Any, ...]]:
    """A column's cells by photograph, those of the kept appearance first; None for null."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    cells = several[column].astype(object)
    for name, cell in zip(several["photograph"], cells.where(cells.notna(), None), strict=True):
        found[name].append(cell)
    return {name: tuple(listed) for name, listed in found.items()}


def _disagreements(
    several: pd.DataFrame,
    decisions: Mapping[str, Decision],
    policy: Policy,
) -> pd.DataFrame:
    differing = [name for name in decisions if decisions[name].kind is not Kind.AGREEMENT]
    rows = several[several["photograph"].isin(differing)]
    cells = [_listed(rows, column) for column in ("image_id", "source_label", "diagnosis")]
    return pd.DataFrame(
        [
            (
                name,
                str(decisions[name].kind),
                *(listed[name] for listed in cells),
                _word(decisions[name], policy),
            )
            for name in sorted(differing)
        ],
        columns=list(DISAGREEMENT_COLUMNS),
    )


def _word(decision: Decision, policy: Policy) -> str:
    if policy.rule is Rule.KEEP:
        return NOT_MERGED
    return LEFT_OUT if decision.left_out else decision.diagnosis or NO_CLASS


def _completed(
    kept: pd.DataFrame,
    several: pd.DataFrame,
    decisions: Mapping[str, Decision],
    judge: Judge,
    appearances: Mapping[str, tuple[str, ...]],
) -> pd.DataFrame:
    """The kept rows with the decided diagnosis and with what only other appearances tell."""
    names = kept["photograph"]
    decided = {name: decision.diagnosis for name, decision in decisions.items()}
    rows = kept.assign(
        diagnosis=names.map(decided).astype(kept["diagnosis"].dtype),
        appearances=_tuples([appearances[name] for name in names], kept.index),
    )
    for column in _PLAIN:
        rows[column] = _filled(rows[column], names.map(_agreed(several, column)))
    for column in _IDS:
        rows[column] = _filled(rows[column], _foreign_ids(rows, several, column))
    classes = {name: judge.class_of(name) for name in several["diagnosis"].dropna().unique()}
    meant = several["diagnosis"].map(classes)
    supporting = several[meant.notna() & (meant == several["photograph"].map(decided))]
    own = rows["confirmed_by"].where(rows["image_id"].isin(supporting["image_id"]))
    rows["confirmed_by"] = _filled(own, names.map(_agreed(supporting, "confirmed_by")))
    labelled = _listed(several[several["diagnosis"].notna()], "image_id")
    deciding = labelled | _listed(supporting, "image_id")
    rows["deciding"] = _tuples([deciding.get(name, ()) for name in names], rows.index)
    return rows.assign(mask=_filled(rows["mask"], names.map(_fitting_masks(several))))


def _agreed(several: pd.DataFrame, column: str) -> pd.Series:
    """By photograph, the one value of its appearances; those with none or several are missing."""
    values = several.groupby("photograph")[column]
    return values.first()[values.nunique() == 1]


def _filled(column: pd.Series, values: pd.Series) -> pd.Series:
    return column.where(column.notna(), values.astype(column.dtype))


def _foreign_ids(kept: pd.DataFrame, several: pd.DataFrame, column: str) -> pd.Series:
    """Ids mean nothing outside their source, so one from another source carries its name."""
    named = several.assign(**{column: several["source"] + "/" + several[column]})
    found = kept["photograph"].map(_agreed(named, column))
    own = [
        id.removeprefix(f"{source}/") if isinstance(id, str) else None
        for id, source in zip(found, kept["source"], strict=True)
    ]
    return pd.Series(own, index=kept.index, dtype=object)


def _fitting_masks(several: pd.DataFrame) -> "pd.Series[str]":
    """By photograph, the mask of the first appearance that has the pixels of the kept one.

    The mask of any other would be of another size, or turned, or cropped.
    """
    pixels = several.drop_duplicates("photograph").set_index("photograph")["pixels_sha256"]
    same = several["pixels_sha256"] == several["photograph"].map(pixels)
    return several[same].groupby("photograph")["mask"].first()
