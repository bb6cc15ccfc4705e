"""What becomes of a photo with a mask: the rule of fallback, and the four ways to use it."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cutis.lesion import (
    EMPTY,
    MARGIN,
    PIECES,
    WHOLE,
    LesionMasks,
    decoded_side,
    lesion_view,
    load_lesion,
    mask_at_size,
    mask_without_specks,
    usable_mask,
    usable_probabilities,
)
from cutis.preprocessing import decode, load, normalise, resize
from cutis.records import Preprocessing

WAYS = ("mask", "crop", "channel")


def settings(lesion: str, fit: str = "stretch", size: int = 32) -> Preprocessing:
    return Preprocessing.model_validate({"size": size, "fit": fit, "lesion": lesion})


def disc(height: int, width: int, row: float, column: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    inside: NDArray[np.bool_] = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return inside


def noise(height: int = 90, width: int = 120) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)


def as_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=95)
    return file.getvalue()


def test_an_enlarged_mask_keeps_place_share_and_a_smooth_outline() -> None:
    small = disc(32, 32, 12, 20, 7).astype(np.float32)
    mask = mask_at_size(small, 90, 120, 0.5)
    assert mask.shape == (90, 120)
    assert mask.mean() == pytest.approx(small.mean(), abs=0.01)
    rows, columns = np.nonzero(mask)
    assert rows.mean() == pytest.approx((12 + 0.5) / 32 * 90 - 0.5, abs=0.5)
    assert columns.mean() == pytest.approx((20 + 0.5) / 32 * 120 - 0.5, abs=0.5)
    # nearest would leave steps of 90 / 32 rows: the same few widths again and again
    assert len(set(mask.sum(axis=1).tolist())) > 15


def test_the_threshold_itself_is_lesion() -> None:
    flat = np.full((8, 8), 0.25, np.float32)
    assert mask_at_size(flat, 20, 30, 0.25).all()
    assert not mask_at_size(flat, 20, 30, 0.26).any()


def test_specks_are_no_lesion_but_a_second_one_is() -> None:
    chances = np.zeros((32, 32), np.float32)
    chances[8:18, 8:18] = 0.9
    chances[:4, :4] = 0.9  # 16 of 100 pixels
    chances[22:29, 20:27] = 0.9  # 49
    mask = mask_at_size(chances, 64, 64, 0.5)
    assert not mask[:10, :10].any()
    assert mask[24:28, 24:28].all()
    assert mask[48:52, 46:50].all()
    own = mask_without_specks(chances, 0.5)
    assert (own.shape, own.sum()) == ((32, 32), 149)
    assert not own[:4, :4].any()
    assert not mask_without_specks(chances, 0.95).any()
    assert not mask_at_size(np.zeros((32, 32), np.float32), 40, 40, 0.5).any()


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((64, 64), np.bool_), EMPTY),
        (disc(64, 64, 30, 30, 0.9), EMPTY),  # one pixel
        (np.ones((64, 64), np.bool_), WHOLE),
        (~disc(64, 64, 30, 30, 3), WHOLE),
        (disc(64, 64, 16, 16, 8) | disc(64, 64, 48, 48, 8), PIECES),
        (disc(64, 64, 16, 16, 12) | disc(64, 64, 48, 48, 6.5), PIECES),  # over a quarter
        (disc(64, 64, 30, 30, 10), None),
        (disc(64, 64, 16, 16, 12) | disc(64, 64, 48, 48, 5), None),  # a speck
        (disc(64, 64, 30, 30, 30), None),
    ],
)
def test_what_is_no_lesion_is_not_used(mask: NDArray[np.bool_], reason: str | None) -> None:
    usable, said = usable_mask(mask)
    assert said == reason
    assert (usable is None) == (reason is not None)


def test_specks_are_dropped_and_corners_connect() -> None:
    lesion = disc(64, 64, 20, 20, 12)
    usable, _ = usable_mask(lesion | disc(64, 64, 50, 50, 4))
    assert usable is not None
    assert (usable == lesion).all()
    diagonal = np.zeros((64, 64), np.bool_)
    diagonal[10:20, 10:20] = diagonal[20:30, 20:30] = True
    usable, reason = usable_mask(diagonal)
    assert reason is None
    assert usable is not None
    assert (usable == diagonal).all()


def test_probabilities_lose_their_specks_and_keep_their_slopes() -> None:
    slope = np.clip(1.2 - np.hypot(*np.mgrid[-16:16, -20:12]) / 10, 0, 1).astype(np.float32)
    with_speck = slope.copy()
    with_speck[1:3, 1:3] = 0.9
    usable, reason = usable_probabilities(with_speck, 0.5)
    assert reason is None
    assert usable is not None
    assert usable[1:3, 1:3].max() == 0
    assert np.abs(usable - slope).max() < 0.5 / 255 + 1e-6


def test_kept_probabilities_give_what_fresh_ones_give() -> None:
    fresh = np.random.default_rng(0).random((32, 32)).astype(np.float32) * 0.3
    fresh += disc(32, 32, 16, 16, 8) * np.float32(0.6)
    kept = LesionMasks(np.round(fresh[None] * np.float32(255)).astype(np.uint8), 0.5, "key")
    one, other = usable_probabilities(fresh, 0.5)[0], usable_probabilities(kept[0], 0.5)[0]
    assert one is not None
    assert other is not None
    assert (one == other).all()
    assert (one != fresh).any()


def test_reasons_stand_in_the_order_of_the_photos() -> None:
    masks = np.stack([np.zeros((32, 32)), disc(32, 32, 16, 16, 8), np.ones((32, 32))]) * 255
    assert LesionMasks(masks.astype(np.uint8), 0.5, "key").reasons() == [EMPTY, None, WHOLE]


def test_mask_blackens_what_is_not_lesion() -> None:
    rgb, mask = noise(), disc(90, 120, 40, 60, 25)
    seen = lesion_view(rgb, mask, settings("mask"))
    assert (seen == resize(np.where(mask[..., None], rgb, 0).astype(np.uint8), 32)).all()
    assert (seen[:4, :4] == 0).all()
    assert seen[14, 16].min() > 0


@pytest.mark.parametrize(
    ("row", "column", "radius"), [(45, 60, 20), (25, 30, 20), (70, 100, 15), (45, 60, 5)]
)
def test_crop_is_a_square_with_a_margin_inside_the_photo(
    row: int, column: int, radius: int
) -> None:
    mask = disc(90, 120, row, column, radius)
    rows, columns = np.mgrid[:90, :120]
    # a photo whose colours say where each pixel was
    rgb = np.dstack([rows, columns, mask * 255]).astype(np.uint8)
    side = max(round((2 * radius + 1) * (1 + 2 * MARGIN)), 30)
    seen = lesion_view(rgb, mask, settings("crop", size=side))
    assert (np.ptp(seen[..., 0]), np.ptp(seen[..., 1])) == (side - 1, side - 1)
    assert seen[..., 2].sum() == rgb[..., 2].sum()  # all of the lesion
    top, left = int(seen[0, 0, 0]), int(seen[0, 0, 1])
    assert top == pytest.approx(np.clip(row - side / 2, 0, 90 - side), abs=1)
    assert left == pytest.approx(np.clip(column - side / 2, 0, 120 - side), abs=1)


def test_a_lesion_longer_than_the_photo_is_high_is_not_cut() -> None:
    mask = np.zeros((60, 120), np.bool_)
    mask[20:40, 5:110] = True
    rgb = np.dstack([mask, mask, mask]).astype(np.uint8) * np.uint8(255)
    seen = lesion_view(rgb, mask, settings("crop", fit="pad", size=120))
    assert (seen > 127).sum() == (rgb > 127).sum()


def test_channel_adds_the_mask_and_changes_no_colour() -> None:
    rgb, mask = noise(), disc(90, 120, 40, 60, 25)
    seen = lesion_view(rgb, mask, settings("channel"))
    assert seen.shape == (32, 32, 4)
    assert (seen[..., :3] == resize(rgb, 32)).all()
    assert seen[0, 0, 3] == 0
    assert seen[14, 16, 3] == 255
    assert seen[..., 3].mean() == pytest.approx(255 * mask.mean(), rel=0.05)


def test_the_fourth_channel_is_fitted_as_the_photo_is() -> None:
    white, mask = np.full((40, 80, 3), 255, np.uint8), np.ones((40, 80), np.bool_)
    padded = lesion_view(white, mask, settings("channel", "pad"))
    assert (padded[..., 3] == padded[..., 0]).all()
    assert padded[0, 0, 3] == 0
    assert (lesion_view(white, None, settings("channel", "pad")) == padded).all()


@pytest.mark.parametrize("lesion", ["none", *WAYS])
def test_without_a_usable_mask_the_whole_photo_is_the_lesion(lesion: str) -> None:
    rgb = noise()
    seen = lesion_view(rgb, None, settings(lesion))
    assert (seen[..., :3] == resize(rgb, 32)).all()
    if lesion == "channel":
        assert (seen[..., 3] == 255).all()


@pytest.mark.parametrize("lesion", WAYS)
def test_a_photo_is_loaded_by_its_probabilities(lesion: str) -> None:
    photo, chosen = as_jpeg(noise(360, 480)), settings(lesion)
    probabilities = disc(64, 64, 30, 30, 12).astype(np.float32)
    seen, reason = load_lesion(photo, chosen, probabilities, 0.5)
    assert reason is None
    rgb = decode(photo, at_least=decoded_side(chosen))
    mask = mask_at_size(probabilities, *rgb.shape[:2], 0.5)
    assert (seen == lesion_view(rgb, mask, chosen)).all()
    whole, reason = load_lesion(photo, chosen, np.zeros((64, 64), np.float32), 0.5)
    assert reason == EMPTY
    assert (whole == lesion_view(rgb, None, chosen)).all()
    assert (whole != seen).any()


@pytest.mark.parametrize("lesion", WAYS)
def test_a_mask_that_vanishes_in_a_smaller_photo_is_none(lesion: str) -> None:
    chances = np.zeros((128, 128), np.float32)
    chances[66, 40:70] = 0.6  # one pixel high and between those that 48 pixels read
    small = noise(48, 48)
    photo = as_jpeg(small)
    assert usable_probabilities(chances, 0.5)[1] is None
    pixels, reason = load_lesion(photo, settings(lesion), chances, 0.5)
    assert reason == EMPTY
    assert np.array_equal(pixels, lesion_view(decode(photo), None, settings(lesion)))


def test_a_crop_is_decoded_large_enough_to_fill_the_input() -> None:
    photo = as_jpeg(noise(768, 1024))
    assert decode(photo, at_least=decoded_side(settings("crop", size=64))).shape[0] // 3 >= 64
    assert decode(photo, at_least=decoded_side(settings("mask", size=64))).shape[0] == 96


def test_pixels_of_a_photo_with_a_lesion_need_its_mask(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs a mask: cutis\.lesion\.load_lesion"):
        load(tmp_path / "photo.jpg", settings("crop"))


def test_the_mask_is_normalised_to_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 4), dtype=np.uint8)
    planes = normalise(pixels, settings("channel"))
    assert planes.shape == (2, 4, 8, 8)
    assert np.abs(planes[:, 3] - pixels[..., 3] / 255).max() < 1e-6
    assert (planes[:, :3] == normalise(pixels[..., :3], settings("none"))).all()


@pytest.mark.real
def test_true_masks_of_lesions_are_used(real_data: Path) -> None:
    files = sorted((real_data / "ham10000").rglob("*_segmentation.png"))[::50]
    assert len(files) > 100
    unused = 0
    for file in files:
        mask = Image.open(file).convert("L").resize((128, 128), Image.Resampling.BILINEAR)
        unused += usable_mask(np.asarray(mask) >= 128)[0] is None
    assert unused <= 0.02 * len(files)
