"""Decoded photos kept once as uint8, and the order in which training sees them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cutis.errors import PhotoError
from cutis.preprocessing import load
from cutis.records import Preprocessing
from cutis.storage import clear_write_errors

_DECODERS = 2
_CHUNK = 64
T = TypeVar("T")


def decoded_pixels(
    paths: Sequence[Path],
    sha256: Sequence[str],
    settings: Preprocessing,
    cache: Path,
) -> NDArray[np.uint8]:
    """All photos at the network's input size, (photos, size, size, 3), as a read-only memory map.

    The file in the folder `cache` is keyed by the photos' content, their order, size and fit; it
    is written on first use and read afterwards, at 20,000 photos a second instead of some hundred.
    Raises PhotoError for a photo that cannot be read, and before reading any where some are gone.
    """
    key = hashlib.sha256(
        "\n".join([f"{settings.size} {settings.fit}", *sha256]).encode()
    ).hexdigest()
    file = cache / f"pixels-{settings.size}-{settings.fit}-{key[:16]}.npy"
    shape = (len(paths), settings.size, settings.size, 3)
    if not file.is_file():
        _require(paths)
        _decode_into(file, shape, paths, settings)
    pixels: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return pixels


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


def _decode_into(
    file: Path, shape: tuple[int, ...], paths: Sequence[Path], settings: Preprocessing
) -> None:
    partial = file.with_suffix(".partial")
    with clear_write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
            with (
                ThreadPoolExecutor(_DECODERS) as pool,
                tqdm(total=len(paths), desc="decoding", unit="photo", disable=None) as bar,
            ):
                for start in range(0, len(paths), _CHUNK):
                    chunk = paths[start : start + _CHUNK]
                    for offset, photo in enumerate(pool.map(lambda p: load(p, settings), chunk)):
                        pixels[start + offset] = photo
                    bar.update(len(chunk))
            pixels.flush()
            partial.rename(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


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
