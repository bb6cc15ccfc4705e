"""Photos and masks copied into a catalog, from folders and from storages."""

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cutis.data.remote import RemoteSource, State
from cutis.storage import clear_write_errors

_AT_ONCE = 16  # files that are under way from a storage


def copy_photos(
    rows: pd.DataFrame, into: Path, remote: RemoteSource | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Copies photos and masks to `photos/` of the catalog; the paths become relative to it.

    A copy has the time of its original, and is not made again where size and time are the same.
    Of a storage, which is `remote`, what has gone since it was listed is left out: a photo cannot
    be read then, and a mask is None; the image_ids of such masks are returned too. Raises
    InputError for a full disk, and what `remote.read` raises.
    """
    moved = rows.copy()
    wanted: list[tuple[str, Path]] = []
    for column, ending in (("path", ""), ("mask", "_segmentation")):
        relative: list[str | None] = []
        for image_id, stored in zip(rows["image_id"], rows[column], strict=True):
            if pd.isna(stored):
                relative.append(None)
            else:
                place = f"photos/{image_id}{ending}{Path(stored).suffix.lower()}"
                relative.append(place)
                wanted.append((stored, into / place))
        moved[column] = np.array(relative, dtype=object)
    gone: set[Path] = set()
    with clear_write_errors(into):
        if remote is not None:
            gone = _download(remote, wanted)
        else:
            for origin, target in wanted:
                _copy_file(Path(origin), target)
    lost = np.array([pd.notna(mask) and into / mask in gone for mask in moved["mask"]], bool)
    moved.loc[lost, "mask"] = None
    return moved, list(moved.loc[lost, "image_id"])


def _copy_file(origin: Path, target: Path) -> None:
    status = origin.stat()
    if not _holds(target, (status.st_size, status.st_mtime_ns)):
        _write(target, partial(shutil.copy2, origin))


def _download(remote: RemoteSource, wanted: Sequence[tuple[str, Path]]) -> set[Path]:
    """Fetches files by URL; the targets of those that are gone."""
    gone = set()
    with (
        tqdm(total=len(wanted), desc="copying", unit="file", disable=None) as bar,
        ThreadPoolExecutor(_AT_ONCE) as pool,
        # An error must not wait for all that is still to come.
        closing(pool.map(partial(_download_file, remote), wanted)) as copies,  # type: ignore[type-var]
    ):
        for (_, target), there in zip(wanted, copies, strict=True):
            if not there:
                gone.add(target)
            bar.update()
    return gone


def _download_file(remote: RemoteSource, wanted: tuple[str, Path]) -> bool:
    """Whether the file was there."""
    url, target = wanted
    state = remote.states[url]
    if _holds(target, state):
        return True
    content = remote.read(url)
    if isinstance(content, Path):
        return False
    _write(target, partial(_write_dated, content, state[1]))
    return True


def _write_dated(content: bytes, modified: int, target: Path) -> None:
    target.write_bytes(content)
    os.utime(target, ns=(modified, modified))


def _holds(target: Path, state: State) -> bool:
    if not target.is_file():
        return False
    have = target.stat()
    return (have.st_size, have.st_mtime_ns) == state


def _write(target: Path, write: Callable[[Path], object]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + ".partial")
    try:
        write(unfinished)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
