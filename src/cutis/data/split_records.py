"""What a split and its certificate are made of."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from cutis.records import FORMAT_VERSION, SPLIT_SCHEMA, Part, Record

_PART_NAMES = [part.value for part in Part]


class Check(Record):
    """One question that an audit asks. `passed` is None where the data cannot answer it."""

    name: str
    passed: bool | None
    found: int  # offending photos, pairs or ids
    detail: str
    examples: tuple[tuple[str, ...], ...] = ()  # image ids that belong together


class Certificate(Record):
    """What an audit found, for a person (`verdict`) and for a program.

    `counts` gives photos by part and diagnosis. `sibling_rate` is the share of test photos with
    another photo of the same lesion or photograph in another part (with folds: in another fold);
    `sibling_rate_by_image` is what a random split by image of these shares would give on average.
    """

    format_version: int = FORMAT_VERSION
    subject: str
    catalog_sha256: str
    split_sha256: str
    passed: bool
    verdict: str
    checks: tuple[Check, ...]
    counts: dict[str, dict[str, int]]
    groups: dict[str, int]
    sibling_rate: float | None
    sibling_rate_by_image: float | None


class SplitInfo(Record):
    """`split.json`."""

    format_version: int = FORMAT_VERSION
    name: str
    seed: int
    shares: tuple[float, float, float] | None  # percent of train, validation, test
    folds: int | None
    hold_out: str | None  # the source that is the test part
    extends: str | None = None  # hash of the split whose parts were kept
    drop: tuple[str, ...] = ()  # photos with one of these flags are in no part
    unsafe: bool  # true: split by image, photos of one lesion stand on both sides
    rules: tuple[str, ...]
    catalog_sha256: str
    sha256: str
    counts: dict[str, dict[str, int]]  # photos by part (or "fold 0" …) and diagnosis
    groups: dict[str, int]  # groups by part
    left_out: int  # photos of no part: dropped, or in a group with a photo that is judged
    warnings: tuple[str, ...] = ()
    certificate: Certificate | None = None


@dataclass(frozen=True)
class Split:
    """An opened split; `table` has the columns of SPLIT_SCHEMA, one row a usable photo."""

    name: str
    table: pd.DataFrame
    info: SplitInfo


def split_hash(table: pd.DataFrame, unsafe: bool, drop: Sequence[str] = ()) -> str:
    """SHA-256 over the rows as JSON lines, ordered by image_id, then the mark of being unsafe
    and the flags dropped, if any.
    """
    digest = hashlib.sha256()
    ordered = table.sort_values("image_id")[SPLIT_SCHEMA.names].astype(object)
    for row in ordered.where(ordered.notna(), None).to_dict("records"):
        row["fold"] = None if row["fold"] is None else int(row["fold"])
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    marks = {"unsafe": unsafe} | ({"drop": list(drop)} if drop else {})
    digest.update(json.dumps(marks).encode())
    return digest.hexdigest()


def part_labels(table: pd.DataFrame) -> pd.Series:
    """The part of every photo by name, `fold K` with folds, null for photos of no part."""
    folds = "fold " + table["fold"].astype("Int16").astype("string")
    return table["part"].astype("string").fillna(folds).astype(object)


def count_parts(table: pd.DataFrame, diagnoses: pd.Series) -> dict[str, dict[str, int]]:
    """Photos by part and diagnosis; `diagnoses` is aligned with the table."""
    counts: dict[str, dict[str, int]] = {}
    crossed = pd.crosstab(part_labels(table), diagnoses)
    for part in sorted(crossed.index, key=_part_order):
        held = crossed.loc[part]
        counts[part] = {str(name): int(photos) for name, photos in held[held > 0].items()}
    return counts


def count_groups(table: pd.DataFrame) -> dict[str, int]:
    """Groups by part."""
    sizes = table.groupby(part_labels(table))["group"].nunique()
    return {part: int(sizes[part]) for part in sorted(sizes.index, key=_part_order)}


def _part_order(label: str) -> tuple[int, str]:
    return (_PART_NAMES.index(label) if label in _PART_NAMES else len(_PART_NAMES), label)
