"""Photos of buckets and other storages that fsspec knows, by URL."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from threading import Event, Thread
from typing import Any

from tqdm import tqdm

from cutis.data.catalog import CATALOG_FILE, Catalog
from cutis.data.remote import State, is_url
from cutis.errors import InputError, MissingDependencyError
from cutis.preprocessing import SUFFIXES
from cutis.runtime import find_photos
from cutis.runtime.ahead import batched, map_ahead
from cutis.runtime.network import RUN_BATCH
from cutis.scale.cluster import EXTRA

_FETCHED = 4 * RUN_BATCH  # photos of a storage that a process holds; it fetches as many ahead

# What storages say of a type that they have for all else too; more of a message may be the URL.
_DENIES = re.compile("^Forbidden|Unable to locate credentials|^Invalid Credentials")

_CHANGED = ("LastModified", "last_modified", "mtime", "updated", "created")
"""What storages call the time of the last change, the most exact name first."""


@dataclass(frozen=True)
class Listing:
    """The files below a URL."""

    url: str  # of the folder, without a slash at its end
    table: str | None  # the file in the folder that was named, where it was not the folder
    files: dict[str, State]  # by their place below the folder, parts apart by "/"


def find_places(places: Sequence[str]) -> list[str]:
    """The photos among files, folders, catalogs and URLs, each once, in the order given.

    As `find_photos`, below URLs too, and of catalogs whose photos are URLs. Raises InputError
    likewise, and for a storage that is not known, does not answer or denies; its credentials come
    from the environment.
    """
    found: dict[str, None] = {}
    for place in places:
        found.update(dict.fromkeys(_photos_of(place)))
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


def fetch_ahead(names: Sequence[str], folder: Path) -> Iterator[dict[str, Path | bytes]]:
    """Photos by name in their order, some at a time, with others fetched meanwhile.

    Args:
        names: URLs, of which the bytes are fetched, and paths.
        folder: where paths start that are not absolute.

    Raises InputError as `read_photo` does.
    """

    def photo(name: str) -> Path | bytes:
        return read_photo(name) if is_url(name) else folder / name

    def fetch(some: list[str]) -> dict[str, Path | bytes]:
        with ThreadPoolExecutor(_FETCHED) as pool:
            return dict(zip(some, pool.map(photo, some), strict=True))

    return map_ahead(fetch, batched(names, _FETCHED), threads=1)


def list_collection(url: str) -> Listing:
    """All files of the folder that a URL names, or of the one around the file that it names.

    Raises InputError where there is nothing, and for a storage that fails or denies.
    """
    with _clear_storage_errors(url):
        storage, root, given = _open_given(url)
        storage.invalidate_cache()  # which would hide what has changed since an earlier listing
        folder, table = root.rstrip("/"), None
        if storage.isfile(root):
            folder, _, table = root.rpartition("/")
            given = given[: -len(table) - 1]
        try:
            with _ticking("listing"):
                found = storage.find(folder, detail=True)
        except FileNotFoundError:  # the bucket
            found = {}
        files = {
            name[len(folder) :].removeprefix("/"): _state(info)
            for name, info in found.items()
            # Folders are no objects, but some programs make empty ones in their place.
            if info.get("type") != "directory" and not name.endswith("/")
        }
        if not files:
            raise InputError(
                "the source does not exist",
                where=url,
                expected="a folder of photos, or a table of them, in the storage",
                fix="check the URL",
            )
        return Listing(given, table, files)


def _state(info: dict[str, Any]) -> State:
    changed = next((info[name] for name in _CHANGED if info.get(name)), 0)
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed)
    seconds = changed.timestamp() if isinstance(changed, datetime) else changed
    return int(info.get("size") or 0), round(seconds * 1e6) * 1000


@contextmanager
def _ticking(what: str) -> Iterator[None]:
    """Shows for how long something has lasted of which nobody knows how long it will."""
    over = Event()
    with tqdm(desc=what, bar_format="{desc} {elapsed}", disable=None) as bar:

        def tick() -> None:
            while not over.wait(1):
                bar.refresh()

        clock = Thread(target=tick, daemon=True)
        clock.start()
        try:
            yield
        finally:
            over.set()
            clock.join()


def _photos_of(place: str) -> Iterator[str]:
    if is_url(place):
        yield from _below(place)
    elif (Path(place) / CATALOG_FILE).is_file():
        catalog = Catalog.open(Path(place))
        for stored in catalog.photos["path"]:
            yield stored if is_url(stored) else str(catalog.locate(stored))
    else:
        yield from map(str, find_photos([Path(place)]))


def _below(url: str) -> list[str]:
    with _clear_storage_errors(url):
        storage, root, given = _open_given(url)
        if storage.isfile(root):
            return [url]
        folder = root.rstrip("/")
        names = sorted(storage.find(root), key=lambda name: name.split("/"))
        photos = [name for name in names if _is_photo(PurePosixPath(name[len(folder) :]))]
        if not photos:
            raise InputError(
                "the storage holds no photo there",
                where=url,
                expected="files ending in " + ", ".join(SUFFIXES),
                fix="check the URL",
            )
        return [given + name[len(folder) :] for name in photos]


def _is_photo(place: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in place.parts)
    return not hidden and place.name.lower().endswith(SUFFIXES)


def _open(url: str) -> tuple[Any, str]:
    """The storage of a URL, and what it calls the place."""
    try:
        from fsspec.core import filesystem, get_filesystem_class  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise MissingDependencyError("fsspec", EXTRA) from error
    # Unlike url_to_fs this takes a name that has "::" in it as the name that it is.
    protocol = url.partition("://")[0]
    kind = get_filesystem_class(protocol)
    storage = filesystem(protocol, **kind._get_kwargs_from_urls(url))
    return storage, kind._strip_protocol(url)


def _open_given(url: str) -> tuple[Any, str, str]:
    """As `_open`, with the URL without a slash at its end, from which those below it are made.

    What the storage calls places may lack the host or the account. Raises InputError for what must
    not stand in a table.
    """
    if "::" in url:
        raise InputError(
            "storages within storages are not read",
            where=url,
            expected="one storage, and '::' in no name that is given",
            fix="unpack the archive there, and name the URL of its folder",
        )
    storage, root = _open(url)
    if type(storage)._get_kwargs_from_urls(url).get("password"):
        raise InputError(
            "a URL is written into tables and must hold no password",
            where=f"{url.partition('://')[0]}://…",
            fix="give the password in the environment, such as FSSPEC_SFTP_PASSWORD",
        )
    if getattr(storage, "local_file", False):
        url = storage.unstrip_protocol(root)  # the folder that it starts from may be another there
    protocol, _, place = url.partition("://")
    return storage, root, f"{protocol}://{place.rstrip('/')}"


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
        denied = (
            isinstance(error, PermissionError)
            or re.search("Credential|Forbidden", type(error).__name__)
            or _DENIES.search(str(error))
        )
        raise InputError(
            f"the storage {'denies access' if denied else 'fails'} ({error})",
            where=url,
            expected="credentials in the environment of every node" if denied else None,
            fix="check the URL and the credentials, which each node takes from its environment",
        ) from error
