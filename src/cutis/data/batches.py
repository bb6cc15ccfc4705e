"""Decoded photos kept once as uint8, and the order in which training sees them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from cutis import __version__
from cutis.data.array_file import kept_array
from cutis.errors import PhotoError
from cutis.lesion import LesionMasks, channels, load_lesion
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
    masks: LesionMasks | None = None,
) -> NDArray[np.uint8]:
    """All photos at the network's input size, (photos, size, size, 3 or 4), as a memory map.

    The file in the folder `cache` is keyed by the photos' content, their order, size and fit, and
    by the masks; it is written on first use and read afterwards, at thousands of photos a second.

    Args:
        masks: of the same photos, where the settings' `lesion` is not "none".

    Raises PhotoError for a photo that cannot be read, and before reading any where some are gone.
    """
    form, seen = f"{settings.size}-{settings.fit}", f"{settings.size} {settings.fit}"
    if masks is not None:
        form, seen = f"{form}-{settings.lesion}", f"{seen} {settings.lesion} {masks.key}"
    key = hashlib.sha256("\n".join([f"{__version__} {seen}", *sha256]).encode()).hexdigest()
    file = cache / f"pixels-{form}-{key[:16]}.npy"

    def decoded() -> Iterator[NDArray[np.uint8]]:
        require_photos(paths)
        return photo_batches(paths, settings, "decoding", masks)

    shape = (len(paths), settings.size, settings.size, channels(settings))
    return kept_array(file, shape, np.uint8, decoded)


def different_photos(rows: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The rows without copies of a file under the same diagnosis, and the place of each row there.

    An over-sampled catalog has a photo in many rows; it is decoded and kept once.
    """
    place, _ = pd.factorize(rows["sha256"] + "\t" + rows["diagnosis"])
    different = rows.drop_duplicates(["sha256", "diagnosis"]).reset_index(drop=True)
    return different, place.astype(np.int64)


def require_photos(paths: Sequence[Path]) -> None:
    """Raises PhotoError where some of the photos are gone."""
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
    paths: Sequence[Path], settings: Preprocessing, doing: str, masks: LesionMasks | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Photos decoded in threads, 64 or fewer at a time, with a bar named `doing`.

    A batch is (photos, size, size, 3), or 4 where masks of the same photos make a fourth channel.
    Raises PhotoError for a photo that cannot be read.
    """

    def one(number: int) -> NDArray[np.uint8]:
        if masks is None:
            return load(paths[number], settings)
        return load_lesion(paths[number], settings, masks[number], masks.threshold)[0]

    with (
        ThreadPoolExecutor(_DECODERS) as pool,
        tqdm(total=len(paths), desc=doing, unit="photo", disable=None) as bar,
    ):
        for part in batch_slices(len(paths), _BATCH):
            yield np.stack(list(pool.map(one, range(part.start, part.stop))))
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


def over_sampled_order(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The order of an epoch in which every diagnosis is as frequent as the most frequent one.

    Every photo comes once; random copies of the rarer diagnoses' photos come beside.
    """
    counts = np.bincount(labels)
    copies = [
        rng.choice(np.flatnonzero(labels == label), counts.max() - counts[label])
        for label in np.flatnonzero(counts)
    ]
    return rng.permutation(np.concatenate([np.arange(len(labels)), *copies]))


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
