"""A process that is killed while it saves: what it has reported is whole, and nothing is half."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from cutis.app.accounts.accounts import Account
from cutis.app.archive.archive import Archive

from .conftest import files, tables

# Saves and deletes cases of three photos, and prints the id of each when it is done.
_SAVE = """
import os, sys
from pathlib import Path
from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive.archive import Archive
from cutis.app.cases import Case, CaseFacts, Judgement, Photo

archive = Archive.open(Path(sys.argv[1]), sys.argv[2] or None)
reporter = Account(int(sys.argv[3]), "reporter", Role.REPORTER)
words = {"patient": None, "may_train": True, "bundle": "b", "language": "en"}
shared = os.urandom(20_000)
for number in range(100_000):
    photos = tuple(Photo(data, 9, 9) for data in (os.urandom(50_000), shared, os.urandom(9)))
    case = Case(photos, CaseFacts(), Judgement(photos=(), probabilities={}))
    archive.save(case, reporter, **words)
    print("saved", case.id, flush=True)
    if number % 4 == 3:
        print("deleting", case.id, flush=True)
        archive.delete(case.id, reporter)
"""
_ROUNDS = 3


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_kill_loses_no_accepted_case_and_leaves_no_half_one(
    archive: Archive, reporter: Account, database_url: str | None
) -> None:
    command = [sys.executable, "-c", _SAVE, str(archive.folder), database_url or ""]
    saved: set[str] = set()
    deleting: set[str] = set()
    for seed in range(_ROUNDS):
        with subprocess.Popen(
            [*command, str(reporter.id)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]  # it has begun
            time.sleep(random.Random(seed).uniform(0.05, 0.4))
            os.kill(process.pid, signal.SIGKILL)
            lines += process.stdout.readlines()
        whole = [line.split() for line in lines if line.endswith("\n")]
        saved |= {case_id for word, case_id in whole if word == "saved"}
        deleting |= {case_id for word, case_id in whole if word == "deleting"}
        _check(archive, saved - deleting)
    assert len(saved) > _ROUNDS
    archive.sweep()
    cases = _check(archive, saved - deleting)
    used = {name for case in cases for name in case}
    assert {name.removesuffix(".jpg") for name in files(archive)} == used


def _check(archive: Archive, expected: set[str]) -> list[list[str]]:
    """Every expected case is whole, and so is whatever else is there; their photos' hashes."""
    from sqlalchemy import select

    from cutis.app.archive.schema import CaseRow, PhotoRow

    with archive.database.reading() as session:
        ids = set(session.scalars(select(CaseRow.id)))
        rows = session.execute(select(PhotoRow.case_id, PhotoRow.sha256)).all()
    assert expected <= ids
    assert {row.case_id for row in rows} == ids
    for case_id in ids:
        found = archive.case(case_id)
        assert found is not None
        assert (len(found.case.photos), found.damaged) == (3, ())
    assert tables(archive, ["cases"]) == [len(ids)]
    return [[row.sha256 for row in rows if row.case_id == case_id] for case_id in ids]
