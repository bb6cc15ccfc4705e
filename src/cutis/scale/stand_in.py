"""A collection in a storage as a folder of this computer that has its tables and no photos."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from cutis.data.remote import RemoteSource
from cutis.data.sources.base import is_clutter
from cutis.data.sources.tables import TABLE_SUFFIXES
from cutis.errors import InputError
from cutis.records import Feedback
from cutis.scale.storage import Listing, fetch_ahead, list_collection, read_photo
from cutis.storage import clear_write_errors

_NOTES = ("source.toml", Feedback.NOTE)
_BELOW = (".csv", ".tab", ".tsv")  # tables that readers look for in the folders of a collection


@contextmanager
def stand_in(url: str) -> Iterator[RemoteSource]:
    """What `import_sources` takes for a folder in a storage, or a table in one, while it lasts.

    The storage is listed once. What readers read is fetched, of feedback the photos too; all else
    is as long as it is there and takes no room. Hidden files and the leftovers of macOS are left
    out. Raises InputError as `list_collection` and `read_photo` do, and for names that this
    computer's disk cannot hold.
    """
    listing = list_collection(url)
    name = PurePosixPath(listing.url.partition("://")[2]).name.strip(".") or "source"
    with tempfile.TemporaryDirectory(prefix="cutis-import-") as place:
        folder = Path(place).resolve() / name
        with clear_write_errors(folder):
            _fill(folder, listing)
        yield RemoteSource(
            folder=folder,
            table=listing.table,
            url=listing.url,
            states={_url(listing, below): state for below, state in listing.files.items()},
            read=read_photo,
        )


def _url(listing: Listing, below: str) -> str:
    return f"{listing.url}/{below}"


def _fill(folder: Path, listing: Listing) -> None:
    whole = Feedback.NOTE in listing.files  # it is checked by the hashes of its photos
    fetched = {}
    for below, (size, _) in tqdm(listing.files.items(), desc="listing", unit="file", disable=None):
        parts = below.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise _impossible(_url(listing, below))
        if any(is_clutter(part) for part in parts):
            continue
        if whole or below == listing.table or _is_read(parts):
            fetched[_url(listing, below)] = folder.joinpath(*parts)
        else:
            _make(folder.joinpath(*parts), size, _url(listing, below))
    for contents in fetch_ahead(list(fetched), folder):
        for url, content in contents.items():
            if isinstance(content, bytes):  # otherwise it has gone since
                _make(fetched[url], content, url)


def _is_read(parts: list[str]) -> bool:
    suffix = PurePosixPath(parts[-1]).suffix.lower()
    if len(parts) == 1:
        return suffix in TABLE_SUFFIXES or parts[0] in _NOTES
    return len(parts) == 2 and suffix in _BELOW


def _make(target: Path, content: bytes | int, url: str) -> None:
    """A file of this content, or of so many bytes that take no room."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            if isinstance(content, int):
                os.truncate(file.fileno(), content)
            else:
                file.write(content)
    except (FileExistsError, NotADirectoryError, ValueError) as error:
        raise _impossible(url) from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EFBIG):
            raise _impossible(url) from error
        raise


def _impossible(url: str) -> InputError:
    return InputError(
        "the storage holds a name that no folder can hold",
        where=url,
        expected="names such as folder/photo.jpg, without '..', empty parts or two of one spelling",
        fix="rename the object, or name a URL that lies below another folder",
    )
