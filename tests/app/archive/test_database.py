"""Opening the database, its transactions, and what it says when it fails."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, StatementError

from cutis.app.archive import database as module
from cutis.app.archive.archive import Archive
from cutis.app.archive.database import FILE, Database, allow_long, make_place
from cutis.app.archive.schema import AttemptRow, SecretRow
from cutis.app.errors import AppError
from cutis.errors import InputError, MissingDependencyError

from ..postgresql import connect


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_S", 1)


def secret(name: str, value: str = "") -> SecretRow:
    return SecretRow(name=name, value=value)


def test_a_transaction_is_whole_or_nothing(archive: Archive) -> None:
    def fail() -> None:
        with archive.database.session() as session:
            session.add(secret("first"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with archive.database.reading() as session:
        assert session.get(SecretRow, "first") is None


def test_an_error_of_the_app_passes_as_it_is(archive: Archive) -> None:
    with pytest.raises(AppError, match="saved_not_found"), archive.database.session():
        raise AppError("saved_not_found")
    with pytest.raises(IntegrityError), archive.database.session() as session:
        session.add(secret("archive"))  # it is there


def test_times_keep_their_zone(archive: Archive) -> None:
    at = datetime.fromisoformat("2026-03-21T08:30:00+03:30")
    with archive.database.session() as session:
        session.add(AttemptRow(key="k", at=at))
    with archive.database.reading() as session:
        found = session.query(AttemptRow).one().at
    assert (found, found.tzinfo) == (at, UTC)
    with (
        pytest.raises(StatementError, match="needs its zone"),
        archive.database.session() as session,
    ):
        session.add(AttemptRow(key="k", at=at.replace(tzinfo=None)))


def test_a_lock_that_lasts_is_busy_and_reading_goes_on(
    archive: Archive, database_url: str | None
) -> None:
    impatient = Database.open(archive.folder, database_url)
    with archive.database.alone() as first:
        first.add(secret("late"))
        first.flush()
        start = time.monotonic()
        with pytest.raises(AppError) as refused, impatient.alone():
            pass
        assert 0.5 < time.monotonic() - start < 5
        with impatient.reading() as reading:
            assert reading.get(SecretRow, "late") is None
    assert (refused.value.code, refused.value.status_code) == ("storage_busy", 503)
    assert refused.value.headers == {"Retry-After": "5"}
    with impatient.session() as session:
        assert session.get(SecretRow, "late") is not None
    impatient.close()


def test_a_full_disk(archive: Archive, database_url: str | None) -> None:
    def fill() -> None:
        with archive.database.session() as session:
            session.add(secret("large", "x" * 100_000))
            if database_url is None:
                pages = session.connection().execute(text("PRAGMA page_count")).scalar()
                session.connection().execute(text(f"PRAGMA max_page_count = {pages}"))
            else:
                full = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$"
                session.execute(text(full))

    with pytest.raises(AppError) as refused:
        fill()
    assert (refused.value.code, refused.value.status_code) == ("storage_full", 507)
    with archive.database.reading() as session:
        assert session.get(SecretRow, "large") is None


def test_a_lost_server_is_told_and_found_again(postgresql_server: Path, tmp_path: Path) -> None:
    from ..postgresql import new_database

    database = Database.open(tmp_path, new_database(postgresql_server, "lost"))
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'lost'"

    def lose() -> None:
        with database.session() as session:
            session.add(secret("first"))
            session.flush()
            with connect(postgresql_server) as other:
                other.execute(end)
            session.execute(text("SELECT 1"))

    with pytest.raises(AppError, match=r"^503: storage$"):
        lose()
    with database.session() as session:
        assert session.get(SecretRow, "first") is None
    with connect(postgresql_server) as other:
        other.execute(end)
    with database.reading() as session:  # a connection that broke while nobody used it
        assert session.get(SecretRow, "first") is None
    database.close()


def test_a_statement_that_does_not_end(
    postgresql_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ..postgresql import new_database

    monkeypatch.setattr(module, "_STATEMENT_S", 1)
    database = Database.open(tmp_path, new_database(postgresql_server, "slow"))

    def sleep(seconds: float, *, long: bool = False) -> None:
        with database.reading() as session:
            if long:
                allow_long(session.connection())
            session.execute(text(f"SELECT pg_sleep({seconds})"))

    with closing(database):
        with pytest.raises(AppError, match="storage_busy"):
            sleep(20)
        sleep(1.5, long=True)
        with pytest.raises(AppError, match="storage_busy"):  # for one transaction only
            sleep(20)
        raw = database.engine.raw_connection()
        assert raw.driver_connection is not None
        found = raw.driver_connection.info.get_parameters()
        raw.close()
    wanted = {"connect_timeout": "1", "keepalives_idle": "1", "tcp_user_timeout": "1000"}
    assert {name: found.get(name) for name in wanted} == wanted


def test_a_migration_may_take_long(
    postgresql_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ..postgresql import new_database

    def prepare(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(1.5)"))

    monkeypatch.setattr(module, "_STATEMENT_S", 1)
    url = new_database(postgresql_server, "large")
    Database.open(tmp_path, url, prepare=prepare).close()


def test_an_archive_of_a_newer_cutis_is_left_alone(
    archive: Archive, database_url: str | None
) -> None:
    with archive.database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match="a newer Cutis has written this archive"):
        Archive.open(archive.folder, database_url)
    with archive.database.session() as session:
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://a@b/c", "sqlite:///x.db", "postgresql+asyncpg://a@b/c"]
)
def test_an_url_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no address of a PostgreSQL database"):
        make_place(tmp_path, url)


def test_plain_postgresql_means_our_driver(tmp_path: Path) -> None:
    place = make_place(tmp_path, "postgresql://a:b@c/d")
    assert place.drivername == "postgresql+psycopg"


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not open") as refused:
        Database.open(tmp_path, "postgresql+psycopg://me:my-password@127.0.0.1:1/none")
    assert "my-password" not in str(refused.value)
    assert "its server runs" in str(refused.value)


def test_without_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependencyError, match=r"cutis\[postgresql\]"):
        Database.open(tmp_path, "postgresql+psycopg://me@127.0.0.1:1/none")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("dear diary " * 100)
    with pytest.raises(InputError, match=r"does not open \(file is not a database\)"):
        Database.open(tmp_path)
    assert (tmp_path / FILE).read_text().startswith("dear diary")


def test_sqlite_is_set_up_to_lose_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    wanted = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "secure_delete": 1}
    with database.reading() as session:
        found = {name: session.execute(text(f"PRAGMA {name}")).scalar() for name in wanted}
    database.close()
    assert found == wanted
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


_OPEN = """
import os, sys
from pathlib import Path
from cutis.app.archive.archive import Archive
children = []
for _ in range(4):
    if not (child := os.fork()):
        Archive.open(Path(sys.argv[1]), sys.argv[2] or None).close()
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_many_that_start_at_once_migrate_once(tmp_path: Path, database_url: str | None) -> None:
    command = [sys.executable, "-Wignore", "-c", _OPEN, str(tmp_path / "new"), database_url or ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "[0, 0, 0, 0]\n")
    Archive.open(tmp_path / "new", database_url).close()


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(module, "_use_wal", refuse)
    with pytest.raises(InputError, match="does not open"):
        Database.open(tmp_path)
