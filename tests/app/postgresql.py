"""A PostgreSQL server for tests, from the system's package, in a temporary folder."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

_USER = "cutis"
_START_S = 30
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")


@contextlib.contextmanager
def server() -> Iterator[Path]:
    """Runs a server until the block ends; gives the folder of its socket, its only entrance."""
    programs = _programs()
    # not below pytest's folders: a socket's path must be short, and another user reads it
    folder = Path(tempfile.mkdtemp(prefix="cutis-pg-"))
    who = _other_user()
    if who:
        shutil.chown(folder, who["user"], who["group"])
    quiet: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **who}
    made = [programs / "initdb", "-D", folder / "data", "-U", _USER, "--auth=trust", "--no-sync"]
    subprocess.run([*made, "-E", "UTF8", "--locale=C"], check=True, cwd=folder, **quiet)
    options = [f"-c{option}" for option in (*_FAST, f"unix_socket_directories={folder}")]
    command = [programs / "postgres", "-D", folder / "data", "-clisten_addresses=", *options]
    quiet["stdout"] = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=folder, **quiet) as process:
        try:
            _wait(folder)
            yield folder
        finally:
            process.terminate()
            process.wait(timeout=_START_S)
            shutil.rmtree(folder, ignore_errors=True)


def new_database(folder: Path, name: str) -> str:
    """Makes an empty database; its URL."""
    with connect(folder) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return f"postgresql+psycopg://{_USER}@/{name}?host={folder}"


def connect(folder: Path) -> psycopg.Connection[Any]:
    """A connection to the server's own database, for what ends others."""
    return psycopg.connect(host=str(folder), user=_USER, dbname="postgres", autocommit=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not on this machine (Debian: apt install postgresql)")
    return found[-1].parent


def _other_user() -> dict[str, Any]:
    """Somebody else for a test that runs as root, which the server refuses."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("there is no user to run PostgreSQL as")


def _wait(folder: Path) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            connect(folder).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
