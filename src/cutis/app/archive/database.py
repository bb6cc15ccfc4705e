"""The database of an archive: opened, brought to the newest schema, and its failures told."""

import contextlib
import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    TimeoutError,
)
from sqlalchemy.orm import Session

from cutis.app.archive.migrations import is_newer, upgrade
from cutis.app.errors import AppError
from cutis.errors import InputError, MissingDependencyError

FILE = "cutis.sqlite3"
"""The database in the archive's folder, where no server holds it."""

_BUSY_S = 5  # how long one transaction waits for another
_STATEMENT_S = 30  # how long one statement may take
_JOURNAL_MS = 500  # how long emptying the journal waits for readers
_POLL_S = 0.05  # between two tries for a lock that is not waited for
_RETRY_S = 5  # after which a refused person should try again
_LOCK = 0x637574697330  # "cutis0": of PostgreSQL's advisory locks, the one of archives
_READING = "cutis_reading"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OWN_FAULT = (DataError, IntegrityError, ProgrammingError)  # a statement's, not the storage's
_SQLITE = {
    sqlite3.SQLITE_BUSY: "storage_busy",
    sqlite3.SQLITE_LOCKED: "storage_busy",
    sqlite3.SQLITE_FULL: "storage_full",
}
_POSTGRESQL = {  # appendix A of its manual
    "55P03": "storage_busy",  # lock not available
    "40P01": "storage_busy",  # deadlock
    "40001": "storage_busy",  # serialization failure
    "57014": "storage_busy",  # a statement that took too long
    "53300": "storage_busy",  # too many connections
    "53100": "storage_full",  # disk full
}


class Database:
    """Transactions on an archive's tables; safe among threads and processes.

    Attributes:
        engine: the connections.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        options: dict[str, Any] = {_READING: True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = engine.execution_options(**options)

    @classmethod
    def open(
        cls,
        folder: Path,
        url: str | None = None,
        *,
        prepare: Callable[[Connection], None] = upgrade,
    ) -> "Database":
        """Opens the database, creates it if needed and brings it to the newest schema.

        Args:
            folder: the archive's; SQLite's file lies in it.
            url: of a PostgreSQL server, `postgresql+psycopg://…`; else SQLite.
            prepare: brings it to the newest schema, in one transaction that no other disturbs.

        Raises:
            InputError: for an URL that is none, a server that does not answer, a file that is no
                database or may not be written, and a database that a newer Cutis has written.
            MissingDependencyError: without psycopg.
        """
        place = make_place(folder, url)
        where = place.render_as_string(hide_password=True) if url else str(folder / FILE)
        database = cls(_engine(place))
        try:
            with clear_errors():
                if url is None:
                    (folder / FILE).touch(mode=0o600)
                    _use_wal(database.engine)
                with database.engine.begin() as connection:
                    _lock_others_out(connection)
                    allow_long(connection)
                    if is_newer(connection):
                        raise InputError(
                            "a newer Cutis has written this archive",
                            where=where,
                            fix="update Cutis: pip install --upgrade cutis",
                        )
                    prepare(connection)
        except AppError as error:
            database.close()
            raise _cannot_open(error, where) from error
        except BaseException:
            database.close()
            raise
        return database

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction, committed at the end; on an error nothing of it stays.

        On SQLite it is the only writer from its beginning. Raises AppError `storage_busy` for a
        lock that lasts, `storage_full` for a full disk, `storage` for a database that fails
        otherwise or does not answer.
        """
        made = Session(self.engine, expire_on_commit=False)
        with clear_errors(), made as session, session.begin():
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """One transaction that only reads, all from one moment; it waits for no writer."""
        made = Session(self._reading, expire_on_commit=False)
        with clear_errors(), made as session, session.begin():
            yield session

    @contextlib.contextmanager
    def alone(self) -> Iterator[Session]:
        """As `session`, while no other such transaction runs in any process.

        For what joins rows and files: a photo that is found there stays until the row is.
        """
        with self.session() as session:
            _lock_others_out(session.connection())
            yield session

    def empty_journal(self) -> None:
        """Moves what SQLite's journal holds to the file, where deleted rows are overwritten.

        Nothing happens while somebody reads an earlier moment, as a backup does.
        """
        if self.engine.dialect.name != "sqlite":
            return
        with clear_errors():
            raw = self.engine.raw_connection()
            try:
                raw.cursor().execute(f"PRAGMA busy_timeout={_JOURNAL_MS}")  # writers wait as long
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                raw.invalidate()  # others wait longer

    def close(self) -> None:
        """Gives all connections back."""
        self.engine.dispose()


def make_place(folder: Path, url: str | None) -> URL:
    """The address of the database; InputError for an URL that Cutis cannot use."""
    if url is None:
        return URL.create("sqlite+pysqlite", database=str(folder / FILE))
    wrong = InputError(
        "this is no address of a PostgreSQL database",
        where="CUTIS_DATABASE_URL",
        expected="postgresql+psycopg://NAME:PASSWORD@HOST/DATABASE",
    )
    try:
        place = make_url(url)
    except ArgumentError as error:
        raise wrong from error
    if place.drivername == "postgresql":
        place = place.set(drivername="postgresql+psycopg")
    if place.drivername != "postgresql+psycopg":
        raise wrong
    return place


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Turns what a database or a disk fails with into AppError."""
    try:
        yield
    except TimeoutError as error:  # all connections are taken
        raise AppError("storage_busy", retry_after=_RETRY_S) from error
    except _OWN_FAULT:
        raise
    except DBAPIError as error:
        raise _app_error(_code(error.orig)) from error
    except sqlite3.Error as error:  # of a connection that SQLAlchemy has not made yet
        raise _app_error(_code(error)) from error
    except OSError as error:
        raise _app_error("storage_full" if error.errno in _FULL else "storage") from error


def _app_error(code: str) -> AppError:
    return AppError(code, retry_after=_RETRY_S) if code == "storage_busy" else AppError(code)


def _code(raised: BaseException | None) -> str:
    """The code of AppError for what a database's driver raised."""
    if isinstance(raised, sqlite3.Error):
        primary = getattr(raised, "sqlite_errorcode", 0) & 0xFF  # without the extended part
        return _SQLITE.get(primary, "storage")
    return _POSTGRESQL.get(getattr(raised, "sqlstate", None) or "", "storage")


def _cannot_open(error: AppError, where: str) -> InputError:
    """What the command line says of a database that does not open."""
    cause = error.__cause__
    said = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
    return InputError(
        f"the archive's database does not open ({said})",
        where=where,
        fix="see whether its folder may be written to, its disk has room, its server runs",
    )


def _engine(place: URL) -> Engine:
    """Connections that behave alike; MissingDependencyError without psycopg."""
    if place.get_backend_name() == "sqlite":
        engine = create_engine(place, pool_timeout=_BUSY_S)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            place,
            pool_timeout=_BUSY_S,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": _BUSY_S,
                # a server that is gone without a word; libpq waits for hours
                "tcp_user_timeout": 1000 * _BUSY_S,
                "keepalives_idle": _BUSY_S,
                "keepalives_interval": _BUSY_S,
                "keepalives_count": 2,
                "options": f"-c lock_timeout={_BUSY_S}s -c statement_timeout={_STATEMENT_S}s "
                "-c timezone=UTC",
            },
        )
    except ModuleNotFoundError as error:
        raise MissingDependencyError("psycopg", "postgresql") from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so
    connection.execute(f"PRAGMA busy_timeout={1000 * _BUSY_S}")
    for pragma in ("foreign_keys=ON", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """A writer locks at once: one that has read before cannot wait for another any more."""
    reads = connection.get_execution_options().get(_READING)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _use_wal(engine: Engine) -> None:
    """Readers go on while one writes; the file keeps this. Two that start at once take turns."""
    raw = engine.raw_connection()
    end = time.monotonic() + _BUSY_S
    try:
        while True:
            try:
                raw.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                # SQLite does not wait by itself for this lock
                if _code(error) != "storage_busy" or time.monotonic() > end:
                    raise
                time.sleep(_POLL_S)
    finally:
        raw.close()


def allow_long(connection: Connection) -> None:
    """Lets each statement of this transaction take as long as it needs."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))


def _lock_others_out(connection: Connection) -> None:
    """Until the transaction's end; on SQLite every writer is alone already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
