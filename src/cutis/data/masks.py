"""Lesion masks: from the files that people draw to arrays of true and false.

The rules below refuse none of the 12,215 published masks of HAM10000, ISIC 2017 and PH2
(tests/data/test_masks.py counts them).
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from cutis import __version__
from cutis.data.array_file import kept_array
from cutis.data.batches import batch_slices
from cutis.errors import InputError
from cutis.lesion import Mask
from cutis.preprocessing import FORMATS, MAX_PIXELS

_READERS = 2
_BATCH = 64
_ASPECT = 0.01  # by which a mask of another size may differ from its photo; besides, a pixel
_GREY = 0.25  # of a mask; a photo is grey almost everywhere, a JPEG's edges are a few per cent
_FRAME = 0.6  # of the frame; a lesion that covers more of it covers the middle as well


def read_mask(path: Path, size: tuple[int, int] | None = None) -> Mask:
    """A mask, (height, width), true on the lesion.

    Two values in a file, whatever they are, are background and the lighter lesion: 0 and 1, 0 and
    255, 1-bit, palette, grey, RGB. With more values, as JPEG and smooth edges leave them, lesion is
    from half of white on. Where a mask is transparent, or is drawn by transparency alone, what can
    be seen through is no lesion. Empty, full and several lesions are valid.

    Args:
        size: (height, width) of the photo. A mask of another size and the same aspect is brought
            to it by its nearest pixels.

    Raises InputError for a file that cannot be read, is no mask, seems inverted (the frame is
    lesion, the middle is not), or has another aspect than the photo.
    """
    mask = _two_values(_values(path), path)
    if _looks_inverted(mask):
        raise InputError(
            "the mask is inverted: the frame of the photo is lesion and its middle is not",
            where=path,
            expected="white (or 1) on the lesion, black (0) on the skin",
            fix="swap black and white in the file",
        )
    return mask if size is None or mask.shape == size else _at_size(mask, size, path)


def mask_pixels(
    paths: Sequence[Path],
    sha256: Sequence[str],
    size: int,
    cache: Path,
    *,
    sizes: Sequence[tuple[int, int]] | None = None,
) -> NDArray[np.uint8]:
    """All masks stretched to the network's input size, (masks, size, size), 0 or 255.

    A memory map, kept in a file of the folder `cache` like `decoded_pixels`. It is keyed by the
    photos' content and by size and time of the mask files, whose content the catalog does not know.

    Args:
        paths: of the masks.
        sha256: of their photos.
        sizes: (height, width) of their photos, against which the masks are then checked.

    Raises InputError as `read_mask` does, and before reading any where some are gone.
    """
    _require(paths)
    stamps = [f"{s.st_size} {s.st_mtime_ns}" for s in (path.stat() for path in paths)]
    checked = sizes is not None
    key = hashlib.sha256(
        "\n".join([f"{__version__} {size} {checked}", *sha256, *stamps]).encode()
    ).hexdigest()
    file = cache / f"masks-{size}-{key[:16]}.npy"

    def small(path: Path, photo: tuple[int, int] | None) -> NDArray[np.uint8]:
        image = Image.fromarray(read_mask(path, photo).astype(np.uint8) * 255)
        stretched = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
        return np.where(stretched >= 128, np.uint8(255), np.uint8(0))

    def read() -> Iterator[NDArray[np.uint8]]:
        with (
            ThreadPoolExecutor(_READERS) as pool,
            tqdm(total=len(paths), desc="reading masks", unit="mask", disable=None) as bar,
        ):
            for part in batch_slices(len(paths), _BATCH):
                photos = repeat(None) if sizes is None else sizes[part]
                yield np.stack(list(pool.map(small, paths[part], photos)))
                bar.update(part.stop - part.start)

    return kept_array(file, (len(paths), size, size), np.uint8, read)


def _values(path: Path) -> NDArray[np.float32] | NDArray[np.uint8]:
    """The brightness of every pixel, (height, width)."""
    try:
        with Image.open(path) as opened:
            if opened.format not in (*FORMATS, "GIF"):
                raise ValueError(f"format {opened.format}")
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError("it is too large to decode safely")
            return _brightness(ImageOps.exif_transpose(opened))
    except FileNotFoundError as error:
        raise InputError(
            "the mask is missing", where=path, fix="put the file back or import again"
        ) from error
    except (
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        OSError,
        SyntaxError,
        ValueError,
        LookupError,
        EOFError,
        struct.error,
    ) as error:
        raise InputError(
            f"the mask cannot be read ({error})",
            where=path,
            expected="a picture, white on the lesion and black elsewhere",
            fix="copy the file again from its origin, or save it as PNG",
        ) from error


def _brightness(image: Image.Image) -> NDArray[np.float32] | NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):  # 16 bits and more
        values = np.asarray(image, np.float32)
        return np.asarray(values / max(float(values.max(initial=0)), 1.0) * 255, np.float32)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = np.asarray(image.convert("RGBA"))
        opacity = layers[..., 3]
        seen = np.asarray(Image.fromarray(layers[..., :3]).convert("L"))
        drawn = seen[opacity > 0]
        # All of one colour: then what tells lesion from skin is where that colour is.
        if opacity.min() < 255 and (not drawn.size or drawn.min() == drawn.max()):
            return opacity
        return np.where(opacity >= 128, seen, np.uint8(0))
    return np.asarray(image.convert("L"))


def _two_values(values: NDArray[np.float32] | NDArray[np.uint8], path: Path) -> Mask:
    low, high = values.min(), values.max()
    if low == high:
        return np.full(values.shape, low > 0)
    lesion = values == high
    if np.count_nonzero(lesion) + np.count_nonzero(values == low) == values.size:
        return np.asarray(lesion)
    grey = np.count_nonzero((values >= 64) & (values < 192)) / values.size
    if high < 128 or grey > _GREY:
        raise InputError(
            "this is not a mask: "
            + ("it has several dark values and no white" if high < 128 else "most of it is grey"),
            where=path,
            expected="two values, white on the lesion and black elsewhere",
            fix="save the mask as a black and white PNG, or leave the photo without a mask",
        )
    return np.asarray(values >= 128)


def _looks_inverted(mask: Mask) -> bool:
    """Whether most of the frame is lesion, and more of it than of the middle (a half of each side).

    Of the published masks none does, and 99 of 100 would if black and white were swapped.
    """
    height, width = mask.shape
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    frame = float(np.concatenate(edges).mean())
    if frame < _FRAME:
        return False
    middle = mask[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return frame > float(middle.mean())


def _at_size(mask: Mask, size: tuple[int, int], path: Path) -> Mask:
    height, width = mask.shape
    wanted = size[0] * width / size[1]  # the height that this width has at the photo's aspect
    if abs(wanted - height) > max(1.0, _ASPECT * height):
        raise InputError(
            "the mask does not fit its photo",
            where=path,
            expected=f"{size[1]} by {size[0]} pixels as the photo, or the same aspect; it has "
            f"{width} by {height}",
            fix="export the mask at the size of the photo, neither turned nor cropped",
        )
    resized = Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(resized, np.bool_)


def _require(paths: Sequence[Path]) -> None:
    gone = [path for path in paths if not path.is_file()]
    if gone:
        raise InputError(
            f"{len(gone)} of {len(paths)} masks are not on disk",
            where=gone[0] if len(gone) == 1 else f"{gone[0]} and others",
            expected="the masks where they lay when they were imported",
            fix="bring them back, or import again from where they are now",
        )
