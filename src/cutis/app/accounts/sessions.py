"""Log-ins that are open: a random token in the browser, its hash in the database."""

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update

from cutis.app.accounts.accounts import Account, account_of, now
from cutis.app.archive.database import Database
from cutis.app.archive.schema import AccountRow, SessionRow
from cutis.app.errors import AppError

IDLE = timedelta(minutes=30)
"""Without a request for so long a session ends."""

LONGEST = timedelta(hours=12)
"""After which a session ends in any case."""

_TOKEN_BYTES = 32  # 256 random bits cannot be guessed, so that a plain hash of them is enough
_NOTED = timedelta(minutes=1)  # uses that follow each other closer are not written down


class Sessions:
    """The open log-ins of an archive. Every method blocks.

    Args:
        database: where the hashes of their tokens are.
        clock: aware time.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = now) -> None:
        self._database = database
        self._clock = clock

    def open(self, account: Account, password_hash: str | None = None) -> str:
        """A new session's token; sessions that have ended are forgotten on the way.

        Args:
            password_hash: what the password was held against; None where none was asked for.

        Raises AppError `login_wrong` where the password has been changed since.
        """
        token, at = secrets.token_urlsafe(_TOKEN_BYTES), self._clock()
        ended = or_(SessionRow.expires <= at, SessionRow.last_used <= at - IDLE)
        own = select(AccountRow.password_hash).where(AccountRow.id == account.id)
        with self._database.session() as session:
            # whoever changes the password now waits, and then ends this session too
            current = session.scalar(own.with_for_update())
            if password_hash not in (None, current):
                raise AppError("login_wrong")
            session.execute(delete(SessionRow).where(ended))
            session.add(
                SessionRow(
                    token_hash=_hash(token),
                    account_id=account.id,
                    created=at,
                    last_used=at,
                    expires=at + LONGEST,
                )
            )
        return token

    def account(self, token: str) -> Account | None:
        """Whose token it is; None for one that was never given or has ended."""
        at, hashed = self._clock(), _hash(token)
        with self._database.reading() as session:
            found = session.execute(
                select(AccountRow, SessionRow.last_used)
                .join(SessionRow, SessionRow.account_id == AccountRow.id)
                .where(
                    SessionRow.token_hash == hashed,
                    SessionRow.expires > at,
                    SessionRow.last_used > at - IDLE,
                    AccountRow.active,
                )
            ).first()
            if found is None:
                return None
            account, last_used = account_of(found[0]), found[1]
        if at - last_used > _NOTED:
            self._note(hashed, at)
        return account

    def close(self, token: str) -> None:
        """Ends one session."""
        with self._database.session() as session:
            session.execute(delete(SessionRow).where(SessionRow.token_hash == _hash(token)))

    def _note(self, hashed: str, at: datetime) -> None:
        # A full disk must not keep people from reading, or from deleting what fills it.
        with contextlib.suppress(AppError), self._database.session() as session:
            same = SessionRow.token_hash == hashed
            session.execute(update(SessionRow).where(same).values(last_used=at))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
