"""Accounts in an archive, and a clock that tests turn."""

from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from cutis.app.accounts.accounts import Accounts
from cutis.app.accounts.passwords import Passwords
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive


class Clock:
    """The time of a test."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **time: float) -> None:
        self.now += timedelta(**time)


class CountedPasswords(Passwords):
    """Cheap hashes, and what was hashed: None stands for the decoy."""

    def __init__(self) -> None:
        super().__init__(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.checked: list[bool] = []

    def matches(self, hashed: str | None, password: str) -> bool:
        self.checked.append(hashed is not None)
        return super().matches(hashed, password)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passwords() -> CountedPasswords:
    return CountedPasswords()


@pytest.fixture
def accounts(archive: Archive, clock: Clock, passwords: CountedPasswords) -> Accounts:
    return Accounts(archive.database, passwords, clock=clock)


@pytest.fixture
def sessions(archive: Archive, clock: Clock) -> Sessions:
    return Sessions(archive.database, clock)
