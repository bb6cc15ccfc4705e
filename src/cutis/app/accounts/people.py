"""What people do with accounts, each with its line in the audit log."""

import secrets
from dataclasses import dataclass, field

from cutis.app.accounts.accounts import Account, Accounts, Role
from cutis.app.accounts.sessions import Sessions
from cutis.app.accounts.setup import Setup
from cutis.app.archive.archive import Archive
from cutis.app.errors import AppError

_SIGNS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
_GROUPS, _LENGTH = 4, 4  # 31 signs, 16 times: 79 random bits


@dataclass(frozen=True)
class Opened:
    """A log-in: what the browser is given for this session, and to be known by at the next."""

    account: Account
    token: str = field(repr=False)
    device: str = field(repr=False)


class People:
    """Log-ins and changes of accounts. Every method blocks and raises AppError.

    Args:
        archive: holds the accounts and the audit log.

    Attributes:
        accounts: all of them.
        sessions: the open log-ins.
        setup: makes the first account.
    """

    def __init__(self, archive: Archive) -> None:
        self.accounts = Accounts(archive.database)
        self.sessions = Sessions(archive.database)
        self.setup = Setup(self.accounts)
        self._record = archive.record

    def log_in(
        self, name: str, password: str, address: str, session: str = "", device: str = ""
    ) -> Opened:
        """Opens a session with a token of its own.

        Args:
            session: the token that the browser had until now; it ends.
            device: what an earlier log-in gave to the browser.
        """
        try:
            account = self.accounts.authenticate(name, password, address, device)
        except AppError as error:
            if error.code == "login_wrong":
                # A name that there is not may be a password in the wrong field.
                known = self.accounts.find(name)
                self._record("login_failed", known.name if known else "", None)
            raise
        self._record("login", account.name, account)
        if session:
            self.sessions.close(session)
        return self._open(account)

    def log_out(self, account: Account, token: str) -> None:
        """Ends a session."""
        self.sessions.close(token)
        self._record("logout", account.name, account)

    def make_first(self, token: str, name: str, password: str) -> Opened:
        """Makes the first admin, who is logged in then."""
        account = self.setup.use(token, name, password)
        self._record("account_added", account.name, account, role=account.role)
        return self._open(account)

    def change_password(self, account: Account, old: str, new: str, address: str) -> Opened:
        """Changes somebody's own password; this browser stays logged in, with a new token."""
        self.accounts.change_password(account, old, new, address)
        self._record("password_changed", account.name, account)
        return self._open(account)

    def add(self, by: Account, name: str, role: Role) -> tuple[str, str]:
        """A new account's name and its one-time password."""
        secret = one_time_password()
        made = self.accounts.create(name, secret, role, must_change_password=True)
        self._record("account_added", made.name, by, role=role)
        return made.name, secret

    def reset(self, by: Account, account_id: int) -> tuple[str, str]:
        """An account's name and its new one-time password."""
        secret = one_time_password()
        changed = self.accounts.get(account_id)
        self.accounts.set_password(account_id, secret, must_change_password=True)
        self._record("password_reset", changed.name, by)
        return changed.name, secret

    def set_role(self, by: Account, account_id: int, role: Role) -> None:
        """Gives an account another role."""
        changed = self.accounts.get(account_id)
        self.accounts.set_role(account_id, role)
        self._record("role_changed", changed.name, by, role=role)

    def set_active(self, by: Account, account_id: int, active: bool) -> None:
        """Disables an account, or enables it again."""
        changed = self.accounts.get(account_id)
        self.accounts.set_active(account_id, active)
        action = "account_enabled" if active else "account_disabled"
        self._record(action, changed.name, by)

    def _open(self, account: Account) -> Opened:
        return Opened(account, self.sessions.open(account), self.accounts.device(account))


def one_time_password() -> str:
    """A random password to read aloud and to type once."""
    groups = ("".join(secrets.choice(_SIGNS) for _ in range(_LENGTH)) for _ in range(_GROUPS))
    return "-".join(groups)
