"""An archive's folder: recognised by its marker, and bound to one database.

Photos without a row are deleted. A folder that were opened with another, empty database would lose
all of them, so the two carry the same random name.
"""

import json
import secrets
from pathlib import Path

from cutis.app.archive.database import FILE, Database
from cutis.app.archive.schema import SecretRow
from cutis.errors import InputError
from cutis.storage import clear_write_errors, write_file

PHOTOS = "photos"
"""The folder of the photos."""
MARKER = "archive.json"
BINDING = "archive"
"""The secret that is the folder's random name."""

FORMAT, VERSION = "cutis-archive", 1
_OWN = (MARKER, PHOTOS, FILE, *(f"{FILE}-{end}" for end in ("wal", "shm", "journal")))


def make_folder(folder: Path) -> None:
    """Makes an archive's folder; InputError for one that holds something else."""
    with clear_write_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise InputError("an archive is a folder", where=folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if MARKER not in names and not names.issubset(_OWN):
        raise InputError(
            "the folder holds something else",
            where=folder,
            expected="a new or empty folder, or an archive",
            fix="choose another one for --archive",
        )


def claim_folder(folder: Path, database: Database) -> None:
    """Binds folder and database to each other; InputError where each belongs to another."""
    kind = database.engine.dialect.name
    with database.alone() as session:
        row, written = session.get(SecretRow, BINDING), _read(folder / MARKER)
        if written is not None and written.get("database") != kind:
            raise InputError(
                f"the rows of this archive are in {_place(written.get('database'))}, and it was "
                f"opened with {_place(kind)}",
                where=folder,
                fix="set CUTIS_DATABASE_URL as it was when the archive was made",
            )
        if row is None and (written is None or _is_unused(folder)):
            name = secrets.token_hex(16)
            session.add(SecretRow(name=BINDING, value=name))
            session.flush()
            write_marker(folder, kind, name)
        elif row is None or written is None or row.value != written.get("id"):
            raise InputError(
                "this folder and this database belong to different archives",
                where=folder,
                fix="see CUTIS_DATABASE_URL and --archive; a lost half comes back from a backup",
            )


def write_marker(folder: Path, kind: str, name: str) -> None:
    """Marks a folder as an archive.

    Args:
        kind: of the database, "sqlite" or "postgresql".
        name: the random one that the row BINDING of its secrets holds too.
    """
    marker = {"format": FORMAT, "version": VERSION, "database": kind, "id": name}
    write_file(folder / MARKER, json.dumps(marker, indent=1) + "\n")


def _read(marker: Path) -> dict[str, object] | None:
    """What stands in a marker; None without one."""
    if not marker.exists():
        return None
    wrong = InputError("this is no archive of Cutis", where=marker)
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise wrong from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise wrong
    if found.get("version") != VERSION:
        raise InputError(
            "a newer Cutis has written this archive",
            where=marker,
            fix="update Cutis: pip install --upgrade cutis",
        )
    return found


def _is_unused(folder: Path) -> bool:
    """Whether the folder holds no photo: it was left by a start that did not come to its end."""
    return not any((folder / PHOTOS).glob("??/*"))


def _place(kind: object) -> str:
    return "PostgreSQL" if kind == "postgresql" else "the folder itself (SQLite)"
