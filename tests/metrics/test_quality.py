"""Each score moves the way its name says, and each flag has its advice."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cutis.data.synthetic import TONES, draw_lesion
from cutis.errors import InputError
from cutis.metrics.quality import (
    FLAG_TEXTS,
    THRESHOLDS,
    QualityScores,
    measure_quality,
    quality_flags,
)
from cutis.preprocessing import decode

Photo = NDArray[np.uint8]
SKIN = np.array([215, 165, 140])
FINE = QualityScores(
    sharpness=1.7,
    dark=0.0,
    bright=0.0,
    contrast=0.4,
    lesion_share=0.2,
    corners=0.0,
    ruler=0.0,
    hair=0.0,
    skin=0.95,
)


def spot(radius: float = 0.22, skin: NDArray[np.int_] = SKIN, seed: int = 0) -> Photo:
    """A dark ellipse on textured skin, (150, 200, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:150, :200]
    inside = ((x - 100) / 200) ** 2 + ((y - 75) / 150) ** 2 < (radius / 1.2) ** 2
    texture = ndimage.gaussian_filter(rng.normal(0, 0.15, (150, 200)), 1.0)
    shade = np.where(inside, 0.45, 1.0) * (1 + texture)
    return (skin * shade[..., None]).clip(0, 255).astype(np.uint8)


def blurred(photo: Photo, sigma: float) -> Photo:
    return np.asarray(ndimage.gaussian_filter(photo, (sigma, sigma, 0)))


def noisy(photo: Photo, reach: float) -> Photo:
    noise = np.random.default_rng(1).normal(0, reach, photo.shape)
    return (photo + noise).clip(0, 255).astype(np.uint8)


def with_hairs(count: int, seed: int = 0) -> Photo:
    """Straight dark lines two pixels wide, all across the photo."""
    photo, rng = spot(), np.random.default_rng(seed)
    y, x = np.mgrid[:150, :200]
    for _ in range(count):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-80, 80)
        distance = (x - 100) * np.sin(angle) - (y - 75) * np.cos(angle) - offset
        photo[np.abs(distance) < 1.2] = (40, 30, 25)
    return photo


def with_ticks(step: int, jitter: float = 0.0) -> Photo:
    photo, rng = spot(), np.random.default_rng(3)
    for x in range(6, 196, step):
        place = int(np.clip(x + rng.uniform(-jitter, jitter), 0, 198))
        photo[134:144, place : place + 2] = 25
    return photo


def with_rim(radius: float) -> Photo:
    """Black outside a circle; the radius is relative to the photo's width."""
    photo = spot()
    y, x = np.mgrid[:150, :200]
    photo[np.hypot(x - 99.5, y - 74.5) > radius * 200] = 6
    return photo


def falls(values: list[float]) -> bool:
    return all(before > after for before, after in pairwise(values))


def test_a_good_photo_has_no_flag() -> None:
    assert quality_flags(measure_quality(spot())) == ()


def test_sharpness_falls_with_blur_and_not_with_noise() -> None:
    photo = draw_lesion("nv", 3)[0]
    steps = [measure_quality(blurred(photo, sigma)).sharpness for sigma in (0, 1, 2, 3, 5)]
    assert falls(steps)
    hidden = noisy(blurred(photo, 5), 3)
    assert measure_quality(hidden).sharpness < THRESHOLDS.blurred_below
    assert "blurred" in quality_flags(measure_quality(hidden))


def test_sharpness_does_not_depend_on_the_size_of_the_file() -> None:
    photo = spot()
    large = photo.repeat(4, axis=0).repeat(4, axis=1)
    expected = dataclasses.asdict(measure_quality(photo))
    assert dataclasses.asdict(measure_quality(large)) == pytest.approx(expected, abs=0.002)


def test_exposure() -> None:
    photo = spot().astype(np.float64)
    shares = [measure_quality((photo * gain).astype(np.uint8)).dark for gain in (1, 0.3, 0.15)]
    assert shares[0] == 0
    assert falls(shares[::-1])
    assert "dark" in quality_flags(measure_quality((photo * 0.1).astype(np.uint8)))
    burnt = measure_quality((photo * 2).clip(0, 255).astype(np.uint8))
    assert "overexposed" in quality_flags(burnt)
    assert burnt.bright > measure_quality(spot()).bright


def test_contrast_falls_as_the_photo_fades() -> None:
    photo = spot().astype(np.float64)
    faded = [photo.mean() + (photo - photo.mean()) * share for share in (1, 0.5, 0.1)]
    scores = [measure_quality(values.astype(np.uint8)) for values in faded]
    assert falls([s.contrast for s in scores])
    assert "low_contrast" in quality_flags(scores[-1])


@pytest.mark.parametrize("radius", [0.08, 0.15, 0.25, 0.4])
def test_lesion_share_is_the_area_of_the_spot(radius: float) -> None:
    share = measure_quality(spot(radius)).lesion_share
    assert share == pytest.approx(np.pi * (radius / 1.2) ** 2, rel=0.25)


def test_lesion_share_is_of_the_spot_near_the_middle_and_not_of_hairs() -> None:
    alone = measure_quality(spot()).lesion_share
    assert measure_quality(with_hairs(20)).lesion_share == pytest.approx(alone, rel=0.2)
    photo = spot()
    photo[5:45, 5:45] = photo[5:45, 5:45] // 2
    assert measure_quality(photo).lesion_share == pytest.approx(alone, rel=0.05)


def test_a_small_lesion_is_flagged_and_none_is_unknown() -> None:
    assert "lesion_small" in quality_flags(measure_quality(spot(0.06)))
    empty = measure_quality(spot(0.0))
    assert empty.lesion_share is None
    assert "lesion_small" not in quality_flags(empty)


def test_corners_grow_as_the_field_shrinks() -> None:
    shares = [measure_quality(with_rim(radius)).corners for radius in (0.4, 0.47, 0.55, 0.7)]
    assert falls(shares)
    assert shares[-1] == 0
    assert shares[1] == pytest.approx((np.hypot(*np.mgrid[-75:75, -100:100]) > 94).mean(), abs=0.02)
    assert "black_corners" in quality_flags(measure_quality(with_rim(0.47)))


def test_black_corners_leave_the_other_scores_alone() -> None:
    plain, rimmed = measure_quality(spot()), measure_quality(with_rim(0.5))
    assert rimmed.dark < 0.01
    assert rimmed.sharpness == pytest.approx(plain.sharpness, rel=0.15)
    assert rimmed.skin == pytest.approx(plain.skin, abs=0.1)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("step", [8, 13, 19])
def test_a_ruler_on_any_side_is_found(turns: int, step: int) -> None:
    scores = measure_quality(np.rot90(with_ticks(step), turns))
    assert "ruler" in quality_flags(scores)


def test_marks_without_rhythm_and_hairs_are_no_ruler() -> None:
    regular, irregular = measure_quality(with_ticks(14)), measure_quality(with_ticks(14, jitter=6))
    assert irregular.ruler < THRESHOLDS.ruler_above < regular.ruler
    assert measure_quality(with_hairs(12)).ruler < THRESHOLDS.ruler_above


def test_hair_rises_with_the_hairs() -> None:
    shares = [measure_quality(with_hairs(count)).hair for count in (0, 3, 8, 20)]
    assert shares[0] == 0
    assert falls(shares[::-1])
    assert "hair" in quality_flags(measure_quality(with_hairs(20)))


def test_structure_inside_the_lesion_is_no_hair() -> None:
    photo = spot(0.4)
    photo[50:100:5, 70:130] = 20
    assert measure_quality(photo).hair == 0


@pytest.mark.parametrize("clinical", [False, True])
@pytest.mark.parametrize("tone", range(TONES))
def test_every_skin_tone_is_skin_and_not_dark(tone: int, clinical: bool) -> None:
    for seed in range(3):
        photo, _ = draw_lesion("nv", seed, tone=tone, clinical=clinical)
        flags = quality_flags(measure_quality(photo))
        assert not {"not_skin", "dark"} & set(flags)


@pytest.mark.parametrize("colour", [(60, 140, 60), (40, 90, 200), (128, 128, 128), (235, 225, 40)])
def test_other_colours_are_no_skin(colour: tuple[int, int, int]) -> None:
    assert "not_skin" in quality_flags(measure_quality(spot(skin=np.array(colour))))


def test_skin_colour_with_rough_texture_is_no_skin() -> None:
    rng = np.random.default_rng(0)
    shade = ndimage.gaussian_filter(rng.normal(0, 1.2, (150, 200)), 1.0) + 1
    gravel = (SKIN * shade[..., None]).clip(0, 255).astype(np.uint8)
    assert "not_skin" in quality_flags(measure_quality(gravel))


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_photos_of_other_things_are_no_skin(name: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    assert "not_skin" in quality_flags(measure_quality(datasets.load_sample_image(name)))


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (2, 5, 3), (16, 16, 3), (1, 300, 3), (700, 20, 3), (1500, 2000, 3)]
)
@pytest.mark.parametrize("value", [0, 128, 255, None])
def test_any_size_and_constant_photos(shape: tuple[int, int, int], value: int | None) -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, shape, np.uint8) if value is None else np.full(shape, value, "u1")
    scores = measure_quality(photo)
    for field in dataclasses.fields(scores):
        score = getattr(scores, field.name)
        assert score is None or np.isfinite(score)
        assert score is None or field.name == "sharpness" or 0 <= score <= 1
    if value is not None:
        assert {"blurred", "low_contrast", "not_skin"} <= set(quality_flags(scores))


def test_a_narrow_photo_beside_a_black_edge() -> None:
    photo = np.full((40, 6, 3), 200, np.uint8)
    photo[:, 0] = 0
    assert measure_quality(photo).lesion_share is None


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_what_is_no_photo_is_refused(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="not a photo"):
        measure_quality(wrong)


@pytest.mark.parametrize(
    ("flag", "score", "value"),
    [
        ("blurred", "sharpness", THRESHOLDS.blurred_below - 0.01),
        ("dark", "dark", THRESHOLDS.dark_above + 0.01),
        ("overexposed", "bright", THRESHOLDS.overexposed_above + 0.01),
        ("low_contrast", "contrast", THRESHOLDS.low_contrast_below - 0.01),
        ("lesion_small", "lesion_share", THRESHOLDS.lesion_small_below - 0.001),
        ("black_corners", "corners", THRESHOLDS.black_corners_above + 0.01),
        ("ruler", "ruler", THRESHOLDS.ruler_above + 0.01),
        ("hair", "hair", THRESHOLDS.hair_above + 0.01),
        ("not_skin", "skin", THRESHOLDS.not_skin_below - 0.01),
    ],
)
def test_each_threshold_raises_its_own_flag(flag: str, score: str, value: float) -> None:
    assert quality_flags(FINE) == ()
    assert quality_flags(dataclasses.replace(FINE, **{score: value})) == (flag,)


def test_thresholds_can_be_replaced_and_flags_keep_the_order_of_the_texts() -> None:
    strict = dataclasses.replace(THRESHOLDS, blurred_below=9.0, not_skin_below=1.0)
    assert quality_flags(FINE, strict) == ("blurred", "not_skin")
    worst = QualityScores(0, 1, 1, 0, 0.0, 1, 1, 1, 0)
    assert quality_flags(worst) == tuple(FLAG_TEXTS)


@pytest.mark.real
def test_real_dermoscopy_is_mostly_fine(real_data: Path) -> None:
    photos = sorted((real_data / "ham10000").glob("HAM10000_images_part_*/*.jpg"))[::100]
    assert len(photos) > 90
    flags = [set(quality_flags(measure_quality(decode(photo)))) for photo in photos]
    for flag in ("blurred", "dark", "overexposed", "low_contrast"):
        assert sum(flag in raised for raised in flags) < 0.05 * len(photos)
    assert sum("not_skin" in raised for raised in flags) <= 0.01 * len(photos)
