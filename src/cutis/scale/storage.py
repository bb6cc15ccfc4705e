"""Photos of buckets and other storages that fsspec knows, by URL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from cutis.errors import InputError, MissingDependencyError
from cutis.preprocessing import SUFFIXES
from cutis.runtime import find_photos
from cutis.scale.cluster import EXTRA


def is_url(place: str) -> bool:
    """Whether a place is a URL and no path."""
    return "://" in place


def find_places(places: Sequence[str]) -> list[str]:
    """The photos among files, folders, catalogs and URLs, each once, in the order given.

    As `find_photos`, below URLs too. Raises InputError likewise, and for a storage that is not
    known, does not answer or denies; its credentials come from the environment.
    """
    found: dict[str, None] = {}
    for place in places:
        photos = _below(place) if is_url(place) else map(str, find_photos([Path(place)]))
        found.update(dict.fromkeys(photos))
    if not found:
        find_photos([])
    return list(found)


def read_photo(url: str) -> Path | bytes:
    """The bytes of a photo.

    One that is gone is the path of nothing, to be told of as any other missing photo is. Raises
    InputError for a storage that fails or denies.
    """
    with _clear_storage_errors(url):
        storage, name = _open(url)
        try:
            content: bytes = storage.cat_file(name)
        except FileNotFoundError:
            return Path(url)
        return content


def _below(url: str) -> list[str]:
    with _clear_storage_errors(url):
        storage, root = _open(url)
        if storage.isfile(root):
            return [url]
        names = sorted(storage.find(root), key=lambda name: name.split("/"))
        photos = [name for name in names if _is_photo(PurePosixPath(name[len(root) :]))]
        if not photos:
            raise InputError(
                "the storage holds no photo there",
                where=url,
                expected="files ending in " + ", ".join(SUFFIXES),
                fix="check the URL",
            )
        return [storage.unstrip_protocol(name) for name in photos]


def _is_photo(place: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in place.parts)
    return not hidden and place.name.lower().endswith(SUFFIXES)


def _open(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise MissingDependencyError("fsspec", EXTRA) from error
    storage, name = url_to_fs(url)
    return storage, name


@contextmanager
def _clear_storage_errors(url: str) -> Iterator[None]:
    """Every storage has errors of its own, which share no class."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"a library for this storage is not installed ({error})",
            where=url,
            fix="install it on all nodes, such as s3fs for s3:// or gcsfs for gs://",
        ) from error
    except Exception as error:
        denied = isinstance(error, PermissionError) or "redential" in type(error).__name__
        raise InputError(
            f"the storage {'denies access' if denied else 'fails'} ({error})",
            where=url,
            expected="credentials in the environment of every node" if denied else None,
            fix="check the URL and the credentials, which each node takes from its environment",
        ) from error
