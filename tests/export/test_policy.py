"""Policies for a bundle: what validation photos give, and the space that survives its file."""

from pathlib import Path

import numpy as np
import pytest

from cutis.errors import InputError
from cutis.export.policy import LEAST_GROUPS, calibrated_policy, fitted_space, write_space
from cutis.metrics import softmax
from cutis.metrics.conformal import prediction_sets, set_thresholds
from cutis.metrics.out_of_distribution import FeatureSpace, fit_feature_space
from cutis.records import ModelInfo
from cutis.runtime.answers import read_space

WIDTH = 96


def photos(groups: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Logits, features, truth and group of three diagnoses, one to three photos a group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), rng.choice([1, 2, 3], groups))
    truth = rng.integers(0, 3, groups)[group]
    logits = rng.normal(size=(group.size, 3)) + 2 * np.eye(3)[truth]
    means = 3 * np.random.default_rng(99).normal(size=(3, WIDTH))
    features = rng.gamma(2, size=(group.size, WIDTH)) + means[truth]
    return logits.astype(np.float32), features.astype(np.float32), truth, group


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
    _, features, truth, _ = photos(400, seed=1)
    found = fitted_space(features, truth)
    assert found is not None
    return found


def test_the_policy_is_that_of_the_photos(info: ModelInfo, space: FeatureSpace) -> None:
    logits, features, truth, group = photos(400)
    policy = calibrated_policy(logits, features, truth, group, info, space)
    assert policy is not None
    probabilities = softmax(logits.astype(np.float64), info.temperature)
    expected = set_thresholds(probabilities, truth, group)
    assert policy.set_thresholds == pytest.approx(expected.values, rel=1e-6)
    assert (policy.level, policy.kept_share, policy.highest_energy) == (0.95, 0.975, None)
    sets = prediction_sets(probabilities, np.array(policy.set_thresholds) * (1 - 1e-6))
    weight = 1 / np.bincount(group)[group]
    assert np.average(sets[np.arange(truth.size), truth], weights=weight) >= 0.95
    assert policy.highest_distance is not None
    kept = np.average(space.distance(features) <= policy.highest_distance, weights=weight)
    assert 0.975 <= kept < 0.985


def test_the_limit_keeps_new_photos(info: ModelInfo, space: FeatureSpace) -> None:
    kept = []
    for seed in range(2, 12):
        policy = calibrated_policy(*photos(300, seed), info, space)
        assert policy is not None
        assert policy.highest_distance is not None
        _, features, _, group = photos(2000, seed + 100)
        weight = 1 / np.bincount(group)[group]
        kept.append(np.average(space.distance(features) <= policy.highest_distance, weights=weight))
    assert np.mean(kept) == pytest.approx(0.976, abs=0.005)


def test_without_features_the_energy_is_limited(info: ModelInfo, space: FeatureSpace) -> None:
    logits, features, truth, group = photos(200)
    for given in ((None, space), (features, None)):
        policy = calibrated_policy(logits, given[0], truth, group, info, given[1])
        assert policy is not None
        assert policy.highest_distance is None
        assert policy.highest_energy is not None
        assert policy.kept_share == 0.975


def test_too_few_groups_give_no_policy(info: ModelInfo, space: FeatureSpace) -> None:
    logits, features, truth, group = photos(LEAST_GROUPS)
    assert calibrated_policy(logits, features, truth, group, info, space) is not None
    fewer = group < LEAST_GROUPS - 1
    given = (array[fewer] for array in (logits, features, truth, group))
    assert calibrated_policy(*given, info, space) is None


def test_what_does_not_fit_is_an_error(info: ModelInfo, space: FeatureSpace) -> None:
    logits, features, truth, group = photos(100)
    with pytest.raises(InputError, match="do not fit this space"):
        calibrated_policy(logits, features[:, 1:], truth, group, info, space)
    with pytest.raises(InputError, match="none of the model's diagnoses"):
        calibrated_policy(logits, features, truth + 1, group, info, space)


def test_the_file_gives_the_very_space_back(space: FeatureSpace, tmp_path: Path) -> None:
    file = tmp_path / "features.npz"
    write_space(space, file)
    found = read_space(file.read_bytes())
    for name, value in vars(space).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    features = photos(50)[1]
    np.testing.assert_array_equal(found.distance(features), space.distance(features))


def test_half_precision_costs_little(space: FeatureSpace) -> None:
    _, features, truth, _ = photos(400, seed=1)
    exact = fit_feature_space(features, truth).distance(features)
    np.testing.assert_allclose(space.distance(features), exact, rtol=0.01)


def test_a_large_space_is_a_small_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = fitted_space(rng.normal(size=(300, 1280)), rng.integers(0, 7, 300))
    assert found is not None
    assert found.directions.shape == (1280, 64)
    write_space(found, tmp_path / "features.npz")
    assert (tmp_path / "features.npz").stat().st_size < 210_000


def test_dead_units_take_fewer_directions() -> None:
    _, features, truth, _ = photos(100)
    features[:, 40:] = 0
    found = fitted_space(features, truth)
    assert found is not None
    assert found.directions.shape == (WIDTH, 32)
    assert found.distance(features + np.float32(1)).min() > found.distance(features).max()
    assert fitted_space(np.zeros((50, 4), np.float32), np.zeros(50, np.intp)) is None
