"""`cutis app account`: the first admin, passwords typed or piped, and what is refused."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cutis.app.accounts.accounts import Account, Accounts, Role
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive
from cutis.cli import app_account, run
from cutis.errors import InputError

GOOD, OTHER = "correct horse battery", "سلام بر دوستان خوب"
HERE = "192.0.2.1"

Type = Callable[[str], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CUTIS_DATABASE_URL", raising=False)
    return tmp_path / "archive"


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Type:
    """Gives the next command its standard input."""

    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return give


def add(folder: Path, name: str, *more: str) -> int:
    return run(["app", "account", "add", name, "--archive", str(folder), *more])


def log_in(folder: Path, name: str, password: str) -> Account:
    archive = Archive.open(folder)
    try:
        return Accounts(archive.database).authenticate(name, password, HERE).account
    finally:
        archive.close()


def test_the_first_admin_and_others_are_added(
    folder: Path, piped: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(f"{GOOD}\n")
    assert add(folder, "Ada", "--role", "admin") == 0
    assert capsys.readouterr().out == "ada may log in now\n"
    piped(f"{OTHER}\r\nnot read\n")
    assert add(folder, "rob") == 0
    assert log_in(folder, "ada", GOOD).role == Role.ADMIN
    rob = log_in(folder, "rob", OTHER)
    assert (rob.role, rob.must_change_password) == (Role.REPORTER, False)


def test_a_password_is_given_and_an_account_disabled(
    folder: Path, piped: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(f"{GOOD}\n")
    add(folder, "ada", "--role", "admin")
    piped(f"{GOOD}\n")
    add(folder, "rob")
    archive = Archive.open(folder)
    sessions = Sessions(archive.database)
    token = sessions.open(log_in(folder, "rob", GOOD))
    piped(f"{OTHER}\n")
    assert run(["app", "account", "password", "ROB", "--archive", str(folder)]) == 0
    assert sessions.account(token) is None
    token = sessions.open(log_in(folder, "rob", OTHER))
    capsys.readouterr()
    assert run(["app", "account", "disable", "rob", "--archive", str(folder)]) == 0
    assert capsys.readouterr().out == "rob can no longer log in\n"
    assert sessions.account(token) is None
    lines, _ = archive.audit()
    archive.close()
    assert [(line.account, line.action, line.subject) for line in reversed(lines)] == [
        (None, "account_added", "ada"),
        (None, "account_added", "rob"),
        (None, "password_changed", "rob"),
        (None, "account_disabled", "rob"),
    ]


@pytest.mark.parametrize(
    ("arguments", "typed", "said"),
    [
        (("add", "rob", "--role", "reporter"), GOOD, "add --role admin"),
        (("add", "rob", "--role", "admni"), GOOD, "did you mean 'admin'?"),
        (("add", "a b", "--role", "admin"), GOOD, "This name cannot be used."),
        (("add", "rob", "--role", "admin"), "short", "Use 12 characters or more."),
        (("add", "rob", "--role", "admin"), "", "Use 12 characters or more."),
        (("password", "rob"), GOOD, "there is no such folder"),
        (("disable", "rob"), "", "there is no such folder"),
    ],
)
def test_what_is_refused_before_there_is_an_account(
    folder: Path,
    piped: Type,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    typed: str,
    said: str,
) -> None:
    piped(typed)
    assert run(["app", "account", *arguments, "--archive", str(folder)]) == 2
    assert said in capsys.readouterr().err


def test_what_is_refused_after(
    folder: Path, piped: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(GOOD)
    add(folder, "ada", "--role", "admin")
    for arguments, said in (
        (("add", "ADA"), "There is an account of this name."),
        (("password", "adda"), "did you mean 'ada'?"),
        (("disable", "eve"), "there is no account 'eve'"),
        (("disable", "ada"), "This is the last active admin."),
    ):
        piped(GOOD)
        assert run(["app", "account", *arguments, "--archive", str(folder)]) == 2
        assert said in capsys.readouterr().err
    assert log_in(folder, "ada", GOOD).role == Role.ADMIN


class Terminal(io.StringIO):
    """A standard input at which somebody types."""

    def isatty(self) -> bool:
        return True


def test_a_password_is_typed_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = [GOOD, GOOD, GOOD, OTHER]
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.pop(0))
    assert app_account.app_account_add("ada", folder, "admin") == "ada"
    with pytest.raises(InputError, match="two passwords differ"):
        app_account.app_account_password("ada", folder)
    assert log_in(folder, "ada", GOOD).name == "ada"
