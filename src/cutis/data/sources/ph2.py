"""PH2 (Mendonça et al. 2013): a folder for each image, and PH2_dataset as .xlsx or .txt."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cutis.data.sources import tables
from cutis.data.sources.base import Photos, Reader, SourceTable, collect_photos, match_rows
from cutis.errors import InputError

_NAME = re.compile(r"IMD\d+")
_DIAGNOSES = {"common nevus": "0", "atypical nevus": "1", "melanoma": "2"}


def _recognises(folder: Path) -> bool:
    return folder.is_dir() and _table_path(folder) is not None


def _read(folder: Path, columns: Mapping[str, str]) -> SourceTable:
    path = _table_path(folder)
    if path is None:
        raise InputError("the table is missing", where=folder, expected="PH2_dataset.xlsx or .txt")
    cells = tables.read_cells(path) if path.suffix.lower() == ".xlsx" else _text_cells(path)
    rows, warnings = match_rows(_table(cells, path), _photos(folder))
    return SourceTable(
        format=PH2.name,
        root=folder,
        rows=rows.assign(modality="dermoscopic"),
        licence="research and education only",
        citation="Mendonça, Ferreira, Marques, Marcal, Rozeira: PH2 - a dermoscopic image database "
        "for research and benchmarking. EMBC (2013)",
        warnings=warnings,
    )


def _table_path(folder: Path) -> Path | None:
    """The .xlsx before the .txt: it also says which diagnoses have a histological one."""
    found = {path.suffix.lower(): path for path in folder.iterdir() if _is_table(path)}
    return found.get(".xlsx") or found.get(".txt")


def _is_table(path: Path) -> bool:
    return path.stem.lower() == "ph2_dataset" and path.is_file()


def _photos(folder: Path) -> Photos:
    photos = collect_photos(folder)
    # Regions of interest (IMD003_roi/IMD003_R1_Label3.bmp) are masks of colours, not photos.
    masks = ("_roi", "_lesion")
    paths = tuple(path for path in photos.paths if not path.parent.name.lower().endswith(masks))
    return Photos(photos.root, paths, photos.by_stem, photos.masks)


def _text_cells(path: Path) -> pd.DataFrame:
    """Rows of the .txt: cells between `||` as published, or between tabs."""
    rows = [
        line.strip().strip("|").split("||") if "||" in line else line.split("\t")
        for line in tables.read_text(path).splitlines()
    ]
    return pd.DataFrame(rows).apply(tables.clean_text)


def _table(cells: pd.DataFrame, path: Path) -> pd.DataFrame:
    images = cells[cells[0].map(lambda cell: bool(cell and _NAME.fullmatch(cell)))]
    labels = _labels(cells, images)
    if images.empty or labels is None:
        raise InputError(
            "this is not the table of PH2",
            where=path,
            expected="rows that begin with IMD… below a header with the clinical diagnoses",
            fix="take PH2_dataset.txt or PH2_dataset.xlsx from the original archive",
        )
    histology = _column(cells, "histological diagnosis")
    confirmed = None if histology is None else images[histology].notna().map({True: "histology"})
    return pd.DataFrame({"name": images[0], "source_label": labels, "confirmed_by": confirmed})


def _labels(cells: pd.DataFrame, images: pd.DataFrame) -> "pd.Series[str] | None":
    """The code of each image: a column of codes in the .txt, crosses below names in the .xlsx."""
    crosses = {name: _column(cells, name) for name in _DIAGNOSES}
    if None not in crosses.values():
        labels = pd.Series(None, index=images.index, dtype=object)
        for name, column in crosses.items():
            labels = labels.mask(images[column].notna(), _DIAGNOSES[name])
        return labels
    column = _column(cells, "clinical diagnosis")
    return None if column is None else images[column]


def _column(cells: pd.DataFrame, title: str) -> int | None:
    """The column in which a title stands, above the first image."""
    for column in range(cells.shape[1]):
        above = cells[column].head(20).dropna()
        if (above.str.lower() == title).any():
            return column
    return None


PH2 = Reader(
    name="ph2",
    looks_for="PH2_dataset.xlsx or PH2_dataset.txt, and a folder of images",
    recognises=_recognises,
    read=_read,
)
