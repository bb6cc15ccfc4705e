"""Mask files of every kind that people hand in, and the published ones."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutis.data.masks import Mask, mask_pixels, read_mask
from cutis.data.sources import read_source
from cutis.errors import InputError

HEIGHT, WIDTH = 48, 64
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
LESION = np.hypot(ROWS - 20, COLUMNS - 30) < 12
BYTES = LESION.astype(np.uint8)


def saved(folder: Path, image: Image.Image, name: str = "mask.png", **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def palette() -> Image.Image:
    image = Image.fromarray(BYTES)
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def rgba(colour: np.ndarray, opacity: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([colour] * 3 + [opacity]).astype(np.uint8))


FULL = np.full(LESION.shape, 255)
KINDS = {
    "0 and 1": lambda: Image.fromarray(BYTES),
    "0 and 255": lambda: Image.fromarray(BYTES * 255),
    "another pair": lambda: Image.fromarray(BYTES * 90 + 7),
    "1 bit": lambda: Image.fromarray(LESION),
    "palette": palette,
    "16 bits": lambda: Image.fromarray(BYTES.astype(np.uint16) * 65535),
    "16 bits, 0 and 1": lambda: Image.fromarray(BYTES.astype(np.uint16)),
    "float": lambda: Image.fromarray(BYTES.astype(np.float32)),
    "RGB": lambda: Image.fromarray(np.dstack([BYTES * 255] * 3)),
    "red": lambda: Image.fromarray(np.dstack([BYTES * 255, BYTES * 0, BYTES * 0])),
    "opaque RGBA": lambda: rgba(BYTES * 255, FULL),
    "black on nothing": lambda: rgba(BYTES * 0, BYTES * 255),
    "white on nothing": lambda: rgba(FULL, BYTES * 255),
    "white but clear beside": lambda: rgba(
        np.where(COLUMNS < 50, BYTES * 255, 255), np.where(COLUMNS < 50, 255, 0)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_lesion(kind: str, tmp_path: Path) -> None:
    suffix = ".tiff" if kind == "float" else ".png"
    found = read_mask(saved(tmp_path, KINDS[kind](), f"mask{suffix}"), LESION.shape)
    assert found.dtype == np.bool_
    assert np.array_equal(found, LESION)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_dirt_is_cleaned(quality: int, tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(BYTES * 255), "mask.jpg", quality=quality)
    assert len(np.unique(np.asarray(Image.open(path)))) > 10
    assert np.count_nonzero(read_mask(path) ^ LESION) <= 12


@pytest.mark.parametrize(("value", "area"), [(0, 0), (255, HEIGHT * WIDTH), (1, HEIGHT * WIDTH)])
def test_empty_and_full_masks_are_valid(value: int, area: int, tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.full(LESION.shape, value, np.uint8)))
    assert read_mask(path, LESION.shape).sum() == area


def test_two_lesions_are_valid(tmp_path: Path) -> None:
    both = LESION | (np.hypot(ROWS - 40, COLUMNS - 58) < 5)
    assert np.array_equal(read_mask(saved(tmp_path, Image.fromarray(both))), both)


def border(share: float) -> Mask:
    """A lesion that reaches over the left edge and covers this share of the columns."""
    return (share * WIDTH + 6 * np.sin(ROWS / 7)) > COLUMNS


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8, 0.9])
def test_a_lesion_beyond_the_frame_is_not_taken_for_inverted(share: float, tmp_path: Path) -> None:
    assert read_mask(saved(tmp_path, Image.fromarray(border(share)))).any()


@pytest.mark.parametrize("name", ["mask.png", "mask.jpg"])
def test_an_inverted_mask_is_refused(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(255 - BYTES * 255), name)
    with pytest.raises(InputError, match="inverted") as refused:
        read_mask(path)
    assert refused.value.where == str(path)
    assert "swap black and white" in str(refused.value)


def test_a_mask_of_another_size_is_brought_to_the_photo(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(LESION))
    twice = read_mask(path, (2 * HEIGHT, 2 * WIDTH))
    assert np.array_equal(twice, LESION.repeat(2, axis=0).repeat(2, axis=1))
    assert read_mask(path, (HEIGHT + 1, WIDTH)).shape == (HEIGHT + 1, WIDTH)


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (HEIGHT + 2, WIDTH), (48, 48)])
def test_a_mask_of_another_aspect_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(LESION))
    with pytest.raises(InputError, match="does not fit its photo") as refused:
        read_mask(path, size)
    assert f"{size[1]} by {size[0]} pixels" in str(refused.value)
    assert "64 by 48" in str(refused.value)


def test_exif_orientation_is_obeyed_as_for_photos(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(BYTES * 255), exif=exif)
    assert np.array_equal(read_mask(path, (WIDTH, HEIGHT)), np.rot90(LESION, -1))


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    photo = saved(tmp_path, Image.fromarray(noise.integers(60, 200, (32, 32), np.uint8)))
    with pytest.raises(InputError, match="most of it is grey"):
        read_mask(photo)
    labels = saved(tmp_path, Image.fromarray(noise.integers(0, 4, (32, 32), np.uint8)))
    with pytest.raises(InputError, match="several dark values"):
        read_mask(labels)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="cannot be read"):
        read_mask(tmp_path / "text.png")
    whole = saved(tmp_path, Image.fromarray(LESION), "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        read_mask(tmp_path / "half.png")
    with pytest.raises(InputError, match="missing"):
        read_mask(tmp_path / "none.png")


def test_mask_pixels_are_stretched_kept_and_made_anew_when_a_file_changes(tmp_path: Path) -> None:
    other = np.roll(LESION, 20, axis=1)
    paths = [saved(tmp_path, Image.fromarray(m), f"{n}.png") for n, m in enumerate((LESION, other))]
    cache = tmp_path / "cache"
    pixels = mask_pixels(paths, ["a", "b"], 32, cache)
    assert pixels.shape == (2, 32, 32)
    assert set(np.unique(pixels)) == {0, 255}
    assert pixels.mean(axis=(1, 2)) / 255 == pytest.approx([LESION.mean()] * 2, abs=0.01)
    files = list(cache.iterdir())
    mask_pixels(paths, ["a", "b"], 32, cache)
    assert list(cache.iterdir()) == files
    saved(tmp_path, Image.fromarray(other), "0.png")
    os.utime(paths[0], (1, 1))
    assert np.array_equal(*mask_pixels(paths, ["a", "b"], 32, cache))


def test_mask_pixels_name_what_is_gone_and_check_sizes(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(LESION))
    with pytest.raises(InputError, match="1 of 2 masks are not on disk"):
        mask_pixels([path, tmp_path / "gone.png"], ["a", "b"], 32, tmp_path)
    with pytest.raises(InputError, match="does not fit its photo"):
        mask_pixels([path], ["a"], 32, tmp_path, sizes=[(40, 40)])
    assert mask_pixels([path], ["a"], 32, tmp_path, sizes=[(2 * HEIGHT, 2 * WIDTH)]).any()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "masks", "full", "over_half"),
    [("ham10000", 10015, 2, 1246), ("isic2017", 2000, 0, 167), ("ph2", 200, 0, 43)],
)
def test_published_masks_are_all_read(
    real_data: Path, name: str, masks: int, full: int, over_half: int
) -> None:
    rows = read_source(real_data / name).rows
    shares = []
    for photo, mask in zip(rows["path"], rows["mask"], strict=True):
        with Image.open(photo) as image:
            shares.append(read_mask(Path(mask), (image.height, image.width)).mean())
    found = np.array(shares)
    assert found.size == masks
    assert (found == 1).sum() == full
    assert (found == 0).sum() == 0
    assert (found > 0.5).sum() == over_half


@pytest.mark.real
@pytest.mark.parametrize("name", ["ham10000", "isic2017", "ph2"])
def test_published_masks_have_two_values_and_their_photos_size(real_data: Path, name: str) -> None:
    rows = read_source(real_data / name).rows
    for photo, mask in zip(rows["path"], rows["mask"], strict=True):
        with Image.open(photo) as image, Image.open(mask) as drawn:
            assert drawn.size == image.size
            assert drawn.mode == "1"
