"""Class folders: each photo lies in a folder that is called after its diagnosis."""

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cutis.data.sources.base import (
    Reader,
    SourceTable,
    collect_photos,
    counted,
    is_clutter,
    part_name,
    source_rows,
    stem_key,
    unique_names,
    walk_photos,
)
from cutis.errors import InputError

_NEUTRAL = {"images", "image", "imgs", "img", "photos", "photo"}


def _recognises(folder: Path) -> bool:
    return folder.is_dir() and any(label_of(path, folder) for path in walk_photos(folder))


def _read(folder: Path, columns: Mapping[str, str]) -> SourceTable:
    photos = collect_photos(folder)
    labels = [label_of(path, folder) for path in photos.paths]
    if not any(labels):
        raise InputError(
            "there are no class folders with photos",
            where=folder,
            expected="folders called after a diagnosis, such as melanoma/, with photos in them",
            fix="sort the photos into such folders, or describe them in a table (--format table)",
        )
    empty = _empty_classes(folder, {path.parent for path in photos.paths})
    _refuse_empty(empty, labels)
    masks = [photos.masks.get(stem_key(path.name)) for path in photos.paths]
    rows = pd.DataFrame(
        {
            "name": unique_names(photos.paths, _wrapped_root(photos.paths, folder), by_folder=True),
            "path": [str(path) for path in photos.paths],
            "source_part": [part_of(path, folder) for path in photos.paths],
            "source_label": labels,
            "mask": [str(mask) if mask else None for mask in masks],
        }
    )
    outside = rows.loc[rows["source_label"].isna(), "name"]
    notes = (
        counted(outside, "photos lie in no class folder and get no diagnosis"),
        counted([path.relative_to(folder) for path in empty], "class folders hold no photo"),
    )
    return SourceTable(
        format=FOLDERS.name,
        root=folder,
        rows=source_rows(rows),
        warnings=tuple(note for note in notes if note),
    )


def label_of(path: Path, root: Path) -> str | None:
    """The deepest folder that is neither a part (train, val, test) nor merely called images."""
    for name in reversed(path.relative_to(root).parts[:-1]):
        if part_name(name) is None and name.casefold() not in _NEUTRAL:
            return name
    return None


def part_of(path: Path, root: Path) -> str | None:
    """The part that a folder on the way to the photo is called after; None without one."""
    parts = (part_name(name) for name in path.relative_to(root).parts[:-1])
    return next((part for part in parts if part is not None), None)


def _wrapped_root(paths: tuple[Path, ...], root: Path) -> Path:
    """The folder below which names begin: folders that only wrap all others are passed over."""
    while True:
        below = {path.relative_to(root).parts[0] for path in paths}
        deep = all(len(path.relative_to(root).parts) > 2 for path in paths)
        if len(below) > 1 or not deep:
            return root
        root = root / below.pop()


def _empty_classes(root: Path, filled: set[Path]) -> list[Path]:
    """Folders beside class folders that hold neither photos nor folders."""
    beside = {folder.parent for folder in filled if folder != root}
    return [
        Path(folder)
        for folder, folders, _ in sorted(os.walk(root))
        if not folders
        and Path(folder) not in filled
        and Path(folder).parent in beside
        and not any(is_clutter(part) for part in Path(folder).relative_to(root).parts)
    ]


def _refuse_empty(empty: list[Path], labels: list[str | None]) -> None:
    known = {label.casefold() for label in labels if label}
    for folder in empty:
        if folder.name.casefold() not in known:
            raise InputError(
                f"the class '{folder.name}' has no photos",
                where=folder,
                expected="JPEG, PNG, BMP, WebP or TIFF files in every class folder",
                fix="add photos to the folder, or remove it",
            )


FOLDERS = Reader(
    name="folders",
    looks_for="folders called after diagnoses with photos in them, with or without train, val and "
    "test above",
    recognises=_recognises,
    read=_read,
)
