"""Photos on a disk, named by their content."""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from cutis.app.errors import AppError

_TEMPORARY = ".new-"
_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(rf"({_HASH.pattern})\.jpg")


class PhotoFiles:
    """JPEGs as `ab/abcd….jpg`, by the SHA-256 of their bytes.

    `put`, `remove` and `sweep` are for one process at a time: call them within `Database.alone`,
    together with the rows that name the photos. Reading is for all.

    Args:
        folder: holds nothing else; made with the first photo.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> tuple[str, bool]:
        """Writes a photo so that it survives a crash; its SHA-256, and whether it is new here.

        Raises OSError; then no file of it is left.
        """
        sha256 = hash_of(data)
        target = self._path(sha256)
        if _read(target) == data:
            return sha256, False
        self._make(target.parent)
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _flush_folder(target.parent)
        return sha256, True

    def read(self, sha256: str) -> bytes:
        """A photo's bytes, checked; AppError `photo_damaged` for one that is gone or changed."""
        data = _read(self._path(sha256))
        if data is None or hash_of(data) != sha256:
            raise AppError("photo_damaged")
        return data

    def remove(self, hashes: Collection[str]) -> None:
        """Deletes photos, those that are gone already too; AppError `photo_damaged` as `read`."""
        for sha256 in hashes:
            path = self._path(sha256)
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds others, or is gone
                path.parent.rmdir()

    def sweep(self, used: Collection[str]) -> int:
        """Deletes all that no case uses, and what was half written; how many files."""
        paths = list(self._files())
        lost = [path for path in paths if _NAME.sub(r"\1", path.name) not in used]
        for path in lost:
            path.unlink(missing_ok=True)
        return len(lost)

    def _files(self) -> Iterator[Path]:
        """What `put` has written, finished or not; nothing that others have left here."""
        for path in self.folder.glob("??/*"):
            if _NAME.fullmatch(path.name) or path.name.startswith(_TEMPORARY):
                yield path

    def _path(self, sha256: str) -> Path:
        """A photo's place; a name that is no hash could lead anywhere, and is none."""
        if not is_hash(sha256):
            raise AppError("photo_damaged")
        return self.folder / sha256[:2] / f"{sha256}.jpg"

    def _make(self, folder: Path) -> None:
        for new in (self.folder, folder):
            if not new.is_dir():
                new.mkdir(mode=0o700, exist_ok=True)
                _flush_folder(new.parent)


def hash_of(data: bytes) -> str:
    """By which a photo is named: SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def is_hash(name: object) -> bool:
    """Whether `hash_of` may have made it."""
    return isinstance(name, str) and _HASH.fullmatch(name) is not None


def _read(path: Path) -> bytes | None:
    """None for a file that cannot be read, for whatever reason."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _flush_folder(folder: Path) -> None:
    """Makes a rename last; Windows keeps folders in order by itself."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
