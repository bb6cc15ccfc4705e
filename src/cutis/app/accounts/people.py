"""Log-ins, and what gives a password or a session out, each with its line in the audit log."""

import secrets
from dataclasses import dataclass, field

from cutis.app.accounts.accounts import Account, Accounts, Proof, Role, now
from cutis.app.accounts.attempts import WINDOW
from cutis.app.accounts.sessions import Sessions
from cutis.app.accounts.setup import Setup
from cutis.app.archive.archive import Archive
from cutis.app.archive.audit import add_line, has_line
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
        self._archive = archive

    def log_in(
        self, name: str, password: str, address: str, session: str = "", device: str = ""
    ) -> Opened:
        """Opens a session with a token of its own.

        Args:
            session: the token that the browser had until now; it ends.
            device: what an earlier log-in gave to the browser.
        """
        try:
            opened = self._open(self.accounts.authenticate(name, password, address, device))
        except AppError as error:
            if error.code == "login_wrong":
                self._note_failure(name)
            raise
        account = opened.account
        self._archive.record("login", account.name, account)
        if session:
            self.sessions.close(session)
        return opened

    def log_out(self, account: Account, token: str) -> None:
        """Ends a session."""
        self.sessions.close(token)
        self._archive.record("logout", account.name, account)

    def make_first(self, token: str, name: str, password: str) -> Opened:
        """Makes the first admin, who is logged in then."""
        return self._open(self.setup.use(token, name, password))

    def change_password(self, account: Account, old: str, new: str, address: str) -> Opened:
        """Changes somebody's own password; this browser stays logged in, with a new token."""
        return self._open(self.accounts.change_password(account, old, new, address))

    def add(self, by: Account, name: str, role: Role) -> tuple[str, str]:
        """A new account's name and its one-time password."""
        secret = one_time_password()
        made = self.accounts.create(name, secret, role, by=by, must_change_password=True)
        return made.name, secret

    def reset(self, by: Account, account_id: int) -> tuple[str, str]:
        """An account's name and its new one-time password."""
        secret = one_time_password()
        changed = self.accounts.get(account_id)
        self.accounts.set_password(account_id, secret, by=by, must_change_password=True)
        return changed.name, secret

    def _open(self, proof: Proof) -> Opened:
        token = self.sessions.open(proof.account, proof.password_hash)
        return Opened(proof.account, token, self.accounts.device(proof.account))

    def _note_failure(self, name: str) -> None:
        """One line in a window for each account, and one for all names that there are not.

        Strangers would else fill the log; and such a name may be a password in the wrong field.
        """
        known = self.accounts.find(name)
        subject = known.name if known else ""
        with self._archive.database.session() as session:
            if not has_line(session, "login_failed", subject, now() - WINDOW):
                add_line(session, "login_failed", subject, None)


def one_time_password() -> str:
    """A random password to read aloud and to type once."""
    groups = ("".join(secrets.choice(_SIGNS) for _ in range(_LENGTH)) for _ in range(_GROUPS))
    return "-".join(groups)
