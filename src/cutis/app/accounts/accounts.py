"""Accounts in the database: who may log in, as what, and with which password."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cutis.app.accounts.attempts import Attempts
from cutis.app.accounts.devices import device_of, is_device_of
from cutis.app.accounts.passwords import Passwords, check_password, normalised
from cutis.app.archive.audit import add_line
from cutis.app.archive.database import Database
from cutis.app.archive.schema import AccountRow, SessionRow
from cutis.app.errors import AppError
from cutis.app.spelling import one_spelling

SHORTEST_NAME, LONGEST_NAME = 3, 40
"""Characters."""

_NAME = re.compile(r"\w(?:[\w.@-]*\w)?")


class Role(StrEnum):
    """What an account may do; an admin may all that a clinician may."""

    REPORTER = "reporter"
    CLINICIAN = "clinician"
    ADMIN = "admin"


@dataclass(frozen=True)
class Account:
    """Somebody who has logged in, or may."""

    id: int
    name: str
    role: Role
    must_change_password: bool = False


class Proof(NamedTuple):
    """An account, and the hash that its password was right for a moment ago."""

    account: Account
    password_hash: str


@dataclass(frozen=True)
class ListedAccount:
    """An account as its admins see it."""

    account: Account
    active: bool
    created: datetime


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def clean_name(name: str) -> str:
    """A name as it is stored: NFKC, lower case, one kind of digits and of Persian letters.

    Raises AppError for one that is too short or long, or has other signs than letters, digits and
    `. - _ @` between them.
    """
    plain = one_spelling(name).strip()
    if not SHORTEST_NAME <= len(plain) <= LONGEST_NAME or not _NAME.fullmatch(plain):
        raise AppError("account_name", least=SHORTEST_NAME, most=LONGEST_NAME)
    return plain


def account_of(row: AccountRow) -> Account:
    """A row as the app knows it."""
    return Account(row.id, row.name, Role(row.role), row.must_change_password)


class Accounts:
    """All accounts of an archive. Every method blocks; those with a password block for long.

    What changes an account writes its line of the audit log in the same transaction, under the name
    of whom it takes as `by`; None is the command line.

    Args:
        database: where they are.
        passwords: hashes and checks.
        attempts: counts log-ins that failed.
        clock: aware time.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords | None = None,
        attempts: Attempts | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._database = database
        self._passwords = passwords or Passwords()
        self._attempts = attempts or Attempts(database, clock)
        self._clock = clock

    def exist(self) -> bool:
        """Whether there is any account; the first one is made without one."""
        with self._database.reading() as session:
            return _any(session)

    def all(self) -> list[ListedAccount]:
        """All accounts by name, disabled ones too."""
        with self._database.reading() as session:
            rows = session.scalars(select(AccountRow).order_by(AccountRow.name))
            return [ListedAccount(account_of(row), row.active, row.created) for row in rows]

    def find(self, name: str) -> Account | None:
        """The account of a name as a person writes it."""
        with self._database.reading() as session:
            row = _named(session, name)
            return None if row is None else account_of(row)

    def get(self, account_id: int) -> Account:
        """An account; AppError `account_not_found` where there is none."""
        with self._database.reading() as session:
            return account_of(_existing(session, account_id))

    def create(
        self,
        name: str,
        password: str,
        role: Role,
        *,
        by: Account | None = None,
        must_change_password: bool = False,
    ) -> Account:
        """Makes an account; AppError for a name that is taken, a bad name and a bad password."""
        made = self._row(name, password, role, must_change_password)
        try:
            with self._database.session() as session:
                session.add(made)
                session.flush()
                add_line(session, "account_added", made.name, by, role=role)
                return account_of(made)
        except IntegrityError as error:
            raise AppError("name_taken") from error

    def create_first(self, name: str, password: str) -> Proof:
        """Makes an admin where there is no account yet; AppError `setup_closed` where there is."""
        made = self._row(name, password, Role.ADMIN, False)
        with self._database.alone() as session:
            if _any(session):
                raise AppError("setup_closed")
            session.add(made)
            session.flush()
            first = account_of(made)
            add_line(session, "account_added", made.name, first, role=Role.ADMIN)
            return Proof(first, made.password_hash)

    def authenticate(self, name: str, password: str, address: str, device: str = "") -> Proof:
        """The account that a name and a password open.

        An unknown name costs the same work as a wrong password, and both give the same error.

        Args:
            address: where the attempt comes from.
            device: what `device_of` has given to the browser before, if anything.

        Raises AppError `login_wrong`, and `too_many_logins` after too many wrong ones.
        """
        with self._database.reading() as session:
            row = _named(session, name)
        known = row is not None and is_device_of(row, device)
        taken = self._attempts.take(_counted(name), address, device if known else "")
        right = self._passwords.matches(None if row is None else row.password_hash, password)
        if row is None or not right or not row.active:
            raise AppError("login_wrong")
        self._attempts.give_back(taken)
        hashed = row.password_hash
        if self._passwords.is_outdated(hashed):
            hashed = self._rehash(row, password)
        return Proof(account_of(row), hashed)

    def device(self, account: Account) -> str:
        """A cookie by which `authenticate` knows the browser again; it ends with the password."""
        with self._database.reading() as session:
            return device_of(_existing(session, account.id))

    def change_password(self, account: Account, old: str, new: str, address: str) -> Proof:
        """Sets somebody's own password, and ends all sessions of the account.

        Wrong old ones are counted too, apart from log-ins. Raises AppError `password_old`, also
        where an admin has set another one in the meantime, `password_same`, and those of a new
        password that is not taken.
        """
        with self._database.reading() as session:
            hashed = _existing(session, account.id).password_hash
        taken = self._attempts.take(account.name, address, f"account {account.id}")
        if not self._passwords.matches(hashed, old):
            raise AppError("password_old")
        self._attempts.give_back(taken)
        if normalised(old) == normalised(new):
            raise AppError("password_same")
        made = self._hash(new, account.name)
        with self._database.session() as session:
            row = _unchanged(session, account.id, hashed)
            if row is None:
                raise AppError("password_old")
            row.password_hash, row.must_change_password = made, False
            _end_sessions(session, account.id)
            add_line(session, "password_changed", row.name, account)
            return Proof(account_of(row), made)

    def set_password(
        self,
        account_id: int,
        password: str,
        *,
        by: Account | None = None,
        must_change_password: bool = False,
    ) -> None:
        """Sets a password, and ends all sessions of the account."""
        hashed = self._hash(password, self.get(account_id).name)
        with self._database.session() as session:
            row = _existing(session, account_id)
            row.password_hash, row.must_change_password = hashed, must_change_password
            _end_sessions(session, account_id)
            action = "password_reset" if must_change_password else "password_changed"
            add_line(session, action, row.name, by)

    def set_role(self, account_id: int, role: Role, *, by: Account | None = None) -> None:
        """Changes a role, and ends all sessions of the account; the last admin stays one."""
        with self._database.alone() as session:
            row = _existing(session, account_id)
            row.role = role
            _check_admins(session)
            _end_sessions(session, account_id)
            add_line(session, "role_changed", row.name, by, role=role)

    def set_active(self, account_id: int, active: bool, *, by: Account | None = None) -> None:
        """Disables an account, which ends its sessions, or enables it again."""
        with self._database.alone() as session:
            row = _existing(session, account_id)
            row.active = active
            if not active:
                _check_admins(session)
            _end_sessions(session, account_id)
            action = "account_enabled" if active else "account_disabled"
            add_line(session, action, row.name, by)

    def _row(self, name: str, password: str, role: Role, must_change: bool) -> AccountRow:
        plain = clean_name(name)
        return AccountRow(
            name=plain,
            role=role,
            password_hash=self._hash(password, plain),
            active=True,
            created=self._clock(),
            must_change_password=must_change,
        )

    def _hash(self, password: str, name: str) -> str:
        check_password(password, name)
        return self._passwords.hash(password)

    def _rehash(self, row: AccountRow, password: str) -> str:
        """Hashes anew at today's cost, unless the password has been changed in the meantime."""
        hashed = self._passwords.hash(password)
        with self._database.session() as session:
            same = _unchanged(session, row.id, row.password_hash)
            if same is not None:
                same.password_hash = hashed
        return hashed


def _counted(name: str) -> str:
    """A name as failed log-ins count it, whether there can be such an account or not."""
    try:
        return clean_name(name)
    except AppError:
        return name


def _named(session: Session, name: str) -> AccountRow | None:
    try:
        plain = clean_name(name)
    except AppError:
        return None
    return session.scalar(select(AccountRow).where(AccountRow.name == plain))


def _existing(session: Session, account_id: int) -> AccountRow:
    row = session.get(AccountRow, account_id)
    if row is None:
        raise AppError("account_not_found")
    return row


def _unchanged(session: Session, account_id: int, password_hash: str) -> AccountRow | None:
    """The row of an account whose password is still the one that was checked; locks it."""
    same = (AccountRow.id == account_id, AccountRow.password_hash == password_hash)
    return session.scalar(select(AccountRow).where(*same).with_for_update())


def _any(session: Session) -> bool:
    return session.scalar(select(AccountRow.id).limit(1)) is not None


def _check_admins(session: Session) -> None:
    """Somebody must be left who can manage accounts."""
    session.flush()
    admins = (AccountRow.role == Role.ADMIN, AccountRow.active)
    if session.scalar(select(AccountRow.id).where(*admins).limit(1)) is None:
        raise AppError("last_admin")


def _end_sessions(session: Session, account_id: int) -> None:
    session.execute(delete(SessionRow).where(SessionRow.account_id == account_id))
