"""From the paths that a person names to the photos behind them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cutis.errors import InputError, nearest
from cutis.preprocessing import SUFFIXES


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """The photos among files and folders, each once, in the order given.

    Folders are walked to any depth in sorted order, for names that end as photos do; hidden files
    and folders are left out. A file named directly is taken whatever its suffix. Raises InputError
    for a path that does not exist, a folder without photos, and a folder that may not be read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(_photos_below(path))
        elif path.is_file():
            found[path] = None
        else:
            raise _missing(path)
    if not found:
        raise InputError("no photo was named", expected="one or more photos or folders of photos")
    return list(found)


def _photos_below(folder: Path) -> list[Path]:
    photos = sorted(_walk(folder))
    if not photos:
        raise InputError(
            "the folder holds no photo",
            where=folder,
            expected="files ending in " + ", ".join(SUFFIXES),
            fix="name another folder, or the files themselves",
        )
    return photos


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=_forbidden):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(place, name)


def _forbidden(error: OSError) -> None:
    raise InputError(
        "no permission to look into the folder",
        where=error.filename,
        fix="make the folder readable, or name another",
    ) from error


def _missing(path: Path) -> InputError:
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return InputError(
        "there is no such photo or folder",
        where=path,
        fix=nearest(path.name, beside) or "check the path",
    )
