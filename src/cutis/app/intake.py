"""Photos from strangers: checked before they are decoded, then stripped to their pixels."""

import io
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from PIL import Image, ImageOps

from cutis.app.cases import Photo
from cutis.app.errors import Amount, AppError
from cutis.app.settings import MEGA, Settings
from cutis.preprocessing import decode

PREVIEW_SIDE = 1280
"""Longer side of the photo that is kept and shown, pixels."""
SMALLEST_SIDE = 32
"""Of a photo, pixels; in less there is nothing to see."""

_PREVIEW_QUALITY = 88
_JUDGED_QUALITY = 95  # of a JPEG made for judging, where the networks' decoder lacks the format
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHERS = {b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF"}

# libjpeg decodes every scan of a progressive JPEG over the whole picture: ten are usual, and a
# few thousand in a small file would hold a core for an hour.
_MOST_SCANS = 200


class Accepted(NamedTuple):
    """A photo that passed."""

    data: bytes  # for judging alone: it still holds what the camera wrote
    photo: Photo  # for keeping


def accept_photo(data: bytes, settings: Settings) -> Accepted:
    """Checks an uploaded file and makes the preview, which holds pixels and nothing else.

    The kind of file is told by its content alone. The preview is re-encoded from upright pixels,
    so that EXIF, GPS, XMP, colour profile, comments and thumbnail are gone. Raises AppError with
    `empty_file`, `too_large`, `heic`, `wrong_type`, `not_a_photo`, `too_many_pixels`, `too_small`
    or `damaged`.
    """
    if not data:
        raise AppError("empty_file")
    if len(data) > settings.photo_bytes:
        raise AppError("too_large", limit=Amount(settings.max_upload_mb, "unit.mb"))
    kind = photo_kind(data)
    if kind is None:
        other = next((name for start, name in _OTHERS.items() if data.startswith(start)), None)
        raise AppError("wrong_type", type=other) if other else AppError("not_a_photo")
    if kind not in photo_kinds():
        raise AppError("heic")
    try:
        _check_header(data, kind, settings)
        if kind == "HEIC":
            data = _as_jpeg(data)
        return Accepted(data, _preview(data))
    except AppError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(settings) from error
    except Exception as error:  # decoders fail in many ways on files that were made to break them
        raise AppError("damaged") from error


def photo_kind(data: bytes) -> str | None:
    """JPEG, PNG, WebP or HEIC by the first bytes; None for everything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "HEIC"
    return None


def photo_kinds() -> tuple[str, ...]:
    """The kinds that this installation takes; HEIC where pillow-heif is installed."""
    common = ("JPEG", "PNG", "WebP")
    return (*common, "HEIC") if find_spec("pillow_heif") else common


def _check_header(data: bytes, kind: str, settings: Settings) -> None:
    """Refuses by what stands in the file's header, with the decoder of this kind alone."""
    if kind == "JPEG" and data.count(b"\xff\xda") > _MOST_SCANS:
        raise AppError("damaged")
    with _open(data, kind) as image:
        width, height = image.size
    if width * height > settings.max_megapixels * MEGA:
        raise _too_many_pixels(settings)
    if min(width, height) < SMALLEST_SIDE:
        raise AppError("too_small")


def _too_many_pixels(settings: Settings) -> AppError:
    return AppError("too_many_pixels", limit=Amount(settings.max_megapixels, "unit.megapixels"))


def _open(data: bytes, kind: str) -> Image.Image:
    if kind == "HEIC":
        import_module("pillow_heif").register_heif_opener()
        return Image.open(io.BytesIO(data), formats=("HEIF",))
    return Image.open(io.BytesIO(data), formats=(kind.upper(),))


def _as_jpeg(data: bytes) -> bytes:
    with _open(data, "HEIC") as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return _jpeg(upright, _JUDGED_QUALITY)


def _preview(data: bytes) -> Photo:
    image = Image.fromarray(decode(data, at_least=PREVIEW_SIDE))
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return Photo(_jpeg(image, _PREVIEW_QUALITY), *image.size)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=quality)
    return written.getvalue()
