"""A reader for each published layout, and the choice of the one that fits a folder."""

from collections.abc import Mapping
from pathlib import Path

from cutis.data.sources.base import SOURCE_COLUMNS, Reader, SourceTable
from cutis.data.sources.folders import FOLDERS
from cutis.data.sources.ham10000 import HAM10000
from cutis.data.sources.isic import ISIC2017, ISIC_ONE_HOT
from cutis.data.sources.ph2 import PH2
from cutis.data.sources.table import TABLE
from cutis.errors import InputError, nearest

READERS: tuple[Reader, ...] = (TABLE, HAM10000, ISIC2017, ISIC_ONE_HOT, PH2, FOLDERS)
"""In the order in which a folder is tried: the specific layouts before the general ones."""

__all__ = ["READERS", "SOURCE_COLUMNS", "Reader", "SourceTable", "read_source"]


def read_source(
    source: Path, format: str | None = None, columns: Mapping[str, str] | None = None
) -> SourceTable:
    """Reads one source with the named reader, or with the first that recognises it.

    Raises InputError when the source is missing, the format unknown, or no reader fits; the last
    lists what each reader looks for.
    """
    if not source.exists():
        raise InputError(
            "the source does not exist",
            where=source,
            expected="a folder of photos, or a table of them",
            fix="check the path, or run 'cutis demo' to see Cutis without data",
        )
    reader = _by_name(format) if format is not None else _recognise(source)
    if columns and reader.name != "table":
        raise InputError(
            "columns are named, but only the format 'table' takes them",
            where=source,
            fix="add --format table",
        )
    return reader.read(source.resolve(), columns or {})


def _by_name(format: str) -> Reader:
    readers = {reader.name: reader for reader in READERS}
    if format not in readers:
        raise InputError(
            f"no reader is called '{format}'",
            expected="one of " + ", ".join(readers),
            fix=nearest(format, readers) or None,
        )
    return readers[format]


def _recognise(source: Path) -> Reader:
    for reader in READERS:
        if reader.recognises(source):
            return reader
    known = "".join(f"\n    {reader.name}: {reader.looks_for}" for reader in READERS)
    raise InputError(
        "no reader recognises this source",
        where=source,
        expected="one of these layouts" + known,
        fix="name the layout with --format, or describe the photos in a table",
    )
