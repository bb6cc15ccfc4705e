"""What an archive of the app hands over: confirmed cases of one clinic, for training.

`feedback.csv` with a row a photo, `feedback.json` with what it promises, and `photos/`, each file
called after the SHA-256 of its bytes. See docs/readers.md.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tqdm import tqdm

from cutis import taxonomy
from cutis.data.sources import tables
from cutis.data.sources.base import Reader, SourceTable, source_rows
from cutis.errors import InputError, nearest
from cutis.records import Feedback
from cutis.storage import sha256_file

_CASE = re.compile(r"[\w-]{1,64}")
_IMAGE = re.compile(r"([0-9a-f]{64})\.jpg")
_AGAIN = "hand the feedback over again, and copy the whole folder"


class _Note(BaseModel):
    """`feedback.json`; what a later writer adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str
    version: int
    sha256: str  # of feedback.csv
    clinic: str | None = Field(None, pattern=r"^[\w-]{1,64}$")  # the archive's, in each handover
    licence: str | None = None


def _recognises(source: Path) -> bool:
    return (
        source.is_dir()
        and (source / Feedback.NOTE).is_file()
        and (source / Feedback.TABLE).is_file()
    )


def _read(folder: Path, columns: Mapping[str, str]) -> SourceTable:
    if folder.is_file():
        raise InputError(
            "feedback is read from a folder",
            where=folder,
            expected=f"the folder that holds {Feedback.NOTE}, {Feedback.TABLE} and photos",
            fix="unpack the archive, and name the folder; its photos must stay there",
        )
    note = _read_note(folder)
    table = _read_rows(folder / Feedback.TABLE, note)
    _check_photos(folder, table)
    rows = pd.DataFrame(
        {
            # A photo may belong to several cases, and then has several rows.
            "name": table["case"] + "/" + table["image"].str[:16],
            "path": [str(folder / "photos" / image) for image in table["image"]],
            "source_label": table["diagnosis"],
            "confirmed_by": table["confirmed_by"],
            "patient_id": table["patient"],
            "lesion_id": table["case"],
            "age": tables.clean_age(table["age"]),
            "sex": tables.clean_sex(table["sex"]),
            "site": tables.clean_site(table["site"]),
        }
    )
    return SourceTable(
        format=FEEDBACK.name,
        root=folder,
        rows=source_rows(rows.drop_duplicates("name")),
        licence=note.licence,
        name=None if note.clinic is None else f"feedback-{note.clinic}",
    )


def _read_note(folder: Path) -> _Note:
    path = folder / Feedback.NOTE
    try:
        note = _Note.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError as error:
        raise InputError(f"{Feedback.NOTE} is missing", where=folder, fix=_AGAIN) from error
    except (ValueError, ValidationError) as error:  # the first covers text that is no JSON
        raise InputError(
            f"{Feedback.NOTE} cannot be read",
            where=path,
            expected="format, version and sha256, as the app writes them",
            fix=_AGAIN,
        ) from error
    if note.format != Feedback.FORMAT:
        raise InputError(f"'{note.format}' is another format", where=path, expected=Feedback.FORMAT)
    if note.version > Feedback.VERSION:
        raise InputError(
            "the feedback was handed over by a later version of Cutis",
            where=path,
            expected=f"version {Feedback.VERSION} or earlier, found {note.version}",
            fix="update Cutis",
        )
    return note


def _read_rows(path: Path, note: _Note) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{Feedback.TABLE} is missing", where=path.parent, fix=_AGAIN)
    if sha256_file(path) != note.sha256:
        raise InputError(
            f"{Feedback.TABLE} was changed or damaged after it was handed over",
            where=path,
            expected=f"the bytes whose SHA-256 stands in {Feedback.NOTE}",
            fix="correct diagnoses in the app and hand over again, or copy the folder again",
        )
    table = tables.read_table(path)
    missing = [name for name in Feedback.COLUMNS if name not in table.columns]
    if missing:
        raise InputError(
            f"{Feedback.TABLE} has no column {', '.join(missing)}",
            where=path,
            expected=", ".join(Feedback.COLUMNS),
        )
    if table.empty:
        raise InputError(
            "the feedback holds no case",
            where=path,
            expected="cases with a settled diagnosis and consent to train",
            fix="confirm cases in the app's queue, then hand over again",
        )
    for line, row in enumerate(table.to_dict("records"), 2):
        _check_row(f"{path}, line {line}", {name: row[name] for name in Feedback.COLUMNS})
    return table


def _check_row(where: str, row: Mapping[str, str | None]) -> None:
    image, diagnosis, confirmed = row["image"], row["diagnosis"], row["confirmed_by"]
    if image is None or not _IMAGE.fullmatch(image):
        raise InputError(
            f"'{image or ''}' names no photo",
            where=where,
            expected="a SHA-256 and .jpg",
            fix=_AGAIN,
        )
    if not _CASE.fullmatch(row["case"] or ""):
        raise InputError("the row names no case", where=where, expected="its code", fix=_AGAIN)
    if diagnosis not in taxonomy.diagnoses():
        raise InputError(
            f"there is no diagnosis '{diagnosis or ''}'",
            where=where,
            expected="an id of the taxonomy, such as melanocytic_nevus",
            fix=nearest(diagnosis or "", taxonomy.diagnoses()) or "correct it in the app",
        )
    if confirmed not in Feedback.CONFIRMED_BY:
        raise InputError(
            f"'{confirmed or ''}' does not say how the diagnosis was confirmed",
            where=where,
            expected=", ".join(Feedback.CONFIRMED_BY),
            fix=nearest(confirmed or "", Feedback.CONFIRMED_BY) or "correct it in the app",
        )


def _check_photos(folder: Path, table: pd.DataFrame) -> None:
    """Every photo is there and is the one that was handed over."""
    first = table.drop_duplicates("image")
    lines = dict(zip(first["image"], first.index + 2, strict=True))
    for image, line in tqdm(lines.items(), desc="checking", unit="photo", disable=None):
        path = folder / "photos" / image
        if not path.is_file():
            raise InputError(
                "a photo of the feedback is missing",
                where=f"{folder / Feedback.TABLE}, line {line}",
                expected=str(path),
                fix=_AGAIN,
            )
        if sha256_file(path) != path.stem:
            raise InputError(
                "a photo of the feedback was changed or damaged",
                where=f"{folder / Feedback.TABLE}, line {line}: {path}",
                expected="the bytes whose SHA-256 is its name",
                fix=_AGAIN,
            )


FEEDBACK = Reader(
    name="feedback",
    looks_for=f"{Feedback.NOTE} and {Feedback.TABLE}, as the app hands confirmed cases over, and "
    "photos",
    recognises=_recognises,
    read=_read,
)
