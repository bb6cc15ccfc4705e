"""From a backup to an archive; nothing is written before all of the file has been checked."""

import hashlib
import json
import re
import secrets
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, MetaData, Table, insert, text
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from cutis.app.archive.backup import FORMAT, MANIFEST, PHOTO, ROWS, VERSION
from cutis.app.archive.database import Database
from cutis.app.archive.files import PhotoFiles, is_hash
from cutis.app.archive.folder import BINDING, PHOTOS, write_marker
from cutis.app.archive.migrations import upgrade, version, versions
from cutis.app.archive.schema import AuditRow, PhotoRow, SecretRow
from cutis.app.settings import MEGA
from cutis.errors import InputError
from cutis.storage import clear_write_errors

_ENTRY = re.compile(r"rows/[a-z_]+\.jsonl|photos/[0-9a-f]{64}\.jpg")
_LONGEST_LINE = 16_000_000  # bytes
_LARGEST_MANIFEST, _LARGEST_PHOTO = 64_000_000, 20_000_000  # bytes
_CHUNK = 1 << 20
_BATCH = 500  # rows inserted at a time
_PHOTOS = PHOTO.split("{", maxsplit=1)[0]
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
_UNUSABLE = (SQLAlchemyError, KeyError, TypeError, ValueError)  # rows that do not fit the tables
_WRONG = "this backup is damaged or was changed"
_FIX = "take another backup; this one cannot be trusted"


def restore_backup(file: Path, folder: Path, url: str | None = None) -> None:
    """Makes a new archive of what `write_backup` wrote, whole or not at all.

    The rows may come from another kind of database, and from an older schema.

    Args:
        folder: does not exist yet, or is empty.
        url: of an empty PostgreSQL database; None: SQLite in the folder.

    Raises InputError for a file that is no backup, damaged or from a newer Cutis, and for a folder
    or a database that holds something.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError("a backup is restored into a new or empty folder only", where=folder)
    wrong = InputError(_WRONG, where=file, fix=_FIX)
    try:
        packed = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise InputError("this is no backup of an archive", where=file) from error
    with packed:
        try:
            manifest = _check(packed, file, folder)
        except _UNREADABLE as error:
            raise wrong from error
        try:
            _restore(packed, manifest, folder, url)
        except _UNUSABLE as error:
            raise wrong from error


def _check(packed: zipfile.ZipFile, file: Path, folder: Path) -> dict[str, Any]:
    """The manifest, after every entry was held against it."""
    _check_sizes(packed, file, folder)
    manifest = _manifest(packed, file)
    hashes: dict[str, str] = manifest["files"]
    names = packed.namelist()
    wrong = InputError(_WRONG, where=file, fix=_FIX)
    if sorted(names) != sorted([MANIFEST, *hashes]) or not all(map(_ENTRY.fullmatch, hashes)):
        raise wrong
    for name, sha256 in tqdm(hashes.items(), desc="checking", unit="file", disable=None):
        with packed.open(name) as entry:
            digest = hashlib.sha256()
            while piece := entry.read(_CHUNK):
                digest.update(piece)
        if digest.hexdigest() != sha256 or name.startswith(_PHOTOS) != (
            name == PHOTO.format(sha256)
        ):
            raise wrong
    return manifest


def _check_sizes(packed: zipfile.ZipFile, file: Path, folder: Path) -> None:
    """Refuses what would fill memory or disk: a small file can hold gigabytes of zeros."""
    entries = packed.infolist()
    if any(
        (entry.filename == MANIFEST and entry.file_size > _LARGEST_MANIFEST)
        or (entry.filename.startswith(_PHOTOS) and entry.file_size > _LARGEST_PHOTO)
        for entry in entries
    ):
        raise InputError(_WRONG, where=file, fix=_FIX)
    needed = sum(entry.file_size for entry in entries)
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    if needed > shutil.disk_usage(place).free:
        raise InputError(
            "the disk has no room for this backup",
            where=folder,
            expected=f"{needed / MEGA:,.0f} MB free",
            fix="free some space or choose another folder",
        )


def _manifest(packed: zipfile.ZipFile, file: Path) -> dict[str, Any]:
    try:
        found = json.loads(packed.read(MANIFEST))
    except (KeyError, ValueError) as error:
        raise InputError("this is no backup of an archive", where=file) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError("this is no backup of an archive", where=file)
    if found.get("version") != VERSION or found.get("schema") not in versions():
        raise InputError(
            "a newer Cutis has written this backup",
            where=file,
            fix="update Cutis: pip install --upgrade cutis",
        )
    files, damaged = found.get("files"), found.get("damaged")
    if (
        not isinstance(files, dict)
        or not isinstance(damaged, list)
        or not all(map(is_hash, damaged))
    ):
        raise InputError(_WRONG, where=file, fix=_FIX)
    return found


def _restore(
    packed: zipfile.ZipFile, manifest: dict[str, Any], folder: Path, url: str | None
) -> None:
    with clear_write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # mode 0700
    place = staged
    try:
        with clear_write_errors(folder):
            _restore_photos(packed, PhotoFiles(staged / PHOTOS))
        binding = secrets.token_hex(16)

        def prepare(connection: Connection) -> None:
            nonlocal place
            if version(connection) is not None:
                raise InputError(
                    "a backup is restored into an empty database only", where="CUTIS_DATABASE_URL"
                )
            upgrade(connection, manifest["schema"])
            _restore_rows(packed, connection, _photos(manifest))
            upgrade(connection)
            connection.execute(insert(SecretRow).values(name=BINDING, value=binding))
            connection.execute(insert(AuditRow).values(**_audit(manifest)))
            write_marker(staged, connection.dialect.name, binding)
            if url is not None:  # before the rows are there for good: no rows without photos
                place = _move(staged, folder)

        Database.open(staged, url, prepare=prepare).close()
        if url is None:
            _move(staged, folder)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _move(staged: Path, folder: Path) -> Path:
    """Puts the finished folder where it is wanted."""
    if folder.exists():
        folder.rmdir()  # it is empty
    return staged.replace(folder)


def _audit(manifest: dict[str, Any]) -> dict[str, Any]:
    """The line that the audit log of the new archive begins with."""
    details = {"cases": manifest["rows"]["cases"]}
    return {"at": datetime.now(UTC), "action": "restored", "subject": "", "details": details}


def _restore_photos(packed: zipfile.ZipFile, files: PhotoFiles) -> None:
    names = [name for name in packed.namelist() if name.startswith(_PHOTOS)]
    for name in tqdm(names, desc="photos", unit="photo", disable=None):
        files.put(packed.read(name))


def _photos(manifest: dict[str, Any]) -> set[str]:
    """The SHA-256 of all that cases may name: what is in the backup, and what was lost before."""
    kept = {sha256 for name, sha256 in manifest["files"].items() if name.startswith(_PHOTOS)}
    return kept | set(manifest["damaged"])


def _restore_rows(packed: zipfile.ZipFile, connection: Connection, photos: set[str]) -> None:
    """Fills the tables as they were in the backup's schema, which need not be the newest."""
    known = MetaData()
    known.reflect(connection)
    present = set(packed.namelist())
    for table in known.sorted_tables:
        name = ROWS.format(table.name)
        if name not in present:
            continue
        batch: list[dict[str, Any]] = []
        for row in _rows(packed, name, table):
            if table.name == PhotoRow.__tablename__ and row["sha256"] not in photos:
                raise ValueError("a photo that is not in the backup")
            batch.append(row)
            if len(batch) == _BATCH:
                connection.execute(insert(table), batch)
                batch = []
        if batch:
            connection.execute(insert(table), batch)
        _go_on_counting(connection, table)


def _rows(packed: zipfile.ZipFile, name: str, table: Table) -> Iterator[dict[str, Any]]:
    """A table's rows; what binds them to the old folder is left behind."""
    times = [column.name for column in table.columns if isinstance(column.type, DateTime)]
    with packed.open(name) as lines:
        while line := lines.readline(_LONGEST_LINE):
            row = json.loads(line)
            if set(row) != set(table.columns.keys()):
                raise KeyError(table.name)
            for key in times:
                row[key] = datetime.fromisoformat(row[key]) if row[key] else None
            if (table.name, row.get("name")) != (SecretRow.__tablename__, BINDING):
                yield row


def _go_on_counting(connection: Connection, table: Table) -> None:
    """PostgreSQL counts new rows from where the restored ones end; SQLite does so by itself."""
    if connection.dialect.name != "postgresql" or "id" not in table.columns:
        return
    if not table.columns["id"].autoincrement or table.name == "cases":
        return
    connection.execute(
        text(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "
            f"(SELECT COALESCE(MAX(id), 0) + 1 FROM {table.name}), false)"
        )
    )
