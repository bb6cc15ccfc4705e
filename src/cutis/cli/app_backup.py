"""`cutis app backup` and `restore`: an archive in one file, and back."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from cutis.errors import InputError

if TYPE_CHECKING:
    from cutis.app.archive.archive import Archive
    from cutis.app.archive.backup import Backup

DATABASE_URL = "CUTIS_DATABASE_URL"
"""Names the PostgreSQL server that holds an archive's rows; without it they are in the folder."""


@contextmanager
def opened_archive(folder: Path, *, exists: bool = False) -> "Iterator[Archive]":
    """An archive for the command line: what fails in it is told in English, as InputError.

    Args:
        exists: refuse a folder that is no archive yet, which else becomes one.
    """
    from cutis.app.archive.archive import Archive
    from cutis.app.archive.folder import MARKER

    if exists and not (folder / MARKER).exists():
        raise InputError("there is no archive here", where=folder, expected=f"a {MARKER} in it")
    archive = Archive.open(folder, os.environ.get(DATABASE_URL))
    try:
        with told(folder):
            yield archive
    finally:
        archive.close()


@contextmanager
def told(where: Path) -> Iterator[None]:
    """Turns an error of the app into one of the command line."""
    from cutis.app.errors import AppError
    from cutis.app.i18n import DEFAULT, translator

    try:
        yield
    except AppError as error:
        problem, fix = error.words(translator(DEFAULT))
        raise InputError(problem, where=where, fix=fix) from error


ArchiveFolder = Annotated[
    Path, Argument(metavar="ARCHIVE", help="The folder of `cutis app --archive`.")
]


def app_backup(
    archive: ArchiveFolder,
    file: Annotated[Path, Argument(metavar="FILE", help="The backup to write.")],
) -> "Backup":
    """Copy an archive, rows and photos, to one file; the app may go on running."""
    from cutis.app.archive.backup import write_backup

    with opened_archive(archive, exists=True) as opened:
        return write_backup(opened, file)


def app_restore(
    file: Annotated[Path, Argument(metavar="FILE", help="What `cutis app backup` wrote.")],
    archive: Annotated[Path, Argument(metavar="ARCHIVE", help="A new or empty folder.")],
) -> Path:
    """Make an archive of a backup, after all of it has been checked.

    The environment's CUTIS_DATABASE_URL may name an empty PostgreSQL database for the rows.
    """
    from cutis.app.archive.restore import restore_backup

    with told(archive):
        restore_backup(file, archive, os.environ.get(DATABASE_URL))
    return archive


def show_backup(backup: "Backup") -> int:
    """Says what the backup holds; 1 where photos were damaged."""
    print(f"{backup.cases} cases and {backup.photos} photos in {backup.file}")
    print("It holds photos of patients: keep it as safe as the archive.")
    for sha256 in backup.damaged:
        print(f"damaged or gone, and not in the backup: photo {sha256}", file=sys.stderr)
    return 1 if backup.damaged else 0


def show_restore(archive: Path) -> int:
    """Says how to go on."""
    print(f"restored; open it with: cutis app --archive {archive}")
    return 0
