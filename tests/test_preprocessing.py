"""From bytes to pixels: every kind of photo file, upright, in eight-bit RGB, or a clear refusal."""

import errno
import io
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cutis import preprocessing
from cutis.errors import PhotoError
from cutis.preprocessing import SharedPhoto, decode, load, normalise, resize
from cutis.records import Preprocessing

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def quarters(width: int = 64, height: int = 32) -> Image.Image:
    """Red, green above; blue, white below: every turn and mirroring looks different."""
    pixels = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)


def corners(rgb: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    return [tuple(rgb[row, column]) for row in (2, -3) for column in (2, -3)]


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("as_file", [True, False])
def test_every_format_from_file_and_bytes(tmp_path: Path, form: str, as_file: bool) -> None:
    lossless = {"lossless": True} if form == "WEBP" else {"quality": 100, "subsampling": 0}
    content = encoded(quarters(), form, **(lossless if form in ("WEBP", "JPEG") else {}))
    path = tmp_path / "photo.any"
    path.write_bytes(content)
    rgb = decode(path if as_file else content)
    assert rgb.shape == (32, 64, 3)
    assert rgb.dtype == np.uint8
    assert np.abs(np.subtract(corners(rgb), [RED, GREEN, BLUE, WHITE], dtype=int)).max() <= 3


EXIF_CORNERS = {
    1: [RED, GREEN, BLUE, WHITE],
    2: [GREEN, RED, WHITE, BLUE],
    3: [WHITE, BLUE, GREEN, RED],
    4: [BLUE, WHITE, RED, GREEN],
    5: [RED, BLUE, GREEN, WHITE],
    6: [BLUE, RED, WHITE, GREEN],
    7: [WHITE, GREEN, BLUE, RED],
    8: [GREEN, WHITE, RED, BLUE],
}


@pytest.mark.parametrize("orientation", EXIF_CORNERS)
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_exif_orientation_is_obeyed(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb = decode(encoded(quarters(), form, exif=exif))
    assert rgb.shape == ((32, 64, 3) if orientation < 5 else (64, 32, 3))
    expected = EXIF_CORNERS[orientation]
    assert np.abs(np.subtract(corners(rgb), expected, dtype=int)).max() < 40


def test_cmyk() -> None:
    rgb = decode(encoded(quarters().convert("CMYK"), "JPEG", quality=100))
    assert rgb.shape == (32, 64, 3)
    # JPEG shifts colours of CMYK a little; red stays red and white stays white.
    assert np.abs(np.subtract(corners(rgb), [RED, GREEN, BLUE, WHITE], dtype=int)).max() < 40


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_not_clipped(suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    for values in (ramp, np.stack([ramp] * 3, axis=-1)):
        rgb = decode(cv2.imencode(suffix, values)[1].tobytes())
        assert np.abs(rgb[0, :, 0].astype(int) - np.arange(256)).max() <= 1
        assert (rgb[..., 0] == rgb[..., 2]).all()


@pytest.mark.parametrize("top", [1.0, 65535.0])
def test_floating_point_tiff(top: float) -> None:
    values = np.linspace(0, top, 256, dtype=np.float32)[None]
    rgb = decode(encoded(Image.fromarray(values), "TIFF"))
    assert np.abs(rgb[0, :, 1].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("mode", ["P", "L", "1"])
def test_palette_and_grey(mode: str) -> None:
    rgb = decode(encoded(quarters().convert(mode), "PNG"))
    assert rgb.shape == (32, 64, 3)
    if mode == "1":
        assert set(np.unique(rgb)) == {0, 255}
    elif mode == "L":
        assert corners(rgb) == [(76,) * 3, (150,) * 3, (29,) * 3, WHITE]
    else:
        assert corners(rgb) == [RED, GREEN, BLUE, WHITE]


def test_transparency_is_laid_on_white() -> None:
    clear = quarters().convert("RGBA")
    clear.putalpha(Image.fromarray(np.repeat(np.uint8([[0, 255]]), 32, 0)).resize((64, 32), 0))
    assert corners(decode(encoded(clear, "PNG"))) == [WHITE, GREEN, WHITE, WHITE]
    palette = quarters().quantize(4, dither=Image.Dither.NONE)
    index = palette.getpixel((2, 2))
    assert corners(decode(encoded(palette, "PNG", transparency=index)))[0] == WHITE
    keyed = encoded(quarters(), "PNG", transparency=RED)
    assert corners(decode(keyed)) == [WHITE, GREEN, BLUE, WHITE]


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [(None, (480, 640)), (481, (480, 640)), (480, (480, 640)), (240, (240, 320)), (224, (240, 320)),
     (120, (120, 160)), (119, (120, 160)), (60, (60, 80)), (8, (60, 80))],
)  # fmt: skip
def test_scaled_decoding_keeps_the_shorter_side(
    at_least: int | None, shape: tuple[int, int]
) -> None:
    photo = encoded(quarters(640, 480), "JPEG")
    assert decode(photo, at_least=at_least).shape == (*shape, 3)
    assert decode(encoded(quarters(640, 480), "PNG"), at_least=at_least).shape == (480, 640, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_a_shared_photo_is_decoded_once_a_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path = tmp_path / "photo.any"
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(encoded(quarters(640, 480), form, exif=exif))
    sides = (224, None, 240, 100, 120, None, 481)
    alone = [decode(path, at_least=side) for side in sides]
    decoded = []
    upright = preprocessing._upright_rgb

    def counted(image: Image.Image) -> Image.Image:
        decoded.append(image.size)
        return upright(image)

    monkeypatch.setattr(preprocessing, "_upright_rgb", counted)
    shared = SharedPhoto(path)
    for side, expected in zip(sides, alone, strict=True):
        found = decode(shared, at_least=side)
        assert found.shape == expected.shape
        assert (found == expected).all()
        assert not found.flags.writeable
    assert len(decoded) == (3 if form == "JPEG" else 1)


def test_a_shared_photo_is_refused_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(quarters(640, 480), "JPEG")[:2000])
    for _ in range(2):
        with pytest.raises(PhotoError, match="the photo is damaged") as caught:
            decode(SharedPhoto(path), at_least=224)
        assert caught.value.where == str(path)
    with pytest.raises(PhotoError, match="this is not a photo"):
        load(SharedPhoto(b"nothing"), Preprocessing())


def test_phones_that_append_pictures_to_the_photo() -> None:
    photo = encoded(quarters(640, 480), "MPO", save_all=True, append_images=[quarters(64, 48)])
    assert decode(photo).shape == (480, 640, 3)
    assert decode(photo, at_least=224).shape == (240, 320, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_truncated_photo_is_damaged(tmp_path: Path, form: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), form)
    path = tmp_path / "photo"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PhotoError, match=r"(damaged|not a photo)(.|\n)*photo"):
        decode(path)


@pytest.mark.parametrize("content", [b"", b"this is text", b"GIF", encoded(quarters(), "GIF")])
def test_what_is_no_photo(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"this is not a photo(.|\n)*text\.jpg(.|\n)*JPEG, PNG"):
        decode(path)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    small = encoded(Image.new("RGB", (1, 1)), "PNG")
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = b"IHDR" + size + small[24:29]
    return small[:12] + header + zlib.crc32(header).to_bytes(4, "big") + small[33:]


@pytest.mark.parametrize("size", [(10_000, 8_901), (12_000, 10_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused_before_decoding(size: tuple[int, int]) -> None:
    # "error" turns Pillow's warning into an exception, as the test suite does; by default it only
    # warns and our own limit holds.
    with pytest.raises(PhotoError, match=r"too large to decode safely(.|\n)*89 megapixels"):
        decode(png_header(*size))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_limit_holds_without_pillows_warning() -> None:
    with pytest.raises(PhotoError, match="too large"):
        decode(png_header(12_000, 10_000))


def test_a_very_wide_photo_is_read() -> None:
    assert decode(encoded(Image.new("RGB", (20_000, 10)), "PNG")).shape == (10, 20_000, 3)


def test_missing_and_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhotoError, match=r"the photo is missing(.|\n)*nowhere\.jpg"):
        decode(tmp_path / "nowhere.jpg")

    def forbidden(*args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(preprocessing.Image, "open", forbidden)
    with pytest.raises(PhotoError, match="no permission to read the photo"):
        decode(tmp_path / "mine.jpg")


def test_a_folder_is_no_photo(tmp_path: Path) -> None:
    with pytest.raises(PhotoError):
        decode(tmp_path)


def test_fits() -> None:
    rgb = np.asarray(quarters(64, 32))
    assert resize(rgb, 16).shape == (16, 16, 3)
    assert corners(resize(rgb, 16)) == [RED, GREEN, BLUE, WHITE]
    assert corners(resize(rgb, 16, "crop")) == [RED, GREEN, BLUE, WHITE]
    padded = resize(rgb, 16, "pad")
    assert (padded[:4] == 0).all()
    assert (padded[-4:] == 0).all()
    assert tuple(padded[5, 1]) == RED
    with pytest.raises(ValueError, match="'stretch', 'crop' or 'pad', not 'squash'"):
        resize(rgb, 16, "squash")


def test_resizing_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, 16)[:, 2:-2].astype(int) - 127).max() < 20


def test_load_and_normalise() -> None:
    settings = Preprocessing(size=32, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    pixels = load(encoded(Image.new("RGB", (640, 480), (255, 128, 51)), "PNG"), settings)
    assert pixels.shape == (32, 32, 3)
    values = normalise(pixels[None], settings)
    assert values.shape == (1, 3, 32, 32)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    expected = [(255 / 255 - 0.5) / 0.5, (128 / 255 - 0.25) / 0.25, 51 / 255]
    assert values[0, :, 7, 9] == pytest.approx(expected, abs=1e-6)


def test_decoding_in_threads_leaves_the_warning_filters_alone() -> None:
    before = list(warnings.filters)
    photo = encoded(quarters(), "JPEG")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decode, [photo] * 64))
    assert list(warnings.filters) == before
