"""What an audit looks at, whoever made it: photos with a part, brought to one form."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from cutis.data.audit import audit_split
from cutis.data.catalog import Catalog
from cutis.data.remote import is_url
from cutis.data.sources.base import name_key
from cutis.data.split_records import Check, part_labels
from cutis.data.splits import load_split
from cutis.records import Part
from cutis.storage import sha256_file

COLUMNS = (
    "image_id",  # unique; for people to find the photo by
    "path",  # null where the photo is not on this machine
    "part",  # a Part or "fold K"
    "label",
    "source",
    "lesion_id",
    "patient_id",
    "sha256",
    "pixels_sha256",
)
_HASHED = ["image_id", "part", "label", "source", "lesion_id", "patient_id", "sha256"]
_PART_ORDER = [part.value for part in Part]


@dataclass(frozen=True)
class Subject:
    """Photos with a part each; `rows` has COLUMNS, hashes and links only where known already.

    `checks` are those of a catalog's own promises.
    """

    name: str
    kind: str
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()
    links: pd.DataFrame | None = None
    checks: tuple[Check, ...] = ()
    catalog_sha256: str | None = None
    split_sha256: str | None = None

    @property
    def parts(self) -> list[str]:
        """The parts in order: train, validation, test, then folds by number."""
        return sorted(self.rows["part"].unique(), key=part_order)


def part_order(part: str) -> tuple[int, int]:
    """Sorts parts: train, validation, test, then folds by number."""
    if part in _PART_ORDER:
        return _PART_ORDER.index(part), 0
    return len(_PART_ORDER), int(part.removeprefix("fold "))


def subject_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Brings rows to COLUMNS, with None for whatever is not known, ordered by image_id."""
    complete = rows.reindex(columns=list(COLUMNS)).astype(object)
    complete = complete.where(complete.notna(), None)
    return complete.sort_values("image_id", ignore_index=True)


def catalog_subject(folder: Path, split_name: str) -> Subject:
    """A catalog's split; the diagnoses are those that the catalog's view gives."""
    catalog = Catalog.open(folder)
    split = load_split(catalog, split_name)
    certificate = audit_split(catalog, split)
    rows = catalog.usable().merge(split.table, on="image_id", how="inner")
    places = [None if is_url(path) else str(catalog.locate(path)) for path in rows["path"]]
    rows = rows.assign(
        part=part_labels(rows), label=rows["diagnosis"], path=np.array(places, dtype=object)
    )
    return Subject(
        name=f"split '{split.name}'",
        kind="catalog",
        rows=subject_rows(rows[rows["part"].notna()].drop_duplicates("image_id")),
        links=catalog.links,
        checks=certificate.checks,
        catalog_sha256=catalog.sha256,
        split_sha256=split.info.sha256,
    )


def with_file_hashes(subject: Subject) -> Subject:
    """The subject with the SHA-256 of every photo that is there and has none yet."""
    if subject.rows["sha256"].notna().any():
        return subject
    paths = tqdm(subject.rows["path"], desc="hashing", unit="photo", disable=None)
    hashes = [sha256_file(Path(path)) if path else None for path in paths]
    known = np.array(hashes, dtype=object)
    return replace(subject, rows=subject.rows.assign(sha256=known))


def content_hash(rows: pd.DataFrame) -> str:
    """SHA-256 over the rows (id, part, label, ids, hash of the file) as JSON lines.

    Where the photos lie plays no role.
    """
    digest = hashlib.sha256()
    for row in rows.sort_values("image_id")[_HASHED].to_dict("records"):
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def same_spelling(labels: Iterable[str | None]) -> NDArray[np.object_]:
    """Labels with one spelling each, the first; case and Arabic or Persian letters do not count."""
    first: dict[str, str] = {}
    spelt = [
        None if label is None else first.setdefault(name_key(label), label) for label in labels
    ]
    return np.array(spelt, dtype=object)
