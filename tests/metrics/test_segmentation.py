"""Scores of predicted masks against scikit-learn, brute force and what is defined for the edges."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from sklearn import metrics as reference

from cutis.errors import InputError
from cutis.metrics.bootstrap import Resampling
from cutis.metrics.segmentation import MaskScores, boundary, boundary_distance, score_masks

EMPTY, FULL = np.zeros((6, 8), bool), np.ones((6, 8), bool)
MASKS = arrays(bool, (7, 9))


def disk(radius: float, row: float = 20, column: float = 20, side: int = 41) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return np.hypot(rows - row, columns - column) < radius


def random_scores(photos: int = 12) -> tuple[list[tuple[np.ndarray, np.ndarray]], MaskScores]:
    rng = np.random.default_rng(0)
    pairs = [(rng.random((9, 11)) < 0.6, rng.random((9, 11)) < 0.5) for _ in range(photos)]
    return pairs, score_masks(pairs)


def test_overlap_is_that_of_scikit_learn() -> None:
    pairs, scores = random_scores()
    found = scores.by_image()
    for photo, (predicted, truth) in enumerate(pairs):
        flat = truth.ravel(), predicted.ravel()
        expected = {
            "jaccard": reference.jaccard_score(*flat),
            "dice": reference.f1_score(*flat),
            "sensitivity": reference.recall_score(*flat),
            "specificity": reference.recall_score(*flat, pos_label=False),
            "accuracy": reference.accuracy_score(*flat),
        }
        for name, value in expected.items():
            assert found[name][photo] == pytest.approx(value), name


def test_pooled_scores_are_those_of_all_pixels_in_one() -> None:
    pairs, scores = random_scores()
    weights = np.array([[1] * 12, [0, 2] + [1] * 10], float)
    pooled = scores.pooled(weights)
    for row, times in enumerate(weights.astype(int)):
        truth = np.concatenate(
            [t.ravel().repeat(w) for (_, t), w in zip(pairs, times, strict=True)]
        )
        predicted = np.concatenate(
            [p.ravel().repeat(w) for (p, _), w in zip(pairs, times, strict=True)]
        )
        assert pooled["jaccard"][row] == pytest.approx(reference.jaccard_score(truth, predicted))
        assert pooled["dice"][row] == pytest.approx(reference.f1_score(truth, predicted))


def test_means_follow_the_weights() -> None:
    _, scores = random_scores()
    found = scores.means(np.eye(12))
    np.testing.assert_allclose(found["dice"], scores.by_image()["dice"])


def test_the_thresholded_jaccard_drops_what_failed() -> None:
    square = np.zeros((10, 10), bool)
    square[:, :] = True
    enough, too_little = square.copy(), square.copy()
    enough.flat[:35] = False
    too_little.flat[:36] = False
    scores = score_masks([(enough, square), (too_little, square)]).by_image()
    np.testing.assert_allclose(scores["jaccard"], [0.65, 0.64])
    np.testing.assert_allclose(scores["thresholded_jaccard"], [0.65, 0.0])


@pytest.mark.parametrize(
    ("predicted", "truth", "jaccard", "sensitivity", "specificity", "hd95", "relative"),
    [
        (EMPTY, EMPTY, 1, np.nan, 1, 0, np.nan),
        (FULL, EMPTY, 0, np.nan, 0, 10, np.nan),
        (EMPTY, FULL, 0, 0, np.nan, 10, 10 / np.sqrt(4 / np.pi * 48)),
        (FULL, FULL, 1, 1, np.nan, 0, 0),
    ],
)
def test_empty_and_full_masks(
    predicted: np.ndarray,
    truth: np.ndarray,
    jaccard: float,
    sensitivity: float,
    specificity: float,
    hd95: float,
    relative: float,
) -> None:
    scores = score_masks([(predicted, truth)])
    found = scores.by_image()
    expected = {
        "jaccard": jaccard,
        "dice": jaccard,
        "thresholded_jaccard": jaccard,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "relative_hd95": relative,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], [value], err_msg=name)
    np.testing.assert_allclose(scores.hd95, [hd95])


def test_a_photo_without_a_defined_score_is_left_out_of_its_mean() -> None:
    scores = score_masks([(EMPTY, EMPTY), (FULL, FULL)])
    means = scores.means(np.ones((1, 2)))
    assert means["jaccard"] == [1]
    assert means["sensitivity"] == [1]
    assert scores.pooled(np.ones((1, 2)))["accuracy"] == [1]


def brute_hd95(first: np.ndarray, second: np.ndarray) -> float:
    def edge(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        neighbours = ((0, 1), (0, -1), (1, 0), (-1, 0))
        return np.array(
            [
                (row, column)
                for row, column in np.argwhere(mask)
                if not all(padded[row + 1 + y, column + 1 + x] for y, x in neighbours)
            ]
        )

    ours, theirs = edge(first), edge(second)
    apart = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    return max(np.percentile(apart.min(axis=1), 95), np.percentile(apart.min(axis=0), 95))


@settings(deadline=None, max_examples=60)
@given(MASKS, MASKS)
def test_boundary_distance_is_that_of_brute_force(first: np.ndarray, second: np.ndarray) -> None:
    if first.any() and second.any():
        assert boundary_distance(first, second) == pytest.approx(brute_hd95(first, second))


@settings(deadline=None, max_examples=40)
@given(MASKS, MASKS, st.integers(0, 3))
def test_scores_do_not_depend_on_order_or_turns(
    first: np.ndarray, second: np.ndarray, turns: int
) -> None:
    one = score_masks([(first, second)])
    other = score_masks([(np.rot90(second, turns), np.rot90(first, turns))])
    for name in ("jaccard", "dice", "accuracy"):
        np.testing.assert_allclose(one.by_image()[name], other.by_image()[name])
    np.testing.assert_allclose(one.hd95, other.hd95)


def test_boundary_distance_of_disks() -> None:
    assert boundary_distance(disk(12), disk(9)) == pytest.approx(3, abs=0.5)
    scores = score_masks([(disk(12), disk(9))])
    assert scores.relative_hd95[0] == pytest.approx(3 / 18, abs=0.03)


def test_a_far_speck_of_few_pixels_does_not_count_and_a_far_piece_does() -> None:
    truth = disk(12)
    speck, piece = truth.copy(), truth.copy()
    speck[0, 0] = True
    piece[:4, :4] = True
    assert boundary_distance(speck, truth) == 0
    assert boundary_distance(piece, truth) > 10


def test_the_frame_is_a_boundary() -> None:
    assert len(boundary(FULL)) == 2 * (6 + 8) - 4


def test_intervals_are_by_group() -> None:
    rng = np.random.default_rng(1)
    pairs = [(disk(rng.uniform(6, 12)), disk(9)) for _ in range(20)]
    single = score_masks(pairs).estimates(np.arange(20), Resampling(resamples=200))
    copied = score_masks([p for p in pairs for _ in range(3)]).estimates(
        np.arange(20).repeat(3), Resampling(resamples=200)
    )
    for name in ("jaccard", "pooled_dice", "relative_hd95"):
        assert float(single[name].low) < float(single[name].value) < float(single[name].high)
        assert float(copied[name].low) == pytest.approx(float(single[name].low))
    assert "pooled_relative_hd95" not in single


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        (np.ones((6, 7), bool), FULL, r"differ in size\n.*predicted \(6, 7\), true \(6, 8\)"),
        (FULL.astype(np.uint8), FULL, "predicted mask is not a mask"),
        (FULL, FULL[None], "true mask is not a mask"),
        (np.ones((0, 5), bool), np.ones((0, 5), bool), "is not a mask"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    predicted: np.ndarray, truth: np.ndarray, message: str
) -> None:
    for compare in (boundary_distance, lambda p, t: score_masks([(p, t)])):
        with pytest.raises(InputError, match=message):
            compare(predicted, truth)


def test_no_photo_is_no_score() -> None:
    scores = score_masks([])
    assert scores.hd95.shape == (0,)
    assert np.isnan(scores.means(np.ones((1, 0)))["jaccard"]).all()


@pytest.mark.real
def test_real_masks_against_themselves_and_shifted(real_data: Path) -> None:
    folder = real_data / "ham10000" / "HAM10000_segmentations_lesion_tschandl"
    paths = sorted(folder.glob("*.png"))[::1000]
    assert len(paths) == 11
    masks = [np.asarray(Image.open(path).convert("L")) > 127 for path in paths]
    same = score_masks([(mask, mask) for mask in masks])
    moved = score_masks([(np.roll(mask, 2, axis=1), mask) for mask in masks])
    assert (same.by_image()["jaccard"] == 1).all()
    assert (same.hd95 == 0).all()
    assert (moved.by_image()["jaccard"] < 1).all()
    inside = [not (mask[:, [0, 1, -2, -1]].any()) for mask in masks]
    assert sum(inside) > 5
    assert (moved.hd95[inside] <= 2).all()
