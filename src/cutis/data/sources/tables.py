"""Metadata tables as people find them: delimiters, byte-order marks, spellings of "unknown"."""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from cutis.errors import InputError

TABLE_SUFFIXES = (".csv", ".tab", ".tsv", ".txt", ".parquet", ".xlsx")

_UNKNOWN = {"", "unknown", "unk", "na", "n/a", "nan", "none", "null", "-", "?"}
_SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
_CONFIRMATIONS: dict[str, str | None] = {
    "histo": "histology",
    "histology": "histology",
    "histopathology": "histology",
    "follow_up": "follow_up",
    "serial imaging showing no change": "follow_up",
    "consensus": "consensus",
    "single image expert consensus": "consensus",
    "confocal": "confocal",
    "confocal microscopy with consensus dermoscopy": "confocal",
    # Columns that only say whether a biopsy was taken.
    "true": "histology",
    "yes": "histology",
    "false": None,
    "no": None,
}


def read_table(path: Path, rows: int | None = None) -> pd.DataFrame:
    """Reads a table with every cell as text and every unknown as None.

    CSV, tab- or semicolon-separated text, Parquet or xlsx; a byte-order mark and any line ends are
    accepted. `rows` limits what is read. Raises InputError for a file that is not a table.
    """
    with readable(path):
        table = _read(path, rows)
    table.columns = [str(column).strip() for column in table.columns]
    return table.apply(clean_text)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what can go wrong with a table's file into an InputError that names it."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text", where=path, fix="save the table as UTF-8") from error
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"the table cannot be read ({error})", where=path) from error


def clean_text(column: pd.Series) -> pd.Series:
    """Strips cells and turns every spelling of "not known" into None."""
    text = column.astype("string").str.strip()
    known = text.notna() & ~text.str.lower().isin(_UNKNOWN)
    return text.astype(object).where(known.astype(bool), None)


def find_table(folder: Path, columns: Collection[str], any_of: Collection[str] = ()) -> Path | None:
    """The first table of a folder (or one below it) that has these columns; None without one."""
    return next(iter(find_tables(folder, columns, any_of)), None)


def find_tables(folder: Path, columns: Collection[str], any_of: Collection[str] = ()) -> list[Path]:
    """Text tables at the top of a folder or one below whose header has all of `columns`.

    With `any_of`, at least one of those too. Names of columns are compared without case.
    """
    found = []
    for path in _text_tables(folder):
        header = {name.lower() for name in _header(path)}
        if header >= set(columns) and (not any_of or header & set(any_of)):
            found.append(path)
    return found


def read_lower(path: Path, rows: int | None = None) -> pd.DataFrame:
    """`read_table` with the names of the columns in lower case."""
    return read_table(path, rows).rename(columns=str.lower)


def read_cells(path: Path) -> pd.DataFrame:
    """The first sheet of an xlsx as it stands, without a header; columns are numbered from 0."""
    with readable(path):
        return pd.read_excel(path, dtype=str, header=None).apply(clean_text)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file with or without a byte-order mark."""
    with readable(path):
        return path.read_text(encoding="utf-8-sig")


def read_all(paths: Iterable[Path]) -> pd.DataFrame:
    """Several tables of one kind below one another, columns in lower case."""
    return pd.concat([read_lower(path) for path in paths], ignore_index=True)


def known_cells(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """These columns of a table, None in empty cells and in columns that the table lacks."""
    cells = table.reindex(columns=list(columns)).astype(object)
    return cells.where(cells.notna(), None)


def clean_age(column: pd.Series) -> pd.Series:
    """Ages in years; what is not a number from 0 to 120 becomes None."""
    years = pd.to_numeric(column, errors="coerce")
    return years.where(years.between(0, 120)).astype(object)


def clean_sex(column: pd.Series) -> pd.Series:
    """`female`, `male` or None."""
    return column.map(lambda cell: _SEXES.get(cell.lower()) if cell else None)


def clean_site(column: pd.Series) -> pd.Series:
    """Body sites in lower case with single spaces."""
    return column.map(lambda cell: " ".join(re.split(r"[\s_]+", cell.lower())) if cell else None)


def clean_confirmation(column: pd.Series) -> pd.Series:
    """How a diagnosis was confirmed; words that nobody has listed stay as they are."""
    return column.map(lambda cell: _CONFIRMATIONS.get(cell.lower(), cell.lower()) if cell else None)


def clean_modality(column: pd.Series) -> pd.Series:
    """`dermoscopic`, `clinical` or None, from the words that collections use."""
    return column.map(lambda cell: _modality(cell.lower()) if cell else None)


def _modality(word: str) -> str | None:
    if word.startswith(("dermo", "derma")):
        return "dermoscopic"
    return "clinical" if word.startswith(("clinic", "macro", "close", "overview")) else None


def _text_tables(folder: Path) -> list[Path]:
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    suffixes = (".csv", ".tab", ".tsv")
    return [
        path
        for place in places
        if not place.name.startswith(".")
        for path in sorted(place.iterdir())
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    ]


def _header(path: Path) -> list[str]:
    try:
        return list(read_table(path, rows=0).columns)
    except InputError:
        return []


def _read(path: Path, rows: int | None) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pd.read_parquet(path)
    if suffix == ".xlsx":
        return pd.read_excel(path, dtype=str, nrows=rows)
    return pd.read_csv(
        path,
        sep=_separator(path),
        dtype=str,
        keep_default_na=False,
        encoding="utf-8-sig",
        nrows=rows,
        skipinitialspace=True,
    )


def _separator(path: Path) -> str:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
    return max(",\t;", key=header.count)
