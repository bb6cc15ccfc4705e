"""The one way from a photo's bytes to a network's input: decode, scale, resize, normalise.

Training, evaluation, exported models and the app all pass through here, so that the pixels that
were judged are the pixels that people get.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from cutis.errors import PhotoError
from cutis.records import Preprocessing

MAX_PIXELS = 89_000_000
"""Larger photos are refused before decoding: about 270 MB of RGB; Pillow warns from there on."""

# Phones write MPO: a JPEG followed by further pictures, of which the first is the photo.
_JPEG = ("JPEG", "MPO")
FORMATS = (*_JPEG, "PNG", "BMP", "WEBP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

SCALINGS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "zero_one": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "minus_one_one": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and deviation of RGB in [0, 1], by the name that recipes use."""


class SharedPhoto:
    """A photo for several readers: decoded once for all whose sides come to the same scale.

    The decoded arrays are shared too, so nobody may write into them.
    """

    def __init__(self, photo: Path | bytes) -> None:
        self.photo = photo
        self._decoded: dict[tuple[int, int], NDArray[np.uint8]] = {}

    def decode(self, at_least: int | None) -> NDArray[np.uint8]:
        """As `decode`, and raises as it does."""
        with _opened(self.photo, at_least) as image:
            size = image.size  # at the scale of which it will be decoded
            if size not in self._decoded:
                self._decoded[size] = np.asarray(_upright_rgb(image))
            return self._decoded[size]


Photo = Path | bytes | SharedPhoto
"""A file, a file's bytes, or either of them for several readers."""


def decode(photo: Photo, *, at_least: int | None = None) -> NDArray[np.uint8]:
    """Decodes a photo to upright RGB of shape (height, width, 3).

    Args:
        at_least: the side that the caller resizes to. JPEG then decodes at the smallest of the
            scales 1, 1/2, 1/4 and 1/8 whose shorter side is not below it (libjpeg's scaled DCT),
            which costs a fraction of the time. None decodes at full size.

    EXIF orientation is obeyed; CMYK, palette, 16-bit and grey photos are converted; alpha is laid
    on white. Raises PhotoError for what is not a photo, is damaged, or is too large.
    """
    if isinstance(photo, SharedPhoto):
        return photo.decode(at_least)
    with _opened(photo, at_least) as image:
        return np.asarray(_upright_rgb(image))


@contextmanager
def _opened(photo: Path | bytes, at_least: int | None) -> Iterator[ImageFile.ImageFile]:
    """A photo ready to be decoded at its scale; errors, of decoding too, become PhotoErrors."""
    where = photo if isinstance(photo, Path) else None
    try:
        with Image.open(photo if isinstance(photo, Path) else io.BytesIO(photo)) as image:
            _check_format(image, where)
            if at_least is not None and image.format in _JPEG:
                image.draft(None, (at_least, at_least))
            yield image
    except UnidentifiedImageError as error:
        raise PhotoError(
            "this is not a photo",
            where=where,
            expected="a JPEG, PNG, BMP, WebP or TIFF file",
            fix="remove the file or save the photo again",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(where) from error
    except PermissionError as error:
        raise PhotoError(
            "no permission to read the photo", where=where, fix="make the file readable"
        ) from error
    except FileNotFoundError as error:
        raise PhotoError(
            "the photo is missing", where=where, fix="put the file back or import again"
        ) from error
    except (OSError, SyntaxError, ValueError, LookupError, EOFError, struct.error) as error:
        raise PhotoError(
            f"the photo is damaged ({error})",
            where=where,
            fix="copy the file again from its origin, or remove it",
        ) from error


def resize(rgb: NDArray[np.uint8], size: int, fit: str = "stretch") -> NDArray[np.uint8]:
    """Resizes (height, width, 3) to (size, size, 3) with an antialiasing bilinear filter.

    `stretch` gives up the aspect, `crop` the borders of the longer side, `pad` fills the shorter
    side with black.
    """
    image = Image.fromarray(rgb)
    if fit == "stretch":
        resized = image.resize((size, size), Image.Resampling.BILINEAR)
    elif fit == "crop":
        resized = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    elif fit == "pad":
        resized = ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR)
    else:
        raise ValueError(f"fit is 'stretch', 'crop' or 'pad', not {fit!r}")
    return np.asarray(resized)


def load(photo: Photo, settings: Preprocessing) -> NDArray[np.uint8]:
    """A photo's pixels at the network's input size, (size, size, 3) uint8.

    Settings with a `lesion` need its mask: `cutis.lesion.load_lesion`.
    """
    if settings.lesion != "none":
        raise ValueError(f"lesion = {settings.lesion!r} needs a mask: cutis.lesion.load_lesion")
    return resize(decode(photo, at_least=settings.size), settings.size, settings.fit)


def thumbnail(photo: Path, side: int, *, square: bool = True) -> bytes:
    """A small JPEG for a page, its longer side at most `side`, or cropped to a square of it.

    Raises PhotoError as `decode` does.
    """
    image = Image.fromarray(decode(photo, at_least=side))
    if square:
        image = ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
    else:
        image.thumbnail((side, side))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=80)
    return written.getvalue()


def normalise(pixels: NDArray[np.uint8], settings: Preprocessing) -> NDArray[np.float32]:
    """(batch, height, width, 3) uint8 to (batch, 3, height, width): (x / 255 - mean) / std.

    A fourth channel, the lesion's mask, becomes x / 255.
    """
    # Turned while still bytes and then changed in place: several times faster than the formula.
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32)
    planes[:, :3] -= np.asarray(settings.mean, np.float32)[:, None, None] * 255
    planes[:, :3] /= np.asarray(settings.std, np.float32)[:, None, None] * 255
    planes[:, 3:] /= 255
    return planes


def _check_format(image: ImageFile.ImageFile, where: Path | None) -> None:
    if image.format not in FORMATS:
        raise UnidentifiedImageError(f"format {image.format}")
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(where)


def _too_large(where: Path | None) -> PhotoError:
    return PhotoError(
        "the photo is too large to decode safely",
        where=where,
        expected=f"at most {MAX_PIXELS // 1_000_000} megapixels",
        fix="save it at a smaller size",
    )


def _upright_rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _to_eight_bits(upright)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return upright.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips 16-bit values at 255 instead of scaling them.
    values = np.asarray(image, np.float64)
    top = 1.0 if image.mode == "F" and values.max(initial=0) <= 1 else 65535.0
    return Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8))
