"""A backup is of one moment, whole or not there, and comes back on either database."""

import errno
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive import backup, database, restore
from cutis.app.archive.archive import Archive
from cutis.app.archive.backup import MANIFEST, write_backup
from cutis.app.archive.migrations import versions
from cutis.app.archive.restore import restore_backup
from cutis.app.archive.schema import OpinionRow, SecretRow, SessionRow
from cutis.cli import run
from cutis.errors import InputError

from ..conftest import make_account
from .conftest import files, make_case, save, tables

ALL = ["accounts", "cases", "photos", "opinions", "sessions"]
Change = Callable[[dict[str, bytes]], object]


@pytest.fixture
def filled(archive: Archive, reporter: Account, clinician: Account) -> Archive:
    """Two cases that share a photo, an opinion that replaces another, a salt and a log-in."""
    first = save(archive, reporter, make_case(b"one", b"same"), patient="P-7", may_train=True)
    save(archive, reporter, make_case(b"same"), language="fa")
    now = datetime.now(UTC)
    common = {"case_id": first, "account_id": clinician.id, "created": now, "blind": False}
    common |= {"independent": True, "confirmed_by": "clinical"}
    with archive.database.session() as session:
        session.add(OpinionRow(diagnosis="melanoma", **common))
        session.flush()
        session.add(OpinionRow(diagnosis="dermatofibroma", replaces=1, comment="چرا", **common))
        session.add(SecretRow(name="salt", value="s"))
        session.add(
            SessionRow(
                token_hash="0" * 64,
                account_id=clinician.id,
                created=now,
                last_used=now,
                expires=now,
            )
        )
    return archive


def altered(file: Path, change: Change) -> Path:
    """The backup with changed entries; nobody has touched the manifest's hashes for it."""
    with zipfile.ZipFile(file) as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    change(entries)
    other = file.with_name("altered.zip")
    with zipfile.ZipFile(other, "w") as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return other


def with_manifest(entries: dict[str, bytes], **changes: object) -> None:
    entries[MANIFEST] = json.dumps({**json.loads(entries[MANIFEST]), **changes}).encode()


def with_entry(entries: dict[str, bytes], name: str, data: bytes) -> None:
    """Adds or changes an entry, as somebody does who knows the hashes."""
    entries[name] = data
    found = json.loads(entries[MANIFEST])["files"]
    with_manifest(entries, files={**found, name: hashlib.sha256(data).hexdigest()})


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_all_comes_back_on_either_database(
    filled: Archive, target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made = write_backup(filled, tmp_path / "b.zip")
    assert (made.cases, made.photos, made.damaged) == (2, 2, ())
    assert made.file.stat().st_mode & 0o077 == 0
    url = None
    if target == "postgresql":
        from ..postgresql import new_database

        name = f"restored_{filled.database.engine.dialect.name}"
        url = new_database(request.getfixturevalue("postgresql_server"), name)
    restore_backup(made.file, tmp_path / "new", url)
    again = Archive.open(tmp_path / "new", url)
    assert tables(again, ALL) == [2, 2, 3, 2, 0]
    assert files(again) == files(filled)
    for case in filled.listing().cases:
        assert again.case(case.id) == filled.case(case.id)
    with again.database.reading() as session:
        opinion = session.get(OpinionRow, 2)
        assert opinion is not None
        assert (opinion.comment, opinion.replaces, opinion.independent) == ("چرا", 1, True)
        salt, old = session.get(SecretRow, "salt"), session.get(SecretRow, "archive")
    with filled.database.reading() as session:
        binding = session.get(SecretRow, "archive")
    assert salt is not None
    assert old is not None
    assert binding is not None
    assert (salt.value, old.value != binding.value) == ("s", True)
    lines, _ = again.audit()
    assert (lines[0].action, lines[0].details) == ("restored", {"cases": 2})
    admin = make_account(again, "admin", Role.ADMIN)  # its number is a new one
    again.delete(again.listing().cases[0].id, admin)
    again.close()


def test_a_case_deleted_meanwhile_is_left_out_whole(
    filled: Archive, reporter: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = (case.id for case in reversed(filled.listing().cases))
    read = filled.files.read
    asked: list[str] = []

    def read_late(sha256: str) -> bytes:
        if not asked:
            asked.append(sha256)
            filled.delete(gone, reporter)
        return read(sha256)

    monkeypatch.setattr(filled.files, "read", read_late)
    made = write_backup(filled, tmp_path / "b.zip")
    assert (made.cases, made.photos, made.damaged) == (1, 1, ())
    restore_backup(made.file, tmp_path / "new")
    again = Archive.open(tmp_path / "new")
    assert tables(again, ALL) == [2, 1, 1, 0, 0]
    assert [case.id for case in again.listing().cases] == [kept]
    again.close()


def test_a_damaged_photo_does_not_stop_a_backup(filled: Archive, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"one").hexdigest()
    next(filled.files.folder.rglob(f"{sha256}.jpg")).write_bytes(b"other")
    made = write_backup(filled, tmp_path / "b.zip")
    assert (made.cases, made.photos, made.damaged) == (2, 1, (sha256,))
    restore_backup(made.file, tmp_path / "new")
    again = Archive.open(tmp_path / "new")
    damaged = [found.damaged for case in again.listing().cases if (found := again.case(case.id))]
    again.close()
    assert damaged == [(), (1,)]


def test_a_full_disk_leaves_the_last_backup(
    filled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_backup(filled, out / "b.zip")
    before = (out / "b.zip").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup, "_write_rows", full)
    with pytest.raises(Exception, match=r"disk is full|storage_full"):
        write_backup(filled, out / "b.zip")
    assert [path.name for path in out.iterdir()] == ["b.zip"]
    assert (out / "b.zip").read_bytes() == before


def test_a_backup_may_take_long(
    postgresql_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ..postgresql import new_database

    write = backup._write_photos

    def write_slowly(archive: Archive, session: Session, *args: Any) -> set[str]:
        session.execute(text("SELECT pg_sleep(1.5)"))
        return write(archive, session, *args)

    monkeypatch.setattr(database, "_STATEMENT_S", 1)
    monkeypatch.setattr(backup, "_write_photos", write_slowly)
    url = new_database(postgresql_server, "long")
    with closing(Archive.open(tmp_path / "archive", url)) as archive:
        save(archive, make_account(archive, "reporter", Role.REPORTER), make_case())
        assert write_backup(archive, tmp_path / "b.zip").cases == 1


def change_photo(entries: dict[str, bytes]) -> None:
    name = next(name for name in entries if name.startswith("photos/"))
    entries[name] = b"another photo"


def rename_photo(entries: dict[str, bytes]) -> None:
    with_entry(entries, f"photos/{'0' * 64}.jpg", b"not what its name says")


def add_traversal(entries: dict[str, bytes]) -> None:
    with_entry(entries, "photos/../../evil.jpg", b"evil")


def break_rows(entries: dict[str, bytes]) -> None:
    with_entry(entries, "rows/cases.jsonl", b'{"id": "x"}\n')


def unknown_columns(entries: dict[str, bytes]) -> None:
    with_entry(entries, "rows/secrets.jsonl", b'{"name": "a", "value": "b", "more": 1}\n')


def with_hash(sha256: object) -> Change:
    """Lets a case name another photo."""

    def change(entries: dict[str, bytes]) -> None:
        first, *others = entries["rows/photos.jsonl"].splitlines(keepends=True)
        row = json.dumps({**json.loads(first), "sha256": sha256}).encode() + b"\n"
        with_entry(entries, "rows/photos.jsonl", b"".join([row, *others]))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_hash("/home/somebody/holiday"), "damaged or was changed"),
        (with_hash("../../holiday"), "damaged or was changed"),
        (with_hash("0" * 64), "damaged or was changed"),  # no such photo
        (with_hash(7), "damaged or was changed"),
        (lambda entries: with_manifest(entries, damaged=["../../holiday"]), "damaged or was"),
        (lambda entries: with_manifest(entries, damaged=None), "damaged or was changed"),
        (change_photo, "damaged or was changed"),
        (rename_photo, "damaged or was changed"),
        (add_traversal, "damaged or was changed"),
        (break_rows, "damaged or was changed"),
        (unknown_columns, "damaged or was changed"),
        (lambda entries: entries.popitem(), "no backup of an archive"),
        (lambda entries: entries.pop("rows/cases.jsonl"), "damaged or was changed"),
        (lambda entries: entries.update({"more": b""}), "damaged or was changed"),
        (lambda entries: with_manifest(entries, files=None), "damaged or was changed"),
        (lambda entries: with_manifest(entries, format="x"), "no backup of an archive"),
        (lambda entries: with_manifest(entries, schema="9999"), "a newer Cutis"),
        (lambda entries: with_manifest(entries, version=2), "a newer Cutis"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_wrong_is_refused_and_leaves_nothing(
    filled: Archive, tmp_path: Path, change: Change, said: str
) -> None:
    file = altered(write_backup(filled, tmp_path / "b.zip").file, change)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=said):
        restore_backup(file, tmp_path / "new")
    assert sorted(tmp_path.iterdir()) == before
    assert not (tmp_path.parent / "evil.jpg").exists()


@pytest.mark.parametrize("limit", ["_LARGEST_MANIFEST", "_LARGEST_PHOTO"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_too_large_is_refused_unread(
    filled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """A small file can hold gigabytes of zeros."""
    file = write_backup(filled, tmp_path / "b.zip").file
    read: list[object] = []
    monkeypatch.setattr(restore, limit, 2)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda self, *name: read.append(name))
    with pytest.raises(InputError, match="damaged or was changed"):
        restore_backup(file, tmp_path / "new")
    assert read == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backup_larger_than_the_disk_is_refused(
    filled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_backup(filled, tmp_path / "b.zip").file
    room = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    with pytest.raises(InputError, match="the disk has no room for this backup"):
        restore_backup(file, tmp_path / "some" / "new")
    assert not (tmp_path / "some").exists()


@pytest.mark.parametrize("cut", [0, 100, -30])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_is_cut_off(filled: Archive, tmp_path: Path, cut: int) -> None:
    file = write_backup(filled, tmp_path / "b.zip").file
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(InputError, match="no backup of an archive"):
        restore_backup(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_only_into_what_is_empty(filled: Archive, database_url: str | None, tmp_path: Path) -> None:
    file = write_backup(filled, tmp_path / "b.zip").file
    with pytest.raises(InputError, match="new or empty folder"):
        restore_backup(file, filled.folder, database_url)
    (tmp_path / "empty").mkdir()
    if database_url is not None:
        with pytest.raises(InputError, match="empty database"):
            restore_backup(file, tmp_path / "empty", database_url)
        assert list((tmp_path / "empty").iterdir()) == []
    restore_backup(file, tmp_path / "empty")
    assert tables(filled, ALL) == [2, 2, 3, 2, 1]


@pytest.mark.parametrize("schema", versions())
def test_a_backup_of_every_earlier_schema(filled: Archive, schema: str, tmp_path: Path) -> None:
    """Tables that a schema did not have yet are not in its backups."""

    def older(entries: dict[str, bytes]) -> None:
        if schema == "0001":
            entries.pop("rows/secrets.jsonl")
        found = json.loads(entries[MANIFEST])
        hashes = {name: value for name, value in found["files"].items() if name in entries}
        with_manifest(entries, schema=schema, files=hashes)

    file = altered(write_backup(filled, tmp_path / "b.zip").file, older)
    restore_backup(file, tmp_path / "new")
    again = Archive.open(tmp_path / "new")
    assert tables(again, ALL) == [2, 2, 3, 2, 0]
    again.close()


def test_a_commit_that_fails_leaves_no_folder(
    filled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_backup(filled, tmp_path / "b.zip").file
    before = sorted(tmp_path.iterdir())

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(restore, "write_marker", fail)
    with pytest.raises(ZeroDivisionError):
        restore_backup(file, tmp_path / "new")
    assert sorted(tmp_path.iterdir()) == before


def test_the_verbs(
    filled: Archive,
    database_url: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if database_url is not None:
        monkeypatch.setenv("CUTIS_DATABASE_URL", database_url)
    file, new = tmp_path / "b.zip", tmp_path / "new"
    assert run(["app", "backup", str(filled.folder), str(file)]) == 0
    assert f"2 cases and 2 photos in {file}" in capsys.readouterr().out
    monkeypatch.delenv("CUTIS_DATABASE_URL", raising=False)
    assert run(["app", "restore", str(file), str(new)]) == 0
    assert f"cutis app --archive {new}" in capsys.readouterr().out
    assert run(["app", "restore", str(file), str(new)]) == 2
    assert "new or empty folder" in capsys.readouterr().err
    assert run(["app", "backup", str(tmp_path / "none"), str(file)]) == 2
    assert "there is no archive here" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    shutil.rmtree(new / "photos")
    assert run(["app", "backup", str(new), str(tmp_path / "c.zip")]) == 1
    assert capsys.readouterr().err.count("damaged or gone") == 2


def test_an_option_before_a_verb_below(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["app", "--port", "1", "backup", "a", "b"]) == 2
    assert "options of cutis app stand before backup" in capsys.readouterr().err
