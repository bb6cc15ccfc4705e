"""A reader for each published layout, and the choice of the one that fits a folder."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from cutis.data.sources.base import SOURCE_COLUMNS, Reader, SourceTable
from cutis.data.sources.feedback import FEEDBACK
from cutis.data.sources.folders import FOLDERS
from cutis.data.sources.ham10000 import HAM10000
from cutis.data.sources.isic import ISIC2017, ISIC_ONE_HOT
from cutis.data.sources.ph2 import PH2
from cutis.data.sources.table import TABLE
from cutis.errors import InputError, nearest
from cutis.records import Record

READERS: tuple[Reader, ...] = (TABLE, FEEDBACK, HAM10000, ISIC2017, ISIC_ONE_HOT, PH2, FOLDERS)
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
    return _with_note(reader.read(source.resolve(), columns or {}))


class _Note(Record):
    """`source.toml` beside the photos, written by whoever holds them."""

    licence: str | None = None
    citation: str | None = None


def _with_note(table: SourceTable) -> SourceTable:
    """The table with the licence and citation of its `source.toml`, which go first."""
    path = table.root / "source.toml"
    if not path.is_file():
        return table
    try:
        note = _Note.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise InputError(
            "the note about the source cannot be read",
            where=path,
            expected='licence = "…" and citation = "…", either may be missing',
        ) from error
    return replace(table, licence=note.licence, citation=note.citation)


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
