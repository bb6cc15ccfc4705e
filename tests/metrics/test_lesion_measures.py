"""Measures of a lesion on shapes whose values are known, and colours against OpenCV."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cutis.data.synthetic import draw_lesion
from cutis.errors import InputError
from cutis.metrics import lesion_measures as module
from cutis.metrics.lesion_colours import COLOURS, measure_colours, to_lab
from cutis.metrics.lesion_measures import MEASURE_TEXTS, LesionMeasures, measure_lesion

SIDE = 160
ANGLES = st.floats(0, np.pi)
Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]


def shape(inside: Shape, angle: float = 0.0, row: float = 80.3, column: float = 79.6) -> np.ndarray:
    """The shape turned by an angle, its origin at a place that is no pixel's middle."""
    y, x = np.mgrid[:SIDE, :SIDE]
    y, x = y - row, x - column
    cosine, sine = np.cos(angle), np.sin(angle)
    return inside(x * cosine + y * sine, y * cosine - x * sine)


def measure(mask: np.ndarray) -> LesionMeasures:
    photo = np.full((*mask.shape, 3), (200, 160, 140), np.uint8)
    photo[mask] = (110, 70, 40)
    found = measure_lesion(photo, mask)
    assert found is not None
    return found


@pytest.mark.parametrize("radius", [10, 20, 35, 60])
def test_a_disk(radius: int) -> None:
    found = measure(shape(lambda x, y: x**2 + y**2 < radius**2))
    assert found.compactness == pytest.approx(1, abs=0.01)
    assert found.solidity == pytest.approx(1, abs=0.025)
    assert found.equal_area_diameter == pytest.approx(2 * radius, rel=0.01)
    assert found.longest_diameter == pytest.approx(2 * radius, abs=1.1)
    assert found.area_share == pytest.approx(np.pi * radius**2 / SIDE**2, rel=0.02)
    assert found.asymmetry[1] < 0.03
    assert (found.pieces, found.largest_share, found.touches_frame) == (1, 1.0, False)


@settings(deadline=None, max_examples=12)
@given(ANGLES)
def test_an_ellipse_in_any_direction(angle: float) -> None:
    found = measure(shape(lambda x, y: (x / 60) ** 2 + (y / 30) ** 2 < 1, angle))
    perimeter = 9.68845 * 30  # of an ellipse with axes 2 and 1, by its elliptic integral
    assert found.compactness == pytest.approx(perimeter**2 / (4 * np.pi**2 * 1800), rel=0.01)
    assert found.longest_diameter == pytest.approx(120, abs=1.5)
    assert found.asymmetry[1] < 0.02


@settings(deadline=None, max_examples=12)
@given(ANGLES)
def test_a_square_has_no_axis_of_inertia_and_is_symmetric(angle: float) -> None:
    found = measure(shape(lambda x, y: (abs(x) < 40) & (abs(y) < 40), angle))
    assert found.asymmetry[1] < 0.05
    assert found.compactness == pytest.approx(4 / np.pi, rel=0.05)
    assert found.longest_diameter == pytest.approx(80 * np.sqrt(2), abs=1.5)


@settings(deadline=None, max_examples=12)
@given(ANGLES)
def test_a_half_moon_is_symmetric_in_one_axis(angle: float) -> None:
    found = measure(shape(lambda x, y: (x**2 + y**2 < 60**2) & (x > 0), angle))
    # The part of a half disk that has no mirror image beyond its centroid, integrated.
    middle = 4 / (3 * np.pi)
    x = np.linspace(0, 1, 100_001)
    width = np.sqrt(1 - x**2)
    mirrored = np.interp(2 * middle - x, x, width, left=0, right=0)
    outside = np.clip(width - mirrored, 0, None).mean() / width.mean()
    assert found.asymmetry[0] < 0.03
    assert found.asymmetry[1] == pytest.approx(outside, abs=0.02)


def test_dents_lower_the_solidity_and_lengthen_the_border() -> None:
    def flower(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.hypot(x, y) < 45 * (1 + 0.3 * np.cos(5 * np.arctan2(y, x)))

    disk, dented = measure(shape(lambda x, y: x**2 + y**2 < 45**2)), measure(shape(flower))
    assert dented.solidity < 0.85 < disk.solidity
    assert dented.compactness > 1.5 > disk.compactness


def test_a_trembling_border_counts_little() -> None:
    smooth = shape(lambda x, y: x**2 + y**2 < 45**2)
    rng = np.random.default_rng(0)
    rim = shape(lambda x, y: abs(np.hypot(x, y) - 45) < 1)
    trembling = np.where(rim, rng.random(rim.shape) < 0.5, smooth)
    assert measure(trembling).compactness < 1.1


def test_measures_grow_with_the_photo() -> None:
    small = shape(lambda x, y: (np.hypot(x, y) < 30) & ((x < 5) | (y < 5)))
    one, four = measure(small), measure(small.repeat(2, axis=0).repeat(2, axis=1))
    assert four.longest_diameter == pytest.approx(2 * one.longest_diameter, rel=0.02)
    assert four.compactness == pytest.approx(one.compactness, rel=0.03)
    assert four.asymmetry == pytest.approx(one.asymmetry, abs=0.03)
    assert four.area_share == one.area_share


def test_a_very_large_lesion_is_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = shape(lambda x, y: (np.hypot(x, y) < 60) & ((x < 10) | (y < 10)), 0.3)
    whole = measure(mask)
    monkeypatch.setattr(module, "_LARGE", 50)
    found = measure(mask)
    assert found.longest_diameter == pytest.approx(whole.longest_diameter, abs=3)
    assert found.equal_area_diameter == whole.equal_area_diameter
    assert found.compactness == pytest.approx(whole.compactness, rel=0.03)
    assert found.asymmetry == pytest.approx(whole.asymmetry, abs=0.03)


def test_the_largest_piece_is_measured_without_its_holes() -> None:
    whole = shape(lambda x, y: x**2 + y**2 < 30**2)
    pieces = whole & ~shape(lambda x, y: x**2 + y**2 < 8**2)
    pieces[2:12, 2:12] = True
    found, alone = measure(pieces), measure(whole)
    assert found.pieces == 2
    ring = np.count_nonzero(pieces) - 100
    assert found.largest_share == pytest.approx(ring / (ring + 100))
    assert found.area_share == alone.area_share
    assert found.compactness == alone.compactness


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_a_lesion_at_the_frame_is_flagged(side: str) -> None:
    row, column = {"top": (5, 80), "bottom": (155, 80), "left": (80, 5), "right": (80, 155)}[side]
    assert measure(shape(lambda x, y: x**2 + y**2 < 30**2, 0, row, column)).touches_frame


def test_masks_at_the_extremes() -> None:
    photo = np.full((20, 30, 3), 90, np.uint8)
    assert measure_lesion(photo, np.zeros((20, 30), bool)) is None
    full = measure(np.ones((20, 30), bool))
    assert (full.area_share, full.touches_frame, full.solidity) == (1.0, True, 1.0)
    dot = np.zeros((20, 30), bool)
    dot[7, 9] = True
    single = measure(dot)
    assert (single.longest_diameter, single.asymmetry) == (1.0, (0.0, 0.0))
    line = np.zeros((20, 30), bool)
    line[7] = True
    assert measure(line).longest_diameter == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize(
    ("photo", "mask", "message"),
    [
        (np.zeros((8, 9), np.uint8), np.ones((8, 9), bool), "not a photo"),
        (np.zeros((8, 9, 3)), np.ones((8, 9), bool), "not a photo"),
        (np.zeros((8, 9, 3), np.uint8), np.ones((9, 8), bool), r"mask does not fit.*\n.*\(9, 8\)"),
        (np.zeros((8, 9, 3), np.uint8), np.ones((8, 9), np.uint8), "mask does not fit"),
    ],
)
def test_what_is_no_photo_with_its_mask_is_refused(
    photo: np.ndarray, mask: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        measure_lesion(photo, mask)


def test_cielab_is_that_of_opencv() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    expected = cv2.cvtColor((rgb / 255).astype(np.float32), cv2.COLOR_RGB2Lab)
    np.testing.assert_allclose(to_lab(rgb), expected, atol=0.6)  # OpenCV's is a table
    np.testing.assert_allclose(to_lab(np.array([255, 255, 255], np.uint8)), [100, 0, 0], atol=0.01)


def from_lab(colours: np.ndarray) -> np.ndarray:
    image = cv2.cvtColor(np.atleast_2d(colours)[None].astype(np.float32), cv2.COLOR_Lab2RGB)
    return np.rint(image[0] * 255).astype(np.uint8)


def test_each_reference_colour_is_called_by_its_name() -> None:
    skin = from_lab(np.array([[72, 15, 20]]))
    for name, colour in COLOURS.items():
        found = measure_colours(from_lab(np.array([colour])).repeat(10, axis=0), skin)
        assert found.present == (name,)
        assert found.shares[name] == 1
        assert found.spread == pytest.approx(0)


def test_a_colour_is_present_from_a_twentieth() -> None:
    skin = from_lab(np.array([[72, 15, 20]]))
    brown, black = (from_lab(np.array([COLOURS[name]])) for name in ("dark_brown", "black"))
    for count, present in ((4, ("dark_brown",)), (5, ("dark_brown", "black"))):
        lesion = np.concatenate([brown.repeat(100 - count, axis=0), black.repeat(count, axis=0)])
        assert measure_colours(lesion, skin).present == present


def test_skin_inside_the_mask_is_none_of_the_six() -> None:
    skin = from_lab(np.array([[66, 18, 5]]))
    assert measure_colours(skin.repeat(9, axis=0), skin).present == ()


@pytest.mark.parametrize("tint", [(0, 8, -12), (0, -8, 10)])
def test_the_white_balance_of_the_camera_does_not_matter(tint: tuple[int, ...]) -> None:
    lab = np.array([[50, 18, 22], [40, 15, 24], [62, 26, 38], [25, 8, 14]], float)
    skin = np.array([[72, 15, 20]], float)
    plain = measure_colours(from_lab(lab), from_lab(skin))
    tinted = measure_colours(from_lab(lab + tint), from_lab(skin + tint))
    assert tinted.shares == plain.shares


def test_without_skin_colours_are_judged_as_they_are() -> None:
    greyish = from_lab(np.array([[50, 8, 0]])).repeat(5, axis=0)
    nothing = np.empty((0, 3), np.uint8)
    assert measure_colours(greyish, nothing).present == ("blue_grey",)
    assert measure_colours(greyish, from_lab(np.array([[70, 5, -20]]))).present != ("blue_grey",)


def test_the_spread_is_the_distance_from_the_mean() -> None:
    lab = np.array([[40, 10, 10], [60, 10, 10]], float)
    assert measure_colours(from_lab(lab), from_lab(lab)).spread == pytest.approx(10, abs=0.5)


def test_the_skin_is_taken_from_around_the_lesion_and_not_from_black_corners() -> None:
    mask = shape(lambda x, y: x**2 + y**2 < 40**2)
    photo = np.full((SIDE, SIDE, 3), from_lab(np.array([[66, 18, 5]])), np.uint8)
    photo[mask] = from_lab(np.array([[66, 18, 5]]))
    photo[:, :90][~mask[:, :90]] = 0
    found = measure_lesion(photo, mask)
    assert found is not None
    assert found.colours.present == ()


def test_a_drawn_lesion_is_measured() -> None:
    photo, mask = draw_lesion("mel", 3)
    found = measure_lesion(photo, mask)
    assert found is not None
    assert 0 < found.area_share < 1
    assert found.colours.present


def test_the_texts_are_of_the_measures_and_promise_nothing() -> None:
    fields = set(LesionMeasures.__dataclass_fields__) - {"largest_share"}
    assert set(MEASURE_TEXTS) == fields | {"colour_spread"}
    for text in MEASURE_TEXTS.values():
        assert not any(word in text for word in ("risk", "malignan", "cancer", "suspicious"))


@pytest.mark.real
def test_real_lesions_have_measures_in_range(real_data: Path) -> None:
    folder = real_data / "ham10000"
    masks = sorted((folder / "HAM10000_segmentations_lesion_tschandl").glob("*.png"))[::700]
    assert len(masks) == 15
    for path in masks:
        name = path.name.replace("_segmentation.png", ".jpg")
        photo = next(folder.glob(f"HAM10000_images_part_*/{name}"))
        found = measure_lesion(
            np.asarray(Image.open(photo).convert("RGB")),
            np.asarray(Image.open(path).convert("L")) > 127,
        )
        assert found is not None
        assert 0.9 < found.compactness < 6, name
        assert 0 <= found.asymmetry[0] <= found.asymmetry[1] < 0.6, name
        assert found.equal_area_diameter <= found.longest_diameter * 1.02, name
        assert sum(found.colours.shares.values()) <= 1 + 1e-9, name
