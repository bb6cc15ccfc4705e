"""What a catalog holds: counts, gaps, licences and sources whose photos are not on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cutis.data.catalog import Catalog
from cutis.data.flags import UNREADABLE, flagged, quality_known
from cutis.data.remote import is_url
from cutis.records import QualityFlag
from cutis.storage import write_file

NOT_KNOWN = "not known"
COLUMNS_THAT_MAY_MISS = (
    "diagnosis",
    "confirmed_by",
    "patient_id",
    "lesion_id",
    "age",
    "sex",
    "site",
    "modality",
    "mask",
    "source_part",
)


@dataclass(frozen=True)
class Absent:
    """A source of which photos are not where the catalog says."""

    source: str
    root: str
    photos: int
    missing: int


@dataclass(frozen=True)
class Overview:
    """A catalog in numbers; `view` is that in whose classes usable photos are counted."""

    catalog: Catalog
    view: str | None
    usable: pd.DataFrame  # as `Catalog.usable`
    photographs: int  # readable ones, after merging
    sources: pd.DataFrame  # index source: photos, unreadable, undiagnosed, usable
    diagnoses: pd.DataFrame  # index diagnosis, usable photos by source, and "all"
    counts: dict[str, pd.DataFrame]  # modality and confirmed_by: index value, photos by source
    missing: pd.DataFrame  # index column, share of null by source, and "all"
    links: dict[str, int]  # pairs by kind
    disagreements: pd.DataFrame  # index kind, diagnoses, decision: photographs
    absent: tuple[Absent, ...]
    flags: (
        pd.DataFrame | None
    )  # index quality flag, photos by source, and "all"; None: not measured


def describe(catalog: Catalog, view: str | None = None) -> Overview:
    """Counts what a catalog holds and looks whether its photos are still there."""
    merged = catalog.merged(view)
    usable = merged.photos[merged.photos["diagnosis"].notna()].reset_index(drop=True)
    photos = catalog.photos
    return Overview(
        catalog=catalog,
        view=view or catalog.info.options.view,
        usable=usable,
        photographs=len(merged.photos),
        sources=_by_source(catalog, usable),
        diagnoses=_crossed(usable["diagnosis"], usable["source"]),
        counts={
            name: _crossed(photos[name].astype(object).fillna(NOT_KNOWN), photos["source"])
            for name in ("modality", "confirmed_by")
        },
        missing=_missing(photos),
        links=dict(catalog.info.counts.links),
        disagreements=count_disagreements(merged.disagreements),
        absent=absent_sources(catalog),
        flags=_flags(photos) if quality_known(photos) else None,
    )


def credits(catalog: Catalog) -> pd.DataFrame:
    """A row a source: source, licence, citation (null where not known), photos, and `kept`: how
    many usable photos are taken from it after merging.
    """
    kept = catalog.usable()["source"].value_counts()
    return pd.DataFrame(
        [
            (info.name, info.licence, info.citation, info.photos, int(kept.get(info.name, 0)))
            for info in catalog.info.sources
        ],
        columns=["source", "licence", "citation", "photos", "kept"],
        dtype=object,
    )


def count_disagreements(disagreements: pd.DataFrame) -> pd.DataFrame:
    """Photographs by kind, diagnoses and decision, the most frequent first."""
    named = disagreements.assign(
        diagnoses=[" / ".join(sorted({n for n in d if n})) for d in disagreements["diagnoses"]]
    )
    keys = ["kind", "diagnoses", "decision"]
    counted = named.groupby(keys).size().rename("photographs").reset_index()
    return counted.sort_values(["photographs", *keys], ascending=[False, True, True, True])


def write_disagreements(disagreements: pd.DataFrame, path: Path) -> None:
    """Writes DISAGREEMENT_COLUMNS as CSV; several values in a cell stand apart by `; `."""
    joined = disagreements.assign(
        **{
            name: ["; ".join(value or NOT_KNOWN for value in cell) for cell in disagreements[name]]
            for name in ("appearances", "labels", "diagnoses")
        }
    )
    write_file(path, joined.to_csv(index=False, lineterminator="\n"))


def absent_sources(catalog: Catalog) -> tuple[Absent, ...]:
    """The sources of which photos have gone from the disk; storages are not asked."""
    places = catalog.photos["path"]
    there = [is_url(stored) or catalog.locate(stored).is_file() for stored in places]
    lost = catalog.photos.loc[~np.array(there, bool), "source"].value_counts()
    return tuple(
        Absent(info.name, info.root, info.photos, int(lost[info.name]))
        for info in catalog.info.sources
        if info.name in lost
    )


def _by_source(catalog: Catalog, usable: pd.DataFrame) -> pd.DataFrame:
    photos = catalog.photos
    table = pd.DataFrame(
        {
            "photos": photos["source"].value_counts(),
            "unreadable": photos.loc[flagged(photos, [UNREADABLE]), "source"].value_counts(),
            "undiagnosed": photos.loc[photos["diagnosis"].isna(), "source"].value_counts(),
            "usable": usable["source"].value_counts(),
        }
    )
    return table.reindex([info.name for info in catalog.info.sources]).fillna(0).astype(int)


def _crossed(values: pd.Series, sources: pd.Series) -> pd.DataFrame:
    table = pd.crosstab(values.to_numpy(), sources.to_numpy())
    table["all"] = table.sum(axis=1)
    return table.sort_values("all", ascending=False, kind="stable")


def _flags(photos: pd.DataFrame) -> pd.DataFrame:
    """All sources have a column, and all flags of QualityFlag a row, also where none is raised."""
    raised = photos.explode("flags")
    table = pd.crosstab(raised["flags"], raised["source"])
    sources = sorted(photos["source"].unique())
    table = table.reindex(index=[*QualityFlag], columns=sources, fill_value=0)
    return table.assign(all=table.sum(axis=1))


def _missing(photos: pd.DataFrame) -> pd.DataFrame:
    unknown = photos[list(COLUMNS_THAT_MAY_MISS)].isna()
    shares = unknown.groupby(photos["source"]).mean().T
    return shares.assign(all=unknown.mean())
