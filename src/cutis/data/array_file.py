"""Large arrays kept in one file each, written whole or not at all and checked when read.

A file is an ordinary `.npy` with the SHA-256 of all before it at its end.
"""

import contextlib
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cutis.storage import clear_write_errors

_DIGEST = hashlib.sha256().digest_size
_PARTIAL = ".partial-"
_ABANDONED = 24 * 3600  # seconds after which a partial file is what a killed process left behind
_BLOCK = 1 << 24


def write_array(
    file: Path, shape: tuple[int, ...], dtype: DTypeLike, chunks: Iterable[NDArray[Any]]
) -> None:
    """Writes an array whose rows come in chunks; several processes may write the same file.

    The bytes are appended and not mapped, so that a full disk is an OSError and no bus error. On
    any error nothing stays behind.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    _sweep(file.parent)
    handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=file.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            digest = hashlib.sha256(header := _header(shape, dtype))
            target.write(header)
            for chunk in chunks:
                rows = np.ascontiguousarray(chunk, dtype).data
                digest.update(rows)
                target.write(rows)
            target.write(digest.digest())
            target.flush()
            os.fsync(target.fileno())
        partial.chmod(0o644)
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_array(file: Path) -> NDArray[Any] | None:
    """The array as a memory map; None where there is none or where it is damaged.

    What is written into the map stays in memory: PyTorch warns of arrays that are read-only.
    """
    if not file.is_file() or not _whole(file):
        return None
    rows: NDArray[Any] = np.load(file, mmap_mode="c")
    return rows


def kept_array(
    file: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    compute: Callable[[], Iterable[NDArray[Any]]],
) -> NDArray[Any]:
    """The array of a file, computed and written where there is none or a damaged one.

    Raises InputError where it cannot be written.
    """
    rows = read_array(file)
    if rows is None:
        with clear_write_errors(file):
            write_array(file, shape, dtype, compute())
        rows = np.load(file, mmap_mode="c")
    return rows


def _whole(file: Path) -> bool:
    left = file.stat().st_size - _DIGEST
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while left > 0:
            block = source.read(min(left, _BLOCK))
            digest.update(block)
            left -= len(block)
        return source.read() == digest.digest()


def _header(shape: tuple[int, ...], dtype: DTypeLike) -> bytes:
    header = io.BytesIO()
    described = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


def _sweep(folder: Path) -> None:
    for partial in folder.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(FileNotFoundError):  # another process has just finished it
            if time.time() - partial.stat().st_mtime > _ABANDONED:
                partial.unlink()
