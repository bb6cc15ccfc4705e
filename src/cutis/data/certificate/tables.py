"""Splits that stand in a table with a part column, and tables that tell which lesion is shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cutis.data.certificate.subject import Subject, same_spelling, subject_rows
from cutis.data.links import isic_number
from cutis.data.sources.base import (
    Photos,
    collect_photos,
    counted,
    part_name,
    stem_key,
)
from cutis.data.sources.tables import TABLE_SUFFIXES, read_table
from cutis.errors import InputError

GUESSES = {
    "path": ("path", "image_path", "file_path", "filepath", "image", "image_id", "isic_id",
             "image_name", "img_id", "img", "file", "filename", "file_name", "photo", "name", "id"),
    "part": ("part", "split", "set", "subset", "partition", "fold", "source_part", "phase"),
    "label": ("diagnosis", "label", "dx", "class", "category", "target", "source_label",
              "diagnostic"),
    "lesion_id": ("lesion_id", "lesion"),
    "patient_id": ("patient_id", "patient"),
}  # fmt: skip
"""What each column may be called; the first name that the table has is taken."""


def table_subject(path: Path, photos: Path | None = None) -> Subject:
    """A table with one row a photo and its part.

    Photos lie where the cells say, or below the folder `photos`, or below the table's own folder;
    rows whose photo is nowhere are judged by their ids alone.
    """
    _check_table(path)
    table = read_table(path)
    taken = _columns(table, path, needed=("path", "part"))
    cells = table[list(taken.values())].set_axis(list(taken), axis=1)
    nameless = cells["path"].isna() | cells["part"].isna()
    cells = cells[~nameless]
    if cells.empty:
        raise InputError("no row names a photo and its part", where=path, expected=_told(taken))
    places, lost = _places(cells["path"], _photo_folder(path, photos))
    rows = cells.assign(
        part=_parts(cells["part"], path),
        path=np.array(places, dtype=object),
        image_id=_unique(cells["path"]),
        source=path.stem,
    )
    if "label" in taken:
        rows["label"] = same_spelling(cells["label"])
    notes = (
        f"columns taken: {_told(taken)}",
        f"{nameless.sum()} rows name no photo or no part and are left out"
        if nameless.any()
        else "",
        counted(lost, "rows have no photo on disk; only their ids can be compared"),
    )
    found = tuple(note for note in notes if note)
    return Subject(path.name, "table", subject_rows(rows), found)


def with_lesions(subject: Subject, path: Path) -> Subject:
    """The subject with the lesion and patient ids that a table of metadata reveals.

    Photos are found in it by the name of their file, or by the ISIC number in that name; ids that
    the subject has of its own stay.
    """
    _check_table(path)
    table = read_table(path)
    taken = _columns(table, path, needed=("path", "lesion_id"))
    names = table[taken["path"]]
    table = table[names.notna()]
    names = names.dropna()
    by_stem = dict(zip(names.map(stem_key), table.index, strict=True))
    by_number = dict(zip(names.map(isic_number), table.index, strict=True))
    by_number.pop(None, None)
    ids = subject.rows["image_id"]
    found = [by_stem.get(stem_key(name), by_number.get(isic_number(name))) for name in ids]
    rows = subject.rows.copy()
    for meaning in ("lesion_id", "patient_id"):
        if meaning in taken:
            told = table[taken[meaning]].reindex(found).set_axis(rows.index)
            rows[meaning] = rows[meaning].where(rows[meaning].notna(), told)
    known = sum(place is not None for place in found)
    if not known:
        raise InputError(
            "no photo stands in the table of lesions",
            where=path,
            expected=f"names such as {ids.iloc[0]} in the column {taken['path']}",
        )
    note = f"{path.name} names the lesion of {known} of {len(rows)} photos"
    return replace(subject, rows=subject_rows(rows), notes=(*subject.notes, note))


def _check_table(path: Path) -> None:
    if not path.is_file() or path.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(
            "this is not a table" if path.exists() else "there is no such file or folder",
            where=path,
            expected="a catalog, folders, or a table: " + ", ".join(TABLE_SUFFIXES),
            fix="check the path",
        )


def _columns(table: pd.DataFrame, path: Path, needed: Sequence[str]) -> dict[str, str]:
    """Meaning -> the table's column, for all that can be guessed."""
    there = {"_".join(column.casefold().split()): column for column in reversed(table.columns)}
    taken = {
        meaning: next(there[guess] for guess in guesses if guess in there)
        for meaning, guesses in GUESSES.items()
        if any(guess in there for guess in guesses)
    }
    for meaning in needed:
        if meaning not in taken:
            raise InputError(
                f"no column looks like the {meaning.replace('_', ' ')} of the photos",
                where=path,
                expected=f"a column called {' or '.join(GUESSES[meaning])}",
                fix=f"rename one of: {', '.join(table.columns)}",
            )
    return taken


def _told(taken: dict[str, str]) -> str:
    return ", ".join(f"{meaning} = {column}" for meaning, column in taken.items())


def _parts(cells: pd.Series, path: Path) -> list[str]:
    """The parts by name; a column of whole numbers holds folds."""
    numbers = cells.str.fullmatch(r"\d+(\.0)?").astype(bool)
    if numbers.all():
        parts = [f"fold {int(float(cell))}" for cell in cells]
    else:
        parts = [part_name(cell) or "" for cell in cells]
    strange = sorted({cell for cell, part in zip(cells, parts, strict=True) if not part})
    if strange or len(set(parts)) < 2:
        raise InputError(
            f"the part column holds {', '.join(strange[:5])}"
            if strange
            else f"all photos stand in one part, {parts[0]}",
            where=path,
            expected="train, val and test, two of them or more, or the numbers of folds",
            fix="rename the values, or remove the rows that belong to no part",
        )
    return parts


def _photo_folder(path: Path, photos: Path | None) -> Path:
    if photos is None:
        return path.resolve().parent
    if not photos.is_dir():
        raise InputError("there is no such folder", where=photos, fix="check --photos")
    return photos.resolve()


def _places(names: pd.Series, root: Path) -> tuple[list[str | None], list[str]]:
    """Where each named photo lies, and the names of those that are nowhere."""
    below: Photos | None = None
    places: list[str | None] = []
    for name in names:
        direct = root / name
        if not direct.is_file():
            below = below or collect_photos(root)
            found = below.find(name)
            places.append(str(found) if found else None)
        else:
            places.append(str(direct))
    return places, [n for n, place in zip(names, places, strict=True) if place is None]


def _unique(names: pd.Series) -> list[str]:
    """The names, those that stand in several rows with the number of the row among them."""
    again = names.groupby(names).cumcount()
    return [
        name if not count else f"{name} (row {count + 1} of it)"
        for name, count in zip(names, again, strict=True)
    ]
