"""Cases on a disk: rows in the database, photos beside it."""

import contextlib
import logging
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from cutis.app.accounts.accounts import Account, account_of
from cutis.app.archive.audit import AuditLine, add_line, read_lines
from cutis.app.archive.database import Database
from cutis.app.archive.files import PhotoFiles, hash_of
from cutis.app.archive.folder import PHOTOS, claim_folder, make_folder
from cutis.app.archive.schema import AccountRow, CaseRow, OpinionRow, PhotoRow
from cutis.app.cases import Case, CaseFacts, Judgement, Photo, is_case_id
from cutis.app.errors import AppError
from cutis.metrics.answer_policy import Verdict
from cutis.taxonomy import Urgency

CASES = 20
"""Of a page of the list."""
UNKNOWN_URGENCY = len(Urgency)
"""Of a row; an urgency that is known is its place in Urgency."""

_URGENCIES = tuple(Urgency)

logger = logging.getLogger("cutis.app")


@dataclass(frozen=True)
class SavedCase:
    """A case as it was saved, and what was said when it was."""

    case: Case
    reporter: Account
    patient: str | None  # the clinic's own code
    may_train: bool  # consent to use it for training
    bundle: str  # the network's name and SHA-256
    language: str
    saved: datetime
    version: int  # goes up with each opinion
    damaged: tuple[int, ...] = ()  # photos, from 1, whose files are gone or changed: no preview


class ListedCase(NamedTuple):
    """A saved case in the list."""

    id: str
    saved: datetime
    reporter: str  # name
    patient: str | None
    may_train: bool
    judgement: Judgement
    photos: int
    opinions: int


class Listing(NamedTuple):
    """A page of the list, the latest first."""

    cases: tuple[ListedCase, ...]
    page: int  # from 1
    pages: int


class Archive:
    """Saved cases; its methods block, so the app calls them in threads.

    Attributes:
        folder: holds the photos, and the database unless a server does.
        database: the rows.
        files: the photos.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.database = database
        self.files = PhotoFiles(folder / PHOTOS)

    @classmethod
    def open(cls, folder: Path, url: str | None = None) -> "Archive":
        """Opens an archive, or makes one of a new or empty folder.

        Args:
            url: of the PostgreSQL server that holds its rows; None: they are in the folder.

        Raises:
            InputError: for a folder that holds something else or belongs to another database, and
                whatever `Database.open` refuses.
        """
        make_folder(folder)
        database = Database.open(folder, url)
        try:
            claim_folder(folder, database)
        except BaseException:
            database.close()
            raise
        return cls(folder, database)

    def close(self) -> None:
        """Gives the database's connections back."""
        self.database.close()

    def save(
        self,
        case: Case,
        reporter: Account,
        *,
        patient: str | None,
        may_train: bool,
        bundle: str,
        language: str,
    ) -> None:
        """Saves a case: when this returns, it survives a crash; until then nothing of it stays.

        Saving the same once more changes nothing. Raises AppError `already_saved` where somebody
        else has saved it, or other photos or words, and what `Database.session` raises.
        """
        row = _case_row(case, reporter.id)
        row.patient, row.may_train, row.bundle = patient, may_train, bundle
        row.language = language
        new: list[str] = []
        try:
            with self.database.alone() as session:
                found = session.get(CaseRow, case.id)
                if found is not None:
                    if not _is_same(session, found, row, case.photos):
                        raise AppError("already_saved")
                    return
                photos = [self._photo_row(case.id, number, photo, new)
                          for number, photo in enumerate(case.photos, 1)]  # fmt: skip
                session.add(row)
                session.flush()
                session.add_all(photos)
                add_line(session, "case_saved", case.id, reporter, may_train=may_train)
        except BaseException:
            self._remove_unused(new)  # a commit that was not answered may have kept them
            raise

    def case(self, case_id: str) -> SavedCase | None:
        """A saved case; None where there is none."""
        if not is_case_id(case_id):
            return None
        with self.database.reading() as session:
            found = session.execute(
                select(CaseRow, AccountRow)
                .join(AccountRow, AccountRow.id == CaseRow.reporter_id)
                .where(CaseRow.id == case_id)
            ).first()
            if found is None:
                return None
            rows = session.scalars(
                select(PhotoRow).where(PhotoRow.case_id == case_id).order_by(PhotoRow.number)
            ).all()
        row, reporter = found
        photos = tuple(Photo(self._preview(one), one.width, one.height) for one in rows)
        return SavedCase(
            case=_case(row, photos),
            reporter=account_of(reporter),
            patient=row.patient,
            may_train=row.may_train,
            bundle=row.bundle,
            language=row.language,
            saved=row.saved,
            version=row.version,
            damaged=tuple(n for n, photo in enumerate(photos, 1) if not photo.preview),
        )

    def listing(self, *, reporter_id: int | None = None, page: int = 1) -> Listing:
        """A page of all saved cases, or of one reporter's; the last one where there are fewer."""
        own = [] if reporter_id is None else [CaseRow.reporter_id == reporter_id]
        with self.database.reading() as session:
            count = session.scalar(select(func.count()).select_from(CaseRow).where(*own)) or 0
            pages = max(1, -(-count // CASES))
            page = min(max(1, page), pages)
            rows = session.execute(
                _listed()
                .where(*own)
                .order_by(CaseRow.saved.desc(), CaseRow.id)
                .offset((page - 1) * CASES)
                .limit(CASES)
            ).all()
        cases = (
            ListedCase(
                row.id,
                row.saved,
                name,
                row.patient,
                row.may_train,
                Judgement.model_validate(row.judgement),
                photos,
                opinions,
            )
            for row, name, photos, opinions in rows
        )
        return Listing(tuple(cases), page, pages)

    def delete(self, case_id: str, by: Account) -> None:
        """Deletes a case: rows, opinions, and the photos that no other case uses.

        The audit log keeps one line without content. Once the rows are gone this does not fail any
        more, since it could not be repeated: what stays on the disk is left to `sweep`. Raises
        AppError `saved_not_found`.
        """
        with self.database.alone() as session:
            hashes = set(
                session.scalars(select(PhotoRow.sha256).where(PhotoRow.case_id == case_id))
            )
            gone = session.execute(
                delete(CaseRow).where(CaseRow.id == case_id).returning(CaseRow.id)
            )
            if gone.first() is None:
                raise AppError("saved_not_found")
            add_line(session, "case_deleted", case_id, by)
        self._remove_unused(hashes)  # only after the rows are gone for good
        self._empty_journal()

    def record(self, action: str, subject: str, account: Account | None, **details: object) -> None:
        """Writes a line of the audit log."""
        with self.database.session() as session:
            add_line(session, action, subject, account, **details)

    def audit(self, page: int = 1) -> tuple[tuple[AuditLine, ...], int]:
        """A page of the audit log, the latest lines first, and the number of pages."""
        with self.database.reading() as session:
            return read_lines(session, page)

    def sweep(self) -> int:
        """Deletes photos that were left without a case, and SQLite's journal; how many files."""
        with self.database.alone() as session:
            count = self.files.sweep(set(session.scalars(select(PhotoRow.sha256).distinct())))
        self._empty_journal()
        return count

    def _remove_unused(self, hashes: Collection[str]) -> None:
        """Deletes those of the photos that no case uses; where it fails they wait for `sweep`."""
        if not hashes:
            return
        try:
            with self.database.alone() as session:
                self.files.remove(set(hashes) - _used(session, hashes))
        except AppError as error:
            logger.error("photos without a case are left for a while (%s)", error.code)

    def _empty_journal(self) -> None:
        with contextlib.suppress(AppError):  # the next one will
            self.database.empty_journal()

    def _photo_row(self, case_id: str, number: int, photo: Photo, new: list[str]) -> PhotoRow:
        """Writes a photo's file; its hash is added to `new` where there was none."""
        sha256, is_new = self.files.put(photo.preview)
        if is_new:
            new.append(sha256)
        return PhotoRow(
            case_id=case_id, number=number, sha256=sha256, width=photo.width, height=photo.height
        )

    def _preview(self, row: PhotoRow) -> bytes:
        """A photo's bytes; none for a damaged one, so that the rest of the case can be seen."""
        try:
            return self.files.read(row.sha256)
        except AppError:
            logger.error("a saved photo is damaged or gone: %s", row.sha256)
            return b""


def uncertainty(judgement: Judgement) -> float:
    """How little the model knows, 0 to 1: the entropy of the pooled probabilities over log K.

    1 where it cannot tell.
    """
    shares = [share for share in judgement.probabilities.values() if share > 0]
    if judgement.verdict is Verdict.CANNOT_TELL or not shares:
        return 1.0
    if len(judgement.probabilities) == 1:
        return 0.0
    entropy = -sum(share * math.log(share) for share in shares)
    return min(1.0, max(0.0, entropy / math.log(len(judgement.probabilities))))


def _case_row(case: Case, reporter_id: int) -> CaseRow:
    """A case's row, all but what the person who saves it says."""
    judged = case.judgement
    return CaseRow(
        id=case.id,
        created=case.created,
        saved=datetime.now(UTC),
        reporter_id=reporter_id,
        age=case.facts.age,
        sex=case.facts.sex,
        site=case.facts.site,
        symptoms=list(case.facts.symptoms),
        note=case.facts.note,
        judgement=judged.model_dump(mode="json"),
        urgency=UNKNOWN_URGENCY if judged.urgency is None else _URGENCIES.index(judged.urgency),
        uncertainty=uncertainty(judged),
        version=1,
    )


def _case(row: CaseRow, photos: tuple[Photo, ...]) -> Case:
    facts = CaseFacts(
        age=row.age, sex=row.sex, site=row.site, symptoms=tuple(row.symptoms), note=row.note
    )
    return Case(photos, facts, Judgement.model_validate(row.judgement), row.id, row.created)


def _listed() -> Select[Any]:
    """Rows of cases, each with its reporter's name and how many photos and opinions it has."""
    photos = select(func.count()).where(PhotoRow.case_id == CaseRow.id).scalar_subquery()
    opinions = select(func.count()).where(OpinionRow.case_id == CaseRow.id).scalar_subquery()
    reporters = CaseRow.reporter_id == AccountRow.id
    return select(CaseRow, AccountRow.name, photos, opinions).join(AccountRow, reporters)


def _is_same(session: Session, found: CaseRow, row: CaseRow, photos: tuple[Photo, ...]) -> bool:
    """Whether a saved case is what somebody saves once more."""
    said = ("reporter_id", "patient", "may_train", "judgement")
    if any(getattr(found, name) != getattr(row, name) for name in said):
        return False
    of_case = select(PhotoRow.sha256).where(PhotoRow.case_id == found.id)
    kept = list(session.scalars(of_case.order_by(PhotoRow.number)))
    return kept == [hash_of(photo.preview) for photo in photos]


def _used(session: Session, hashes: Collection[str]) -> set[str]:
    """Those of the photos that cases use."""
    return set(session.scalars(select(PhotoRow.sha256).where(PhotoRow.sha256.in_(hashes))))
