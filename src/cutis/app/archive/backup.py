"""An archive in one file: rows as lines of JSON, photos as they are, and a manifest of hashes.

The file is a zip. Rows are written table by table, so that it does not matter whether SQLite or
PostgreSQL held them. Sessions and failed log-ins stay behind: nobody is logged in after a restore.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Table, select
from sqlalchemy.orm import Session
from tqdm import tqdm

from cutis import __version__
from cutis.app.archive.archive import Archive
from cutis.app.archive.database import allow_long
from cutis.app.archive.migrations import version
from cutis.app.archive.schema import Base, PhotoRow
from cutis.app.errors import AppError
from cutis.storage import commit_files

FORMAT, VERSION = "cutis-archive-backup", 1
MANIFEST = "manifest.json"
ROWS, PHOTO = "rows/{}.jsonl", "photos/{}.jpg"
"""Names of entries, by table and by SHA-256."""

_NOT_KEPT = ("sessions", "attempts")
_ROWS = 500  # fetched at a time
_OF_CASES = {"cases": "id", "photos": "case_id", "opinions": "case_id"}


@dataclass(frozen=True)
class Backup:
    """What was written."""

    file: Path
    cases: int
    photos: int  # files
    damaged: tuple[str, ...]  # SHA-256 of photos that cases name and that are gone or changed


def write_backup(archive: Archive, file: Path) -> Backup:
    """Writes a backup, whole or not at all, of one moment; others may go on working.

    A case that is deleted while this runs may be missing in it. InputError for a full disk.
    """
    made: list[Backup] = []
    commit_files(file.parent, {file.name: lambda target: made.append(_write(archive, target))})
    archive.record("backup", "", None, cases=made[0].cases, photos=made[0].photos)
    return Backup(file, made[0].cases, made[0].photos, made[0].damaged)


def kept_tables() -> list[Table]:
    """The tables that a backup holds, each after those that it refers to."""
    return [table for table in Base.metadata.sorted_tables if table.name not in _NOT_KEPT]


def _write(archive: Archive, target: Path) -> Backup:
    target.touch(mode=0o600)
    hashes: dict[str, str] = {}
    with (
        zipfile.ZipFile(target, "w", strict_timestamps=False) as packed,
        archive.database.reading() as session,
    ):
        allow_long(session.connection())
        # Photos first: of what is deleted in the meantime, the rows are then left out as well.
        lost = _write_photos(archive, session, packed, hashes)
        deleted, damaged = _sort_out(archive, session, lost)
        photos, counts = len(hashes), {}
        for table in kept_tables():
            name = ROWS.format(table.name)
            hashes[name], counts[table.name] = _write_rows(packed, name, session, table, deleted)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "schema": version(session.connection()),
            "cutis_version": __version__,
            "written": datetime.now(UTC).isoformat(),
            "rows": counts,
            "damaged": damaged,
            "files": hashes,
        }
        packed.writestr(MANIFEST, json.dumps(manifest, indent=1) + "\n", zipfile.ZIP_DEFLATED)
    return Backup(target, counts["cases"], photos, tuple(damaged))


def _write_photos(
    archive: Archive, session: Session, packed: zipfile.ZipFile, hashes: dict[str, str]
) -> set[str]:
    """Writes all photos of cases; the SHA-256 of those that are gone or changed."""
    lost = set()
    wanted = session.scalars(select(PhotoRow.sha256).distinct().order_by(PhotoRow.sha256)).all()
    for sha256 in tqdm(wanted, desc="photos", unit="photo", disable=None):
        try:
            data = archive.files.read(sha256)
        except AppError:
            lost.add(sha256)
            continue
        name = PHOTO.format(sha256)
        packed.writestr(name, data)
        hashes[name] = sha256
    return lost


def _sort_out(archive: Archive, session: Session, lost: set[str]) -> tuple[set[str], list[str]]:
    """Why photos are not there: ids of cases deleted in the meantime, and what is damaged."""
    if not lost:
        return set(), []
    named = select(PhotoRow.case_id, PhotoRow.sha256)
    then = {case_id for case_id, sha256 in session.execute(named) if sha256 in lost}
    with archive.database.reading() as later:
        now = [(case_id, sha256) for case_id, sha256 in later.execute(named) if sha256 in lost]
    return then - {case_id for case_id, _ in now}, sorted({sha256 for _, sha256 in now})


def _write_rows(
    packed: zipfile.ZipFile, name: str, session: Session, table: Table, deleted: set[str]
) -> tuple[str, int]:
    """Writes a table, but for the deleted cases; the SHA-256 of all lines, and their number."""
    digest, count = hashlib.sha256(), 0
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    found = session.execute(select(table).order_by(*table.primary_key))
    with packed.open(entry, "w", force_zip64=True) as lines:
        for row in found.mappings().yield_per(_ROWS):
            if row.get(_OF_CASES.get(table.name, "")) in deleted:
                continue
            line = json.dumps(dict(row), default=_text, ensure_ascii=False).encode() + b"\n"
            lines.write(line)
            digest.update(line)
            count += 1
    return digest.hexdigest(), count


def _text(value: object) -> str:
    """A time as JSON holds it."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a row holds a {type(value).__name__}")
