"""Log-ins that failed, counted so that nobody can guess for long."""

import hashlib
import ipaddress
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cutis.app.archive.database import Database
from cutis.app.archive.schema import AttemptRow
from cutis.app.errors import Amount, AppError

WINDOW = timedelta(minutes=15)
"""A failed log-in counts so long."""

OF_NAME, OF_ADDRESS = 5, 20
"""Failed log-ins within the window after which no further one is tried."""

MOST_ROWS = 20_000
"""All attempts that are remembered; while so many fail, only known browsers may log in."""

_IPV6_NETWORK = 64  # bits; whoever has one address of it has them all


class Attempts:
    """The failed log-ins of the last minutes, bounded in number.

    Args:
        database: where they are counted.
        clock: aware time.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def take(self, name: str, address: str, device: str = "") -> list[int]:
        """Counts an attempt before it is made, so that many at once do not pass together.

        A stranger's counts against the name and the address, that of a known browser against this
        browser alone: so whoever guesses locks other strangers out of an account, but not its
        owner (OWASP, Slow Down Online Guessing Attacks with Device Cookies).

        Args:
            device: the cookie of a browser in which the account was open before; empty for others.

        Returns the rows that count it, for `give_back` if it succeeds. Raises AppError
        `too_many_logins` with the time after which the next may be made; what is refused does not
        count.
        """
        at = self._clock()
        limits = _limits(name, address, device)
        with self._database.session() as session:
            session.execute(delete(AttemptRow).where(AttemptRow.at <= at - WINDOW))
            rows = [AttemptRow(key=limit.key, at=at) for limit in limits]
            session.add_all(rows)
            session.flush()
            taken = [row.id for row in rows]
            is_full = not device and _count(session) > MOST_ROWS
        # Whoever is the k-th to write sees k rows now, whatever else runs at the same time.
        wait = max(self._wait(limit, taken, at) for limit in limits)
        if is_full or wait > timedelta(0):
            self.give_back(taken)
            raise _too_many(WINDOW if is_full else wait)
        return taken

    def give_back(self, taken: Sequence[int]) -> None:
        """An attempt has succeeded and does not count. Those before it still do."""
        with self._database.session() as session:
            session.execute(delete(AttemptRow).where(AttemptRow.id.in_(taken)))

    def _wait(self, limit: "_Limit", taken: Sequence[int], at: datetime) -> timedelta:
        """How long until one more attempt is within a limit; zero where it is now."""
        others = (AttemptRow.key == limit.key, AttemptRow.id.not_in(taken))
        newest = select(AttemptRow.at).where(*others).order_by(AttemptRow.at.desc())
        with self._database.reading() as session:
            last = list(session.scalars(newest.limit(limit.most)))
        return timedelta(0) if len(last) < limit.most else last[-1] + WINDOW - at


class _Limit(NamedTuple):
    """At most `most` failed attempts under a key within the window."""

    key: str
    most: int


def _limits(name: str, address: str, device: str) -> tuple[_Limit, ...]:
    if device:
        return (_Limit(_key("device", device), OF_NAME),)
    network = _Limit(_key("address", _network(address)), OF_ADDRESS)
    return (_Limit(_key("name", name), OF_NAME), network)


def _count(session: Session) -> int:
    return session.scalar(select(func.count(AttemptRow.id))) or 0


def _too_many(wait: timedelta) -> AppError:
    seconds = math.ceil(wait.total_seconds())
    minutes = Amount(math.ceil(seconds / 60), "unit.minutes")
    return AppError("too_many_logins", retry_after=seconds, minutes=minutes)


def _network(address: str) -> str:
    """The address that is counted: all of a person's addresses under IPv6 are one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a server without one, as behind a socket of the file system
        return address
    if found.version == 6 and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, _IPV6_NETWORK), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)


def _key(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind} {value}".encode("utf-8", "replace")).hexdigest()
