"""Splits that stand in folders: two or three of them, or one that holds train, val and test."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cutis.data.certificate.subject import Subject, same_spelling, subject_rows
from cutis.data.sources.base import collect_photos, counted, part_name
from cutis.data.sources.folders import label_of, part_of
from cutis.errors import InputError
from cutis.records import Part

_ORDERS = {
    2: (Part.TRAIN.value, Part.TEST.value),
    3: (Part.TRAIN.value, Part.VALIDATION.value, Part.TEST.value),
}


def folder_parts(folders: Sequence[Path]) -> dict[str, Path]:
    """Which of two or three folders is which part.

    Names such as train, val and test decide; folders with other names take the parts that are
    left, in the order train, validation, test (train, test of two).
    """
    if len(folders) not in _ORDERS:
        raise InputError(
            f"{len(folders)} folders are not a split",
            expected="two folders (train, test) or three (train, validation, test)",
            fix="give a folder a part, or one folder that holds train, val and test",
        )
    places = [folder.resolve() for folder in folders]
    _refuse_overlap(places)
    named = [part_name(place.name) for place in places]
    said = [part for part in named if part is not None]
    if len(set(said)) < len(said):
        raise InputError(
            f"two folders call themselves {next(part for part in said if said.count(part) > 1)}",
            where=" and ".join(str(folder) for folder in folders),
            expected="a folder a part",
            fix="rename one, or audit a table with a column that names the part",
        )
    left = iter([part for part in _ORDERS[len(folders)] if part not in said])
    return {part or next(left): place for part, place in zip(named, places, strict=True)}


def folders_subject(folders: Sequence[Path]) -> Subject:
    """Two or three folders, each with photos in class folders or without any."""
    parts = folder_parts(folders)
    tables = []
    for part, folder in parts.items():
        photos = _photos_of(folder)
        table = _rows(photos, folder, [part] * len(photos))
        table["image_id"] = [f"{part}/{path.relative_to(folder).as_posix()}" for path in photos]
        tables.append(table)
    taken = ", ".join(f"{part} is {folder.name}" for part, folder in parts.items())
    name = " and ".join(folder.name for folder in parts.values())
    return _subject(name, pd.concat(tables, ignore_index=True), (taken,))


def folder_subject(root: Path) -> Subject:
    """One folder in which folders called train, val or test hold the parts.

    As published arrangements do, they may lie some levels down, or below the class folders.
    """
    root = root.resolve()
    photos = _photos_of(root)
    base = Path(os.path.commonpath([path.parent for path in photos]))
    table = _rows(photos, root, [part_of(path, root) for path in photos])
    table["image_id"] = [path.relative_to(base).as_posix() for path in photos]
    inside = table["part"].notna()
    if table.loc[inside, "part"].nunique() < 2:
        held = ", ".join(table.loc[inside, "part"].unique()) or "none"
        raise InputError(
            "this folder is neither a catalog nor a split",
            where=root,
            expected=f"{_wanted()}; found {held}",
            fix="name the folders of the parts one by one: cutis audit TRAIN TEST",
        )
    left = counted(table.loc[~inside, "image_id"], "photos lie in no part and are left out")
    return _subject(root.name, table[inside], (left,) if left else ())


def _wanted() -> str:
    return "catalog.json, or folders in it that are called train, val or test, two of them or more"


def _subject(name: str, rows: pd.DataFrame, notes: tuple[str, ...]) -> Subject:
    complete = rows.assign(label=same_spelling(rows["label"]), source="folders")
    return Subject(name, "folders", subject_rows(complete), notes)


def _rows(photos: Sequence[Path], root: Path, parts: Sequence[str | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [str(path) for path in photos],
            "part": parts,
            "label": [label_of(path, root) for path in photos],
        },
        dtype=object,
    )


def _photos_of(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise InputError(
            "there is no such folder",
            where=folder,
            expected="a folder of photos for each part",
            fix="check the path",
        )
    photos = collect_photos(folder).paths
    if not photos:
        raise InputError("the folder holds no photo", where=folder, expected="JPEG, PNG, … files")
    return photos


def _refuse_overlap(places: Sequence[Path]) -> None:
    for place in places:
        for other in places:
            if place is not other and (place == other or place in other.parents):
                raise InputError(
                    "one folder lies in the other, or is the same",
                    where=f"{place} and {other}",
                    expected="folders that share no file",
                    fix="give each part's own folder",
                )
