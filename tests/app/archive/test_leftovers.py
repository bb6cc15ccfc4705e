"""Nothing stays that no case names: photos after a failure, and rows in SQLite's journal."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive.archive import Archive
from cutis.app.archive.database import FILE
from cutis.app.archive.schema import CaseRow
from cutis.app.errors import AppError

from ..conftest import make_account
from .conftest import NOTE, files, make_case, save, tables

SECRET = "p-7-secret"


def fail_from(archive: Archive, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Lets the transactions fail that are alone, from the one of this number on."""
    alone, begun = archive.database.alone, []

    @contextlib.contextmanager
    def busy() -> Iterator[Session]:
        begun.append(number)
        if len(begun) >= number:
            raise AppError("storage_busy", retry_after=5)
        with alone() as session:
            yield session

    monkeypatch.setattr(archive.database, "alone", busy)


def test_a_deletion_is_done_once_the_rows_are_gone(
    archive: Archive,
    reporter: Account,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It cannot be repeated then, so what fails later is left to the next sweep."""
    case_id = save(archive, reporter, make_case(b"one"))
    with monkeypatch.context() as broken:
        fail_from(archive, broken, 2)
        archive.delete(case_id, reporter)
    assert (len(files(archive)), tables(archive)) == (1, [0, 0, 0])
    assert "storage_busy" in caplog.text
    assert archive.sweep() == 1
    assert files(archive) == []


def test_a_deletion_that_never_began_is_told(
    archive: Archive, reporter: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = save(archive, reporter, make_case(b"one"))
    with monkeypatch.context() as broken:
        fail_from(archive, broken, 1)
        with pytest.raises(AppError, match="storage_busy"):
            archive.delete(case_id, reporter)
    assert archive.case(case_id) is not None


def test_a_commit_that_fails_takes_its_photos_along(archive: Archive, reporter: Account) -> None:
    save(archive, reporter, make_case(b"same"))

    def full(_: object) -> None:
        raised = sqlite3.OperationalError("database or disk is full")
        raised.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise OperationalError("COMMIT", {}, raised)

    event.listen(archive.database.engine, "commit", full, once=True)
    with pytest.raises(AppError, match="storage_full"):
        save(archive, reporter, make_case(b"same", b"new"))
    assert (len(files(archive)), tables(archive)) == (1, [1, 1, 0])


def test_photos_of_a_commit_that_failed_only_in_its_answer_stay(
    archive: Archive, reporter: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is lost in the moment of the commit may have kept the case."""
    alone, begun = archive.database.alone, []

    @contextlib.contextmanager
    def lost() -> Iterator[Session]:
        with alone() as session:
            yield session
        begun.append("committed")
        if len(begun) == 1:
            raise AppError("storage")

    monkeypatch.setattr(archive.database, "alone", lost)
    case = make_case(b"one")
    with pytest.raises(AppError, match=r"^503: storage$"):
        save(archive, reporter, case)
    found = archive.case(case.id)
    assert found is not None
    assert found.damaged == ()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Archive]:
    made = Archive.open(tmp_path / "archive")
    yield made
    made.close()


def traces(archive: Archive) -> int:
    """How often what was private stands in SQLite's files."""
    kept = b"".join(path.read_bytes() for path in archive.folder.glob(f"{FILE}*"))
    return kept.count(SECRET.encode()) + kept.count(NOTE.encode())


def test_sqlite_keeps_nothing_of_a_deleted_case(opened: Archive) -> None:
    reporter = make_account(opened, "reporter", Role.REPORTER)
    case_id = save(opened, reporter, make_case(), patient=SECRET)
    assert traces(opened) > 0
    opened.delete(case_id, reporter)
    assert traces(opened) == 0


def test_a_journal_that_somebody_reads_is_emptied_later(opened: Archive) -> None:
    reporter = make_account(opened, "reporter", Role.REPORTER)
    case_id = save(opened, reporter, make_case(), patient=SECRET)
    with opened.database.reading() as reading:
        reading.get_one(CaseRow, case_id)
        opened.delete(case_id, reporter)
        assert traces(opened) > 0
    opened.sweep()
    assert traces(opened) == 0
