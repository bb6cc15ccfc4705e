"""Log-ins that are open: how long, and what a thief of the database has of them."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select, update

from cutis.app.accounts.accounts import Account, Accounts, Role
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive
from cutis.app.archive.schema import AccountRow, SessionRow
from cutis.app.errors import AppError

from .conftest import Clock

GOOD = "correct horse battery"


@pytest.fixture
def ada(accounts: Accounts) -> Account:
    return accounts.create("ada", GOOD, Role.ADMIN)


def hashes(archive: Archive) -> list[str]:
    with archive.database.reading() as session:
        return list(session.scalars(select(SessionRow.token_hash)))


def test_a_token_opens_its_account_until_it_is_closed(sessions: Sessions, ada: Account) -> None:
    token, other = sessions.open(ada), sessions.open(ada)
    assert len(token) == 43  # 256 bits
    assert token != other
    assert sessions.account(token) == ada
    for wrong in ("", "x", token[:-1], token + "=", "é\udc80", "' OR 1=1 --"):
        assert sessions.account(wrong) is None
        sessions.close(wrong)
    sessions.close(token)
    assert sessions.account(token) is None
    assert sessions.account(other) == ada


def test_what_the_database_holds_opens_nothing(
    archive: Archive, sessions: Sessions, ada: Account
) -> None:
    """A thief of a backup has hashes, and whoever sends a hash sends no token."""
    token = sessions.open(ada)
    (kept,) = hashes(archive)
    assert kept == hashlib.sha256(token.encode()).hexdigest()
    assert sessions.account(kept) is None
    for path in Path(archive.folder).rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()


def test_a_session_ends_when_it_is_not_used(sessions: Sessions, ada: Account, clock: Clock) -> None:
    token = sessions.open(ada)
    for _ in range(4):
        clock.forward(minutes=29)
        assert sessions.account(token) == ada
    clock.forward(minutes=30)
    assert sessions.account(token) is None


def test_a_session_ends_after_half_a_day(sessions: Sessions, ada: Account, clock: Clock) -> None:
    token = sessions.open(ada)
    for _ in range(36):
        assert sessions.account(token) == ada
        clock.forward(minutes=20)
    assert sessions.account(token) is None


def test_a_disabled_account_has_no_session(
    archive: Archive, sessions: Sessions, ada: Account
) -> None:
    token = sessions.open(ada)
    with archive.database.session() as session:  # as another program might
        session.execute(update(AccountRow).values(active=False))
    assert sessions.account(token) is None


def test_a_changed_role_counts_at_once(archive: Archive, sessions: Sessions, ada: Account) -> None:
    token = sessions.open(ada)
    with archive.database.session() as session:
        session.execute(update(AccountRow).values(role="reporter"))
    found = sessions.account(token)
    assert found is not None
    assert found.role == Role.REPORTER


def test_ended_sessions_are_forgotten(
    archive: Archive, sessions: Sessions, ada: Account, clock: Clock
) -> None:
    for _ in range(3):
        sessions.open(ada)
    assert len(hashes(archive)) == 3
    clock.forward(minutes=29)
    sessions.open(ada)
    assert len(hashes(archive)) == 4
    clock.forward(minutes=1)
    sessions.open(ada)
    assert len(hashes(archive)) == 2


def test_uses_that_follow_closely_are_not_written(
    archive: Archive, sessions: Sessions, ada: Account, clock: Clock
) -> None:
    token, start = sessions.open(ada), clock.now
    clock.forward(seconds=60)
    sessions.account(token)
    with archive.database.reading() as session:
        assert session.scalars(select(SessionRow.last_used)).one() == start
    clock.forward(seconds=1)
    sessions.account(token)
    with archive.database.reading() as session:
        assert session.scalars(select(SessionRow.last_used)).one() == clock.now


def test_a_full_disk_keeps_nobody_out(
    archive: Archive,
    sessions: Sessions,
    ada: Account,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = sessions.open(ada)
    clock.forward(minutes=5)

    def full() -> None:
        raise AppError("storage_full")

    monkeypatch.setattr(archive.database, "session", full)
    assert sessions.account(token) == ada
