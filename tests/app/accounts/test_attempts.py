"""How failed log-ins are counted."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from cutis.app.accounts import attempts as module
from cutis.app.accounts.attempts import OF_ADDRESS, OF_NAME, Attempts
from cutis.app.archive.archive import Archive
from cutis.app.archive.schema import AttemptRow
from cutis.app.errors import AppError

from .conftest import Clock


@pytest.fixture
def attempts(archive: Archive, clock: Clock) -> Attempts:
    return Attempts(archive.database, clock)


def rows(archive: Archive) -> int:
    with archive.database.reading() as session:
        return session.scalar(select(func.count(AttemptRow.id))) or 0


def is_taken(attempts: Attempts, *place: str) -> bool:
    """Whether an attempt may be made."""
    try:
        attempts.take(*place)
    except AppError:
        return False
    return True


def test_an_address_may_fail_twenty_times(attempts: Attempts) -> None:
    taken = [is_taken(attempts, f"name{n}", "192.0.2.1") for n in range(OF_ADDRESS + 3)]
    assert taken == [True] * OF_ADDRESS + [False] * 3
    assert is_taken(attempts, "name1", "192.0.2.2")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),  # one person's network
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
    ],
)
def test_what_counts_as_one_address(
    attempts: Attempts, first: str, second: str, same: bool
) -> None:
    for n in range(OF_ADDRESS):
        attempts.take(f"name{n}", first)
    assert is_taken(attempts, "another", second) != same


def test_the_window_slides(attempts: Attempts, clock: Clock) -> None:
    for _ in range(OF_NAME):
        attempts.take("ada", "192.0.2.1")
        clock.forward(minutes=3)
    # the first is 15 minutes ago, the second 12
    assert is_taken(attempts, "ada", "192.0.2.1")
    assert not is_taken(attempts, "ada", "192.0.2.1")
    clock.forward(minutes=3)
    assert is_taken(attempts, "ada", "192.0.2.1")


def test_what_is_refused_does_not_count(attempts: Attempts, archive: Archive) -> None:
    for _ in range(OF_NAME):
        attempts.take("ada", "192.0.2.1")
    before = rows(archive)
    for _ in range(10):
        assert not is_taken(attempts, "ada", "192.0.2.1")
    assert rows(archive) == before


def test_what_succeeds_does_not_count(attempts: Attempts, archive: Archive) -> None:
    for _ in range(OF_ADDRESS + 1):
        attempts.give_back(attempts.take("ada", "192.0.2.1"))
    assert rows(archive) == 0


@pytest.mark.parametrize("round_", range(3))
def test_many_at_once_do_not_pass_together(attempts: Attempts, round_: int) -> None:
    with ThreadPoolExecutor(12) as pool:
        taken = list(pool.map(lambda n: is_taken(attempts, "ada", f"192.0.2.{n}"), range(24)))
    assert 1 <= sum(taken) <= OF_NAME


def test_the_table_does_not_grow(
    attempts: Attempts, archive: Archive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    taken = [is_taken(attempts, f"name{n}", f"192.0.2.{n}") for n in range(8)]
    assert taken == [True] * 5 + [False] * 3
    assert rows(archive) == 10
    assert is_taken(attempts, "ada", "192.0.2.9", "device")  # a known browser still may
    clock.forward(minutes=15)
    assert is_taken(attempts, "ada", "192.0.2.9")
    assert rows(archive) == 2


def test_neither_names_nor_addresses_are_kept(attempts: Attempts, archive: Archive) -> None:
    attempts.take("ada", "192.0.2.1", "")
    attempts.take("ada", "192.0.2.1", "device")
    with archive.database.reading() as session:
        keys = set(session.scalars(select(AttemptRow.key)))
    assert len(keys) == 3
    assert all(len(key) == 64 and int(key, 16) for key in keys)
