"""Decoded photos kept once as uint8, and the order in which training sees them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cutis import __version__
from cutis.data.array_file import kept_array
from cutis.errors import PhotoError
from cutis.preprocessing import load
from cutis.records import Preprocessing

_DECODERS = 2
_BATCH = 64
T = TypeVar("T")


def decoded_pixels(
    paths: Sequence[Path],
    sha256: Sequence[str],
    settings: Preprocessing,
    cache: Path,
) -> NDArray[np.uint8]:
    """All photos at the network's input size, (photos, size, size, 3), as a memory map.

    The file in the folder `cache` is keyed by the photos' content, their order, size and fit; it
    is written on first use and read afterwards, at thousands of photos a second.
    Raises PhotoError for a photo that cannot be read, and before reading any where some are gone.
    """
    key = hashlib.sha256(
        "\n".join([f"{__version__} {settings.size} {settings.fit}", *sha256]).encode()
    ).hexdigest()
    file = cache / f"pixels-{settings.size}-{settings.fit}-{key[:16]}.npy"

    def decoded() -> Iterator[NDArray[np.uint8]]:
        _require(paths)
        return photo_batches(paths, settings, "decoding")

    return kept_array(file, (len(paths), settings.size, settings.size, 3), np.uint8, decoded)


def _require(paths: Sequence[Path]) -> None:
    gone = [path for path in paths if not path.is_file()]
    if gone:
        raise PhotoError(
            f"{len(gone)} of {len(paths)} photos are not on disk",
            where=gone[0] if len(gone) == 1 else f"{gone[0]} and others",
            expected="the photos where they lay when they were imported",
            fix="bring them back (a disk that is not mounted?), or import them again from where "
            "they are now, in a folder of the same name",
        )


def photo_batches(
    paths: Sequence[Path], settings: Preprocessing, doing: str
) -> Iterator[NDArray[np.uint8]]:
    """Photos decoded in threads, (64 or fewer, size, size, 3) at a time, with a bar named `doing`.

    Raises PhotoError for a photo that cannot be read.
    """
    with (
        ThreadPoolExecutor(_DECODERS) as pool,
        tqdm(total=len(paths), desc=doing, unit="photo", disable=None) as bar,
    ):
        for part in batch_slices(len(paths), _BATCH):
            yield np.stack(list(pool.map(lambda photo: load(photo, settings), paths[part])))
            bar.update(part.stop - part.start)


def epoch_order(
    labels: NDArray[np.int64], *, balanced: bool, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices of the photos in the order of one epoch.

    Balanced sampling draws with replacement so that every diagnosis is equally likely; the epoch
    keeps its length. Otherwise every photo comes once.
    """
    if not balanced:
        return rng.permutation(len(labels))
    counts = np.bincount(labels)
    chance = 1.0 / (np.count_nonzero(counts) * counts[labels])
    return rng.choice(len(labels), size=len(labels), p=chance)


def batch_slices(count: int, batch_size: int) -> list[slice]:
    """Slices of equal length; a last batch of a single photo joins its neighbour.

    Batch statistics of one photo would be meaningless.
    """
    starts = list(range(0, count, batch_size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], count], strict=True)]


def prefetched(steps: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Results of the steps in order, the next one always being made in a background thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[T] | None = None
        for step in steps:
            following = pool.submit(step)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
