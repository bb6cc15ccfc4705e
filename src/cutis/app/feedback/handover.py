"""Settled cases on their way to training: what `cutis import --format feedback` reads.

Only cases whose reporter agreed to training and whose diagnosis is settled. What leaves names no
person: the case and the patient stand there under codes that only this archive can resolve.
"""

import csv
import hashlib
import hmac
import io
import json
import secrets
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tqdm import tqdm

from cutis import __version__
from cutis.app.accounts.accounts import Account
from cutis.app.archive.archive import Archive
from cutis.app.archive.schema import CaseRow, OpinionRow, PhotoRow, SecretRow
from cutis.app.cases import Judgement
from cutis.app.errors import AppError
from cutis.app.feedback.agreement import OWN, class_of
from cutis.app.feedback.opinions import Answer, first_answer, settled
from cutis.app.feedback.queue import opinions_of
from cutis.records import Feedback
from cutis.storage import staged_folder

LICENCE = "The clinic's own photos, for training its own models; not to be passed on."

_CODE = 16  # hexadecimal digits of a case's, a patient's and the clinic's code

Put = Callable[[str, bytes], object]
"""Takes a file's name within the folder, and its bytes."""


@dataclass(frozen=True)
class Handover:
    """What was handed over, and how many cases were not."""

    cases: int
    photos: int
    corrected: int  # the doctors' diagnosis is not the model's
    diagnoses: dict[str, int]  # cases by settled diagnosis, the most frequent first
    left_out: "LeftOut"


@dataclass(frozen=True)
class LeftOut:
    """Saved cases that are not handed over, by the first reason against it."""

    unanswered: int
    unsettled: int  # answered, without a settled diagnosis
    refused: int  # settled, without consent to training of it or of a case with the same photo
    damaged: int = 0  # a photo is damaged, or the case was deleted in the meantime


@dataclass(frozen=True)
class _Settled:
    """A case that may be handed over."""

    row: CaseRow
    answer: Answer
    photos: tuple[str, ...]  # their SHA-256


@dataclass
class _Table:
    """Rows of feedback.csv as they are collected."""

    lines: list[dict[str, object]] = field(default_factory=list)
    cases: int = 0
    corrected: int = 0
    diagnoses: Counter[str] = field(default_factory=Counter)


def readiness(archive: Archive) -> tuple[int, LeftOut]:
    """How many cases a handover would hold now, and how many not."""
    cases, left_out = _read(archive)
    return len(cases), left_out


def write_folder(archive: Archive, out: Path, account: Account | None = None) -> Handover:
    """Writes the feedback into a folder, which replaces an earlier one of the same name.

    Raises InputError where the folder holds something else, AppError `no_feedback` where no case
    can be handed over, and others where the archive fails.
    """
    with staged_folder(out, Feedback.NOTE, private=True) as folder:
        (folder / Feedback.PHOTOS).mkdir()
        found = _write(archive, lambda name, data: (folder / name).write_bytes(data))
    return _recorded(archive, found, account)


def write_zip(archive: Archive, file: BinaryIO, account: Account | None = None) -> Handover:
    """Writes the same into one ZIP file, with photos as they are. Raises AppError likewise."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        found = _write(archive, packed.writestr)
    return _recorded(archive, found, account)


def _write(archive: Archive, put: Put) -> Handover:
    salt = _salt(archive)
    cases, left_out = _read(archive)
    table, written, damaged = _Table(), set[str](), 0
    for one in tqdm(cases, desc="handing over", unit="case", disable=None):
        try:
            photos = {sha256: archive.files.read(sha256) for sha256 in one.photos}
        except AppError:
            damaged += 1
            continue
        for sha256 in photos.keys() - written:
            put(f"{Feedback.PHOTOS}/{sha256}.jpg", photos[sha256])
        written |= photos.keys()
        _add(table, one, salt)
    if not table.cases:
        raise AppError("no_feedback")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, Feedback.COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.lines)
    data = text.getvalue().encode()
    handed = Handover(
        cases=table.cases,
        photos=len(written),
        corrected=table.corrected,
        diagnoses=dict(table.diagnoses.most_common()),
        left_out=replace(left_out, damaged=damaged),
    )
    put(Feedback.TABLE, data)
    put(Feedback.NOTE, _note(handed, salt, hashlib.sha256(data).hexdigest()))
    return handed


def _read(archive: Archive) -> tuple[list[_Settled], LeftOut]:
    """The cases to hand over, the oldest first, and those that are left out."""
    found, refused, unsettled = [], 0, 0
    answered = select(OpinionRow.case_id)
    with archive.database.reading() as session:
        opinions = opinions_of(session)
        photos: dict[str, tuple[str, ...]] = {}
        for photo in session.scalars(select(PhotoRow).order_by(PhotoRow.case_id, PhotoRow.number)):
            photos[photo.case_id] = (*photos.get(photo.case_id, ()), photo.sha256)
        kept_back = _refused_photos(session)
        query = select(CaseRow).where(CaseRow.id.in_(answered)).order_by(CaseRow.saved, CaseRow.id)
        for row in session.scalars(query):
            answer = settled(opinions[row.id])
            if answer is None:
                unsettled += 1
            elif not row.may_train or not kept_back.isdisjoint(photos.get(row.id, ())):
                refused += 1
            else:
                found.append(_Settled(row, answer, photos.get(row.id, ())))
        saved = session.scalar(select(func.count()).select_from(CaseRow)) or 0
    unanswered = saved - len(found) - refused - unsettled
    return found, LeftOut(unanswered, unsettled, refused)


def _refused_photos(session: Session) -> set[str]:
    """The SHA-256 of all photos of cases without consent to training, answered or not."""
    refused = select(CaseRow.id).where(CaseRow.may_train.is_(False))
    return set(session.scalars(select(PhotoRow.sha256).where(PhotoRow.case_id.in_(refused))))


def _add(table: _Table, one: _Settled, salt: bytes) -> None:
    """Adds a row for each photo of a case; one that stands twice in it counts once."""
    row, judgement = one.row, Judgement.model_validate(one.row.judgement)
    first = first_answer(judgement)
    known = tuple(judgement.probabilities)
    table.cases += 1
    table.corrected += class_of(one.answer.diagnosis, known, OWN) != first
    table.diagnoses[one.answer.diagnosis] += 1
    for sha256 in dict.fromkeys(one.photos):
        table.lines.append(
            {
                "image": f"{sha256}.jpg",
                # the id opens the case, so it never leaves
                "case": hashlib.sha256(row.id.encode()).hexdigest()[:_CODE],
                "patient": "" if row.patient is None else _code(salt, f"patient {row.patient}"),
                "diagnosis": one.answer.diagnosis,
                "confirmed_by": one.answer.confirmed_by,
                "model_diagnosis": first,
                "age": row.age,
                "sex": row.sex,
                "site": row.site,
                "bundle": row.bundle,
                "saved": row.saved.date().isoformat(),
            }
        )


def _note(handed: Handover, salt: bytes, sha256: str) -> bytes:
    note = {
        "format": Feedback.FORMAT,
        "version": Feedback.VERSION,
        "cutis_version": __version__,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "clinic": _code(salt, "clinic"),
        "licence": LICENCE,
        "counts": {
            "cases": handed.cases,
            "photos": handed.photos,
            "corrected": handed.corrected,
            "diagnoses": handed.diagnoses,
        },
        "sha256": sha256,
    }
    return (json.dumps(note, indent=2, ensure_ascii=False) + "\n").encode()


def _salt(archive: Archive) -> bytes:
    """A secret of the archive, so that nobody outside finds a patient by trying codes."""
    with archive.database.alone() as session:
        kept = session.get(SecretRow, "patients")
        if kept is None:
            kept = SecretRow(name="patients", value=secrets.token_hex(32))
            session.add(kept)
        return bytes.fromhex(kept.value)


def _code(salt: bytes, text: str) -> str:
    return hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()[:_CODE]


def _recorded(archive: Archive, handed: Handover, account: Account | None) -> Handover:
    """Leaves a line in the audit log."""
    archive.record("feedback", "", account, cases=handed.cases, photos=handed.photos)
    return handed
