"""`cutis app account`: accounts without the app's pages, such as the first admin's."""

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.app_backup import opened_archive
from cutis.errors import InputError, nearest

if TYPE_CHECKING:
    from cutis.app.accounts.accounts import Account, Accounts

Name = Annotated[str, Argument(metavar="NAME", help="The account's; case does not matter.")]
ArchiveOption = Annotated[
    Path, Option("--archive", metavar="FOLDER", help="The folder of `cutis app --archive`.")
]


def app_account_add(
    name: Name,
    archive: ArchiveOption,
    role: Annotated[
        str, Option(metavar="ROLE", help="reporter, clinician or admin; the first is an admin.")
    ] = "reporter",
) -> str:
    """Add an account; asks for its password, or reads a line where nobody types."""
    from cutis.app.accounts.accounts import Accounts, Role, clean_name

    if role not in list(Role):
        raise InputError(
            f"there is no role '{role}'",
            expected=", ".join(Role),
            fix=nearest(role, Role) or None,
        )
    with opened_archive(archive) as opened:
        accounts = Accounts(opened.database)
        clean_name(name)
        if role != Role.ADMIN and not accounts.exist():
            raise InputError(
                "the first account must be able to manage others", fix="add --role admin"
            )
        made = accounts.create(name, _password(), Role(role))
    return made.name


def app_account_password(name: Name, archive: ArchiveOption) -> str:
    """Give an account a new password, which ends its log-ins; asks, or reads a line."""
    with _existing(name, archive) as (accounts, account):
        accounts.set_password(account.id, _password())
    return account.name


def app_account_disable(name: Name, archive: ArchiveOption) -> str:
    """Disable an account, which ends its log-ins; what it has done stays."""
    with _existing(name, archive) as (accounts, account):
        accounts.set_active(account.id, False)
    return account.name


def _shows(done: str) -> Callable[[str], int]:
    def show(name: str) -> int:
        """Says what has been done."""
        print(done.format(name=name))
        return 0

    return show


show_added = _shows("{name} may log in now")
show_password = _shows("{name} logs in with the new password from now on")
show_disabled = _shows("{name} can no longer log in")


@contextmanager
def _existing(name: str, archive: Path) -> "Iterator[tuple[Accounts, Account]]":
    """An account, and all of them; InputError where there is none."""
    from cutis.app.accounts.accounts import Accounts

    if not archive.is_dir():
        raise InputError("there is no such folder", where=archive)
    with opened_archive(archive) as opened:
        accounts = Accounts(opened.database)
        account = accounts.find(name)
        if account is None:
            known = [one.account.name for one in accounts.all()]
            raise InputError(
                f"there is no account '{name}'",
                where=archive,
                expected=", ".join(known) or None,
                fix=nearest(name, known) or None,
            )
        yield accounts, account


def _password() -> str:
    """Typed twice, unseen; or a line of the standard input, for scripts."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise InputError("the two passwords differ", fix="run this again")
    return password
