"""Energy, Mahalanobis distance and their threshold, against definitions and by hand."""

import time

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA

from cutis.errors import InputError
from cutis.metrics.out_of_distribution import (
    detection_auroc,
    energy,
    fit_feature_space,
    highest_valid,
)


def clusters(photos: int = 300, width: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of three diagnoses that share a slanted covariance, and the diagnoses."""
    rng = np.random.default_rng(seed)
    slant = rng.normal(size=(width, width))
    truth = rng.integers(0, 3, photos)
    return rng.normal(size=(photos, width)) @ slant + 5 * rng.normal(size=(3, width))[truth], truth


def test_energy_by_hand() -> None:
    assert energy(np.array([[0.0, 0.0], [np.log(3), 0.0]])) == pytest.approx(
        [-np.log(2), -np.log(4)]
    )
    assert energy(np.array([[1000.0, 0.0]])) == pytest.approx([-1000.0])


def test_with_all_directions_the_distance_is_the_mahalanobis_distance() -> None:
    features, truth = clusters()
    others = features[:20] + np.random.default_rng(1).normal(size=(20, 8)) * 3
    means = np.stack([features[truth == k].mean(axis=0) for k in range(3)])
    inverse = EmpiricalCovariance(assume_centered=True).fit(features - means[truth]).precision_
    expected = [min(mahalanobis(row, mean, inverse) ** 2 for mean in means) for row in others]
    space = fit_feature_space(features, truth)
    assert space.directions.shape == (8, 7)
    assert space.distance(others) == pytest.approx(expected, rel=1e-3)


def test_with_fewer_directions_the_covariance_is_that_of_probabilistic_pca() -> None:
    features, _ = clusters()
    one = np.zeros(len(features), np.intp)
    space = fit_feature_space(features, one, directions=3)
    reference = PCA(3).fit(features)
    # scikit-learn divides by N - 1; its covariance is the one of Tipping and Bishop.
    inverse = np.linalg.inv(reference.get_covariance() * (299 / 300))
    expected = [mahalanobis(row, features.mean(axis=0), inverse) ** 2 for row in features[:9]]
    assert space.distance(features[:9]) == pytest.approx(expected, rel=1e-3)


def test_a_direction_without_training_variance_counts_most() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 40)) * np.r_[np.full(4, 10.0), np.full(36, 0.1)]
    space = fit_feature_space(features, np.zeros(200, np.intp), directions=4)
    along, across = np.zeros((2, 1, 40))
    along[0, 0], across[0, 39] = 5.0, 5.0
    assert space.distance(across)[0] > 100 * space.distance(along)[0]


def test_directions_are_no_more_than_few_photos_span() -> None:
    features = np.random.default_rng(0).normal(size=(12, 40))
    space = fit_feature_space(features, np.arange(12) % 2)
    # 12 photos about 2 means span 10 directions; one is left to tell the rest by.
    assert space.directions.shape == (40, 9)


def test_the_space_is_small_and_fast_for_the_features_of_mobilenet() -> None:
    rng = np.random.default_rng(0)
    space = fit_feature_space(rng.normal(size=(400, 1280)), rng.integers(0, 7, 400))
    assert sum(getattr(space, name).nbytes for name in ("means", "directions")) < 400_000
    photos = rng.normal(size=(10_000, 1280)).astype(np.float32)
    start = time.perf_counter()
    found = space.distance(photos)
    assert time.perf_counter() - start < 1.0
    assert found.shape == (10_000,)
    assert (found > 0).all()


@pytest.mark.parametrize(
    ("features", "truth", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, np.intp), "cannot be fitted"),
        (np.zeros((4, 3)), np.zeros(3, np.intp), "cannot be fitted"),
        (np.full((4, 3), np.inf), np.zeros(4, np.intp), "not finite"),
        (np.ones((40, 3)), np.zeros(40, np.intp), "do not vary enough"),
        (np.eye(3), np.arange(3), "do not vary enough"),
    ],
)
def test_a_feature_space_refuses(features: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_feature_space(features, truth)


def test_the_distance_refuses_other_features() -> None:
    with pytest.raises(InputError, match=r"\(photos, 8\)"):
        fit_feature_space(*clusters()).distance(np.zeros((2, 9)))


def test_the_threshold_by_hand() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(79.0))
    # ceil(80 * 0.975) = 78th smallest of 79.
    assert highest_valid(scores, np.arange(79)) == 77.0
    assert highest_valid(scores[:39], np.arange(39)) == scores[:39].max()


def test_the_threshold_keeps_new_valid_photos() -> None:
    """Standard error over 400 repeats: 0.0005."""
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(400):
        groups = np.repeat(np.arange(300), rng.choice([1, 4], 300))
        limit = highest_valid(rng.normal(size=300)[groups], groups)
        kept.append((rng.normal(size=1000) <= limit).mean())
    assert 0.9735 < np.mean(kept) < 0.981


def test_the_threshold_refuses() -> None:
    with pytest.raises(InputError, match=r"38 groups are too few(.|\n)*39 groups or more"):
        highest_valid(np.arange(38.0), np.arange(38))
    with pytest.raises(InputError, match="not finite"):
        highest_valid(np.full(50, np.nan), np.arange(50))


def test_auroc_by_hand() -> None:
    valid, others = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.9])
    # Of 6 pairs, 4 are in order (0.2 > 0.1 and 0.9 > all) and 1 is tied.
    assert detection_auroc(valid, others) == pytest.approx(4.5 / 6)
    assert np.isnan(detection_auroc(valid, np.empty(0)))
    assert np.isnan(detection_auroc(np.empty(0), np.empty(0)))
