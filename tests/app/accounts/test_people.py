"""What people do with accounts: each change with its line, and nothing between two steps."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, update

from cutis.app.accounts.accounts import Account, Accounts, Role
from cutis.app.accounts.attempts import OF_NAME, WINDOW
from cutis.app.accounts.people import People
from cutis.app.archive.archive import Archive
from cutis.app.archive.schema import AuditRow
from cutis.app.errors import AppError

from .conftest import Clock, CountedPasswords

GOOD, OTHER, THIRD = "correct horse battery", "another horse battery", "a third horse battery"
HERE = "192.0.2.1"


@pytest.fixture
def people(archive: Archive, accounts: Accounts) -> People:
    made = People(archive)
    made.accounts = accounts  # whose hashes are cheap
    return made


@pytest.fixture
def ada(people: People) -> Account:
    return people.accounts.create("ada", GOOD, Role.ADMIN)


@pytest.fixture
def bob(people: People) -> Account:
    return people.accounts.create("bob", GOOD, Role.CLINICIAN)


def code_of(work: Callable[[], object]) -> str:
    """The code of the AppError that some work raises; "done" where it raises none."""
    try:
        work()
    except AppError as error:
        return error.code
    return "done"


def lines(archive: Archive) -> list[tuple[str | None, str, str]]:
    """The audit log, the oldest first."""
    found, _ = archive.audit()
    return [(line.account, line.action, line.subject) for line in reversed(found)]


def test_a_thief_s_change_does_not_undo_an_admin_s_reset(
    people: People,
    ada: Account,
    bob: Account,
    passwords: CountedPasswords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stolen, secrets, made = people.sessions.open(bob), [], passwords.hash

    def reset_meanwhile(password: str) -> str:
        if not secrets:
            secrets.append("")
            secrets[0] = people.reset(ada, bob.id)[1]
        return made(password)

    monkeypatch.setattr(passwords, "hash", reset_meanwhile)
    assert code_of(lambda: people.change_password(bob, GOOD, OTHER, HERE)) == "password_old"
    assert code_of(lambda: people.log_in("bob", OTHER, HERE)) == "login_wrong"
    assert people.sessions.account(stolen) is None
    assert people.log_in("bob", secrets[0], HERE).account.must_change_password


@pytest.mark.parametrize("how", ["log in", "change"])
def test_no_session_opens_with_a_password_that_was_just_reset(
    people: People,
    archive: Archive,
    ada: Account,
    bob: Account,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After it was checked or changed, and before the session is there."""
    opened = people.sessions.open

    def open_late(*args: object) -> str:
        people.reset(ada, bob.id)
        return opened(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(people.sessions, "open", open_late)
    if how == "log in":
        assert code_of(lambda: people.log_in("bob", GOOD, HERE)) == "login_wrong"
        assert (None, "login_failed", "bob") in lines(archive)
    else:
        change = people.change_password
        assert code_of(lambda: change(bob, GOOD, OTHER, HERE)) == "login_wrong"
    assert "login" not in [action for _, action, _ in lines(archive)]


def test_a_change_without_its_line_does_not_happen(
    people: People, archive: Archive, ada: Account, bob: Account
) -> None:
    def fail(*args: object) -> None:
        if "INSERT INTO audit" in str(args[2]):
            raise AppError("storage_busy", retry_after=5)

    changes = (
        lambda: people.add(ada, "new", Role.REPORTER),
        lambda: people.reset(ada, bob.id),
        lambda: people.change_password(bob, GOOD, OTHER, HERE),
        lambda: people.accounts.set_role(bob.id, Role.ADMIN, by=ada),
        lambda: people.accounts.set_active(bob.id, False, by=ada),
    )
    event.listen(archive.database.engine, "before_cursor_execute", fail)
    assert [code_of(change) for change in changes] == ["storage_busy"] * len(changes)
    event.remove(archive.database.engine, "before_cursor_execute", fail)
    assert [(one.account, one.active) for one in people.accounts.all()] == [
        (ada, True),
        (bob, True),
    ]
    assert people.log_in("bob", GOOD, HERE).account == bob
    assert [code_of(change) for change in changes[:2]] == ["done", "done"]


def test_every_change_has_one_line(
    people: People, archive: Archive, ada: Account, bob: Account
) -> None:
    people.accounts.set_role(bob.id, Role.REPORTER, by=ada)
    people.accounts.set_active(bob.id, False, by=ada)
    people.accounts.set_active(bob.id, True, by=ada)
    _, secret = people.reset(ada, bob.id)
    people.change_password(bob, secret, THIRD, HERE)
    people.accounts.set_password(bob.id, OTHER)  # as the command line does
    assert lines(archive) == [
        (None, "account_added", "ada"),
        (None, "account_added", "bob"),
        ("ada", "role_changed", "bob"),
        ("ada", "account_disabled", "bob"),
        ("ada", "account_enabled", "bob"),
        ("ada", "password_reset", "bob"),
        ("bob", "password_changed", "bob"),
        (None, "password_changed", "bob"),
    ]


def test_strangers_cannot_fill_the_log(
    people: People, archive: Archive, ada: Account, clock: Clock
) -> None:
    names = ["ada"] * OF_NAME + [f"nobody{n}" for n in range(10)]
    for number, name in enumerate(names):
        people_at = f"192.0.2.{number}"
        assert code_of(lambda n=name, at=people_at: people.log_in(n, OTHER, at)) == "login_wrong"
    failed = [line for line in lines(archive) if line[1] == "login_failed"]
    assert failed == [(None, "login_failed", "ada"), (None, "login_failed", "")]
    with archive.database.session() as session:  # the window passes
        session.execute(update(AuditRow).values(at=datetime.now(UTC) - WINDOW))
    clock.forward(minutes=15)
    people.log_in("ada", GOOD, HERE)
    code_of(lambda: people.log_in("ada", OTHER, HERE))
    assert lines(archive)[-2:] == [("ada", "login", "ada"), (None, "login_failed", "ada")]
