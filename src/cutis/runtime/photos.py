"""From the paths that a person names to the photos behind them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cutis.data.catalog import CATALOG_FILE, Catalog
from cutis.errors import InputError, nearest
from cutis.preprocessing import SUFFIXES


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """The photos among files and folders, each once, in the order given.

    Folders are walked to any depth in sorted order, for names that end as photos do; hidden files
    and folders are left out. Of a catalog its photos are taken, wherever they lie, in its order. A
    file named directly is taken whatever its suffix. Raises InputError for a path that does not
    exist, a folder without photos, a damaged catalog or one of URLs, and a folder that
    may not be read.
    """
    return list(_places(paths))


def name_photos(paths: Sequence[Path]) -> dict[Path, str]:
    """The photos of `find_photos`, each with a name for the files that are made of it.

    The name is the photo's place below the folder that was named, without suffix; of a file
    named directly it is the file's name, and of a catalog's photo its image_id. Of equal names the
    later ones get a number (`x-2`); case does not tell them apart, since some disks do not either.
    """
    taken: set[str] = set()
    names = {}
    for photo, place in _places(paths).items():
        plain = place.with_suffix("").as_posix()
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names[photo] = name
    return names


def _places(paths: Sequence[Path]) -> dict[Path, Path]:
    """The photos in order, each with its place below the path that was named."""
    found: dict[Path, Path] = {}
    for path in paths:
        if (path / CATALOG_FILE).is_file():
            for photo, place in _photos_of_catalog(path):
                found.setdefault(photo, place)
        elif path.is_dir():
            for photo in _photos_below(path):
                found.setdefault(photo, photo.relative_to(path))
        elif path.is_file():
            found.setdefault(path, Path(path.name))
        else:
            raise _missing(path)
    if not found:
        raise InputError("no photo was named", expected="one or more photos or folders of photos")
    return found


def _photos_of_catalog(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The photos, each with its image_id and suffix as a place."""
    catalog = Catalog.open(folder)
    rows = catalog.photos
    for stored, image_id in zip(rows["path"], rows["image_id"], strict=True):
        yield catalog.locate(stored), Path(image_id + Path(stored).suffix)


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
