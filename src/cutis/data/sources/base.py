"""What every reader of a published layout shares: its result and the search for the photos."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from cutis.errors import InputError
from cutis.preprocessing import SUFFIXES
from cutis.records import Part

SOURCE_COLUMNS = (
    "name",  # what the source calls the photo; unique within it
    "path",
    "source_part",
    "source_label",
    "confirmed_by",
    "patient_id",
    "lesion_id",
    "age",
    "sex",
    "site",
    "modality",
    "mask",
)

_MASK_ENDING = re.compile(r"_(segmentation|lesion|mask|superpixels)$")
_NEVER_PHOTOS = ("segmentation", "superpixels")
_ARABIC_TO_PERSIAN = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک"})
_PART_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), Part.TRAIN.value),
    **dict.fromkeys(("val", "valid", "validation", "dev"), Part.VALIDATION.value),
    **dict.fromkeys(("test", "testing", "tst"), Part.TEST.value),
}


@dataclass(frozen=True)
class SourceTable:
    """One source as its reader understood it; nothing is decoded yet.

    `rows` has the columns SOURCE_COLUMNS, one row a photo that exists on disk; unknown is None.
    `warnings` are sentences about rows that do not match, with counts and names. `name` is what the
    source calls itself, wherever its folder lies; None where it is called after its folder.
    """

    format: str
    root: Path
    rows: pd.DataFrame
    licence: str | None = None
    citation: str | None = None
    warnings: tuple[str, ...] = ()
    name: str | None = None


@dataclass(frozen=True)
class Reader:
    """A published layout: how to recognise it, how to read it, and what it looks for in words.

    `read` takes the folder (or file) and the column mapping, which only the generic table uses.
    """

    name: str
    looks_for: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Mapping[str, str]], SourceTable]


@dataclass(frozen=True)
class Photos:
    """The photos and lesion masks below a folder, found by what a table calls them."""

    root: Path
    paths: tuple[Path, ...]
    by_stem: Mapping[str, Sequence[Path]]
    masks: Mapping[str, Path]

    def find(self, name: str) -> Path | None:
        """The photo that a table calls `name`: with or without folders, suffix and right case.

        A name that several files of one size answer to means the first of them; InputError where
        the files differ.
        """
        wanted = _without_suffix(name_key(name))
        found = [
            path
            for path in self.by_stem.get(stem_key(name), ())
            if f"/{self._key(path)}".endswith(f"/{wanted.lstrip('./')}")
        ]
        exact = [path for path in found if name_key(path.name) == name_key(name).rsplit("/")[-1]]
        found = exact or found
        if len({path.stat().st_size for path in found}) > 1:
            raise InputError(
                f"several different photos answer to '{name}'",
                where=" and ".join(str(path) for path in found[:3]),
                expected="one photo for each row of the table",
                fix="remove or rename the others, or name photos with their folder",
            )
        return found[0] if found else None

    def _key(self, path: Path) -> str:
        return _without_suffix(name_key(path.relative_to(self.root).as_posix()))


def name_key(name: str) -> str:
    """The form in which file names and table cells are compared.

    Case, the Unicode form and Arabic or Persian ye and kaf make no difference, nor does the
    direction of slashes.
    """
    text = unicodedata.normalize("NFC", name.strip()).translate(_ARABIC_TO_PERSIAN)
    return text.casefold().replace("\\", "/")


def stem_key(name: str) -> str:
    """`name_key` of the last part of a path, without a photo's suffix."""
    return _without_suffix(name_key(name)).rsplit("/", 1)[-1]


def part_name(word: str) -> str | None:
    """`train`, `validation` or `test` for the words that collections use; None for others."""
    return _PART_WORDS.get(word.strip().casefold())


def walk_photos(root: Path) -> Iterator[Path]:
    """Every file below a folder that has a photo's suffix, in a stable order.

    Hidden files and folders and the leftovers of macOS archives are passed over.
    """
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not is_clutter(name):
                yield Path(folder, name)


def collect_photos(root: Path) -> Photos:
    """The photos and masks below a folder.

    `X_segmentation` and `X_superpixels` are never photos; `X_lesion` and `X_mask` are masks where
    there is a photo X, and photos otherwise.
    """
    by_stem: defaultdict[str, list[Path]] = defaultdict(list)
    for path in walk_photos(root):
        by_stem[stem_key(path.name)].append(path)
    masks = {}
    for stem in list(by_stem):
        ending = _MASK_ENDING.search(stem)
        if ending and (ending[1] in _NEVER_PHOTOS or stem[: ending.start()] in by_stem):
            found = by_stem.pop(stem)
            if ending[1] != "superpixels":
                masks[stem[: ending.start()]] = found[0]
    paths = sorted(path for found in by_stem.values() for path in found)
    return Photos(root, tuple(paths), by_stem, masks)


def match_rows(table: pd.DataFrame, photos: Photos) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Joins a table with a column `name` to its photos.

    Returns the rows of SOURCE_COLUMNS and warnings. Rows without a photo are left out, photos
    without a row get a row of their own without a diagnosis; both are counted and named. Raises
    InputError where nothing matches or one photo has two contradicting rows.
    """
    nameless = table["name"].isna()
    found = [photos.find(name) for name in table.loc[~nameless, "name"]]
    places = np.array([str(path) if path else None for path in found], dtype=object)
    rows = table[~nameless].assign(path=places)
    lost = rows.loc[rows["path"].isna(), "name"]
    rows = rows[rows["path"].notna()]
    if rows.empty:
        raise InputError(
            "no row of the metadata has its photo",
            where=photos.root,
            expected=f"photos such as {', '.join(lost.head(3)) or '(the table is empty)'}",
            fix="unpack the photos into this folder, beside the metadata",
        )
    rows, repeated = _one_row_each(rows, photos.root)
    extra, copies = _left_over(photos, set(rows["path"]))
    rows = source_rows(pd.concat([rows, pd.DataFrame({"path": extra})], ignore_index=True))
    rows["name"] = unique_names([Path(path) for path in rows["path"]], photos.root)
    masks = [photos.masks.get(stem_key(path)) for path in rows["path"]]
    rows["mask"] = [
        given or (str(mask) if mask else None)
        for given, mask in zip(rows["mask"], masks, strict=True)
    ]
    notes = (
        f"{nameless.sum()} rows of the metadata name no photo" if nameless.any() else "",
        repeated,
        counted(copies, "photos stand in two folders; the first is used"),
        counted(lost, "rows of the metadata have no photo and are left out"),
        counted(
            [Path(path).stem for path in extra],
            "photos have no row in the metadata and get no diagnosis",
        ),
    )
    return rows, tuple(note for note in notes if note)


def source_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Brings rows to SOURCE_COLUMNS in their order, with None for whatever is not known."""
    complete = rows.reindex(columns=list(SOURCE_COLUMNS)).astype(object)
    return complete.where(complete.notna(), None).reset_index(drop=True)


def unique_names(paths: Sequence[Path], root: Path, by_folder: bool = False) -> list[str]:
    """What the photos of a source are called in its catalog rows.

    The stem of the file; with `by_folder`, or where several have that stem, the path below `root`
    without its suffix; the suffix stays where only it tells two photos apart.
    """
    stems = Counter(path.stem for path in paths)
    below = [path.relative_to(root) for path in paths]
    bare = Counter(path.with_suffix("") for path in below)
    return [
        path.stem
        if not by_folder and stems[path.stem] == 1
        else (path.with_suffix("") if bare[path.with_suffix("")] == 1 else path).as_posix()
        for path in below
    ]


def counted(names: Iterable[object], what: str, show: int = 5) -> str:
    """A sentence such as ``3 photos have no row: a, b, c``; empty when there are none."""
    listed = [str(name) for name in names]
    if not listed:
        return ""
    shown = ", ".join(listed[:show]) + (", …" if len(listed) > show else "")
    return f"{len(listed)} {what}: {shown}"


def is_clutter(name: str) -> bool:
    """Hidden files and the leftovers of macOS archives."""
    return name.startswith(".") or name == "__MACOSX"


def _one_row_each(rows: pd.DataFrame, where: Path) -> tuple[pd.DataFrame, str]:
    content = [column for column in rows if column != "name"]
    unique = rows.drop_duplicates(content)
    clash = unique.loc[unique["path"].duplicated(), "name"]
    if len(clash):
        raise InputError(
            f"the metadata describes '{clash.iloc[0]}' in rows that differ",
            where=where,
            expected="one row a photo",
            fix=f"remove the wrong rows ({clash.nunique()} photos are affected)",
        )
    again = rows.loc[rows.duplicated(content), "name"]
    return unique, counted(again, "photos have the same row twice in the metadata")


def _left_over(photos: Photos, taken: set[str]) -> tuple[list[str], list[str]]:
    """Photos without a row, and the names of second copies of photos that have one."""
    extra, copies = [], []
    for path in photos.paths:
        if str(path) in taken:
            continue
        same_name = photos.by_stem[stem_key(path.name)]
        size = path.stat().st_size
        if any(str(twin) in taken and twin.stat().st_size == size for twin in same_name):
            copies.append(path.stem)
        else:
            extra.append(str(path))
    return extra, copies


def _without_suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.casefold() in SUFFIXES else name
