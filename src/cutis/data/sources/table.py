"""Any CSV, Parquet or Excel table of photos, with columns named by the user."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cutis.data.sources import tables
from cutis.data.sources.base import (
    Photos,
    Reader,
    SourceTable,
    collect_photos,
    match_rows,
    part_name,
)
from cutis.errors import InputError, nearest

MEANINGS = (
    "image",
    "diagnosis",
    "lesion_id",
    "patient_id",
    "part",
    "age",
    "sex",
    "site",
    "confirmed_by",
    "modality",
    "mask",
)
"""What a column can be named as; `image` and `diagnosis` are needed."""


def _recognises(source: Path) -> bool:
    return source.is_file() and source.suffix.lower() in tables.TABLE_SUFFIXES


def _read(source: Path, columns: Mapping[str, str]) -> SourceTable:
    path = source if source.is_file() else _only_table(source)
    root = path.parent
    table = tables.read_table(path)
    chosen = _choose(table, columns, path)
    photos = collect_photos(root)
    rows, warnings = match_rows(_meanings(chosen, photos), photos)
    return SourceTable(format=TABLE.name, root=source, rows=rows, warnings=warnings)


def _only_table(folder: Path) -> Path:
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file()
        and path.suffix.lower() in tables.TABLE_SUFFIXES
        # A readme is no table.
        and path.suffix.lower() != ".txt"
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found)
    raise InputError(
        f"the folder has {len(found)} tables ({names})" if found else "the folder has no table",
        where=folder,
        expected="one CSV, TSV, Parquet or xlsx file, with the photos in or below its folder",
        fix="name the table itself as the source",
    )


def _choose(table: pd.DataFrame, columns: Mapping[str, str], path: Path) -> pd.DataFrame:
    """The columns that the user named, called by their meaning."""
    there = ", ".join(table.columns)
    for meaning, column in columns.items():
        if meaning not in MEANINGS:
            raise InputError(
                f"'{meaning}' is nothing that a column can mean",
                expected="one of " + ", ".join(MEANINGS),
                fix=nearest(meaning, MEANINGS) or None,
            )
        if column not in table.columns:
            raise InputError(
                f"the table has no column '{column}'",
                where=path,
                expected=f"one of {there}",
                fix=nearest(column, table.columns) or None,
            )
    missing = [meaning for meaning in ("image", "diagnosis") if meaning not in columns]
    if missing:
        raise InputError(
            f"which column holds the {' and the '.join(missing)}?",
            where=path,
            expected=f"one of {there}",
            fix=" ".join(f"{meaning}=COLUMN" for meaning in missing),
        )
    return pd.DataFrame({meaning: table[column] for meaning, column in columns.items()})


def _meanings(chosen: pd.DataFrame, photos: Photos) -> pd.DataFrame:
    cells = tables.known_cells(chosen, MEANINGS)
    masks = [_mask(cell, photos) if cell else None for cell in cells["mask"]]
    return pd.DataFrame(
        {
            "name": cells["image"],
            "source_label": cells["diagnosis"],
            "lesion_id": cells["lesion_id"],
            "patient_id": cells["patient_id"],
            "source_part": [(part_name(cell) or cell) if cell else None for cell in cells["part"]],
            "age": tables.clean_age(cells["age"]),
            "sex": tables.clean_sex(cells["sex"]),
            "site": tables.clean_site(cells["site"]),
            "confirmed_by": tables.clean_confirmation(cells["confirmed_by"]),
            "modality": tables.clean_modality(cells["modality"]),
            "mask": masks,
        }
    )


def _mask(cell: str, photos: Photos) -> str | None:
    found = photos.root / cell
    if found.is_file():
        return str(found)
    by_name = photos.find(cell)
    return str(by_name) if by_name else None


TABLE = Reader(
    name="table",
    looks_for="a CSV, TSV, Parquet or xlsx file with one row a photo, and the names of its columns "
    "(image=COLUMN diagnosis=COLUMN …)",
    recognises=_recognises,
    read=_read,
)
