"""Photos from strangers: what is refused before decoding, and what is left of the others."""

import io
import struct
import sys
import zlib
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cutis.app import intake
from cutis.app.errors import AppError
from cutis.app.intake import PREVIEW_SIDE, accept_photo
from cutis.app.settings import Settings
from cutis.preprocessing import decode

from .conftest import encoded, skin

LIMITS = Settings(workers=1)


def refusal(data: bytes, limits: Settings = LIMITS) -> AppError:
    with pytest.raises(AppError) as caught:
        accept_photo(data, limits)
    return caught.value


def png_header(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that claims a size; without pixels nothing of it can be decoded."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_photos_are_taken(kind: str) -> None:
    accepted = accept_photo(encoded(kind), LIMITS)
    assert (accepted.photo.width, accepted.photo.height) == (80, 60)
    shown = decode(accepted.photo.preview).astype(int)
    assert abs(shown - decode(encoded(kind)).astype(int)).mean() < 6


def test_large_photos_are_kept_small() -> None:
    accepted = accept_photo(encoded(height=700, width=1400), LIMITS)
    assert (accepted.photo.width, accepted.photo.height) == (PREVIEW_SIDE, PREVIEW_SIDE // 2)
    assert decode(accepted.photo.preview).shape == (PREVIEW_SIDE // 2, PREVIEW_SIDE, 3)


def test_nothing_but_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "SECRET CAMERA"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)  # latitude
    data = encoded(
        "JPEG",
        exif=exif,
        xmp=b"<x:xmpmeta>SECRET XMP</x:xmpmeta>",
        comment=b"SECRET COMMENT",
        icc_profile=b"SECRET PROFILE" * 20,
    )
    assert data.count(b"SECRET") > 3
    photo = accept_photo(data, LIMITS).photo
    assert b"SECRET" not in photo.preview
    with Image.open(io.BytesIO(photo.preview)) as image:
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert image.size == (60, 80) == (photo.width, photo.height)  # upright


def test_text_in_a_png_is_gone_too() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "SECRET")
    assert b"SECRET" not in accept_photo(encoded("PNG", pnginfo=info), LIMITS).photo.preview


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_a_photo"),
        (b"#!/bin/sh\nrm -rf /\n", "not_a_photo"),
        (b"%PDF-1.7", "wrong_type"),
        (encoded("GIF"), "wrong_type"),
        (encoded("TIFF"), "wrong_type"),
        (encoded("BMP"), "wrong_type"),
        (encoded("JPEG")[:600], "damaged"),
        (encoded("PNG")[:600], "damaged"),
        (b"\xff\xd8\xff" + b"\0" * 400, "damaged"),
        (encoded("JPEG", height=20), "too_small"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 100, "heic"),
        (png_header(80, 60), "damaged"),
    ],
)
def test_what_is_refused(data: bytes, code: str) -> None:
    assert refusal(data).code == code


def test_a_wrong_kind_is_named() -> None:
    assert refusal(encoded("TIFF")).values == {"type": "TIFF"}


def test_a_large_file_is_refused_unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_open", None)
    error = refusal(encoded() + b"\0" * 2_000_000, Settings(workers=1, max_upload_mb=2))
    assert (error.code, error.status_code) == ("too_large", 413)


@pytest.mark.parametrize(("width", "height"), [(8000, 6000), (60_000, 60_000), (2**31 - 1, 40)])
def test_a_bomb_is_refused_by_its_header(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "decode", None)
    assert refusal(png_header(width, height, b"\0" * 1_000_000)).code == "too_many_pixels"


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    """Each scan is decoded over the whole picture: a small file holds a core for minutes."""
    data = encoded("JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    assert accept_photo(data, LIMITS)
    assert refusal(data[:-2] + data[start:-2] * 300 + b"\xff\xd9").code == "damaged"


def test_heic_is_taken_where_its_reader_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for pillow-heif, whose files hold a PNG behind their first twelve bytes."""
    start = b"\0\0\0\x18ftypheic"

    def opened(file: io.BytesIO, name: str) -> Image.Image:
        file.seek(len(start))
        return Image.open(io.BytesIO(file.read()))

    reader = ModuleType("pillow_heif")
    reader.register_heif_opener = lambda: Image.register_open(  # type: ignore[attr-defined]
        "HEIF", opened, lambda prefix: prefix.startswith(start)
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", reader)
    monkeypatch.setattr(intake, "find_spec", lambda name: reader)
    accepted = accept_photo(start + encoded("PNG"), LIMITS)
    assert accepted.data.startswith(b"\xff\xd8\xff")  # what the networks' decoder reads
    assert abs(decode(accepted.data).astype(int) - skin()).mean() < 6


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_damage_anywhere_is_refused_or_survived(data: st.DataObject) -> None:
    """Bytes are changed, cut and doubled: there is a photo or an AppError, nothing else."""
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP"]))
    spoilt = bytearray(encoded(kind, height=40, width=40))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(4, len(spoilt) - 1))
        spoilt[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(12, len(spoilt)))
    try:
        accepted = accept_photo(bytes(spoilt[:cut]), LIMITS)
    except AppError:
        return
    assert decode(accepted.photo.preview).shape[2] == 3
