"""Temperature and prior fitted to few cases, and sets that a recalibration cannot narrow."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from cutis.metrics.calibration import fit_temperature, softmax
from cutis.metrics.conformal import prediction_sets
from cutis.metrics.recalibration import (
    Photos,
    Scaling,
    Way,
    choose_way,
    counted_offsets,
    cross_validated,
    fit_scaling,
    held_out,
    reliability_curve,
    set_scores,
)

EXPORTED = Scaling(1.0, np.zeros(3))
EQUAL = np.full(3, 1 / 3)


def drawn(seed: int, size: int, temperature: float = 1.0, offsets: tuple[float, ...] = (0, 0, 0)):
    """Logits, and truths from the probabilities of another temperature and prior."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(size, 3)) * 2
    steps = np.cumsum(softmax(logits / temperature + np.array(offsets)), axis=1)
    truth = (rng.random((size, 1)) > steps).sum(axis=1)
    return Photos(logits, truth, np.arange(size), np.arange(size) % 5)


def test_both_are_found_again_from_many_cases() -> None:
    photos = drawn(0, 20_000, 2.0, (1.5, 0.0, -1.5))
    found = fit_scaling(photos, Way.BOTH, EXPORTED, EQUAL)
    assert found.temperature == pytest.approx(2.0, rel=0.05)
    assert np.diff(found.offsets) == pytest.approx([-1.5, -1.5], abs=0.1)
    assert choose_way(photos, EXPORTED, EQUAL) is Way.BOTH


def test_the_fit_is_the_minimum_of_what_the_docstring_says() -> None:
    photos = drawn(1, 60, 2.0, (1.0, 0.0, 0.0))
    counted = counted_offsets(photos, EQUAL)

    def cost(point: np.ndarray) -> float:
        scaled = log_softmax(photos.logits / np.exp(point[0]) + point[1:], axis=1)
        return -scaled[np.arange(60), photos.truth].sum() + ((point[1:] - counted) ** 2).sum() / 2

    found = fit_scaling(photos, Way.BOTH, EXPORTED, EQUAL)
    reached = cost(np.array([np.log(found.temperature), *found.offsets]))
    for start in ([0, 0, 0, 0], [2, 1, -1, 0], [-1, -2, 2, 3]):
        assert reached == pytest.approx(minimize(cost, np.array(start)).fun, abs=1e-3)


def test_what_no_case_shows_stays_possible_by_the_count() -> None:
    photos = drawn(2, 60)
    seen = photos.of(photos.truth != 2)
    offsets = fit_scaling(seen, Way.BOTH, EXPORTED, EQUAL).offsets
    cases = len(seen.truth)
    assert counted_offsets(seen, EQUAL)[2] == pytest.approx(np.log(3 / (cases + 3)))
    assert offsets[2] == pytest.approx(np.log(3 / (cases + 3)), abs=1.5)
    shares = np.array([0.5, 0.25, 0.25])
    moved = counted_offsets(seen, shares) - counted_offsets(seen, EQUAL)
    assert moved == pytest.approx(np.log(EQUAL) - np.log(shares))


def test_temperature_alone_is_that_of_the_plain_fit() -> None:
    photos = drawn(3, 300, 2.0)
    found = fit_scaling(photos, Way.TEMPERATURE, EXPORTED, EQUAL)
    assert found.temperature == fit_temperature(photos.logits, photos.truth)
    assert not found.offsets.any()
    assert fit_scaling(photos, Way.NOTHING, EXPORTED, EQUAL) is EXPORTED


@pytest.mark.parametrize("way", [Way.TEMPERATURE, Way.BOTH])
def test_a_temperature_keeps_near_the_exported_one(way: Way) -> None:
    rng = np.random.default_rng(8)
    truth = rng.integers(0, 3, 60)
    number, exported = np.arange(60), Scaling(1.4, np.zeros(3))
    easy = Photos(np.eye(3)[truth] * 3 + rng.normal(size=(60, 3)) * 0.1, truth, number, number % 5)
    assert fit_scaling(easy, way, exported, EQUAL).temperature == pytest.approx(0.7)
    wrong = Photos(easy.logits * 9, (truth + 1) % 3, number, number % 5)
    assert fit_scaling(wrong, way, exported, EQUAL).temperature == pytest.approx(5.6)


def test_a_case_counts_once_whatever_its_photos() -> None:
    photos = drawn(4, 60, 2.0, (1.0, 0.0, 0.0))
    again = [0] * 9
    more = Photos(
        np.concatenate([photos.logits, photos.logits[again]]),
        np.concatenate([photos.truth, photos.truth[again]]),
        np.concatenate([photos.group, photos.group[again]]),
        np.concatenate([photos.fold, photos.fold[again]]),
    )
    assert more.weights.sum() == pytest.approx(60)
    for way in (Way.TEMPERATURE, Way.BOTH):
        one, other = (fit_scaling(p, way, EXPORTED, EQUAL) for p in (photos, more))
        assert other.temperature == pytest.approx(one.temperature, rel=1e-3)
        assert other.offsets == pytest.approx(one.offsets, abs=1e-3)


def test_nothing_is_chosen_where_the_probabilities_hold_already() -> None:
    chosen = [choose_way(drawn(seed, 80), EXPORTED, EQUAL) for seed in range(8)]
    assert Way.NOTHING in chosen


def test_no_photo_is_answered_by_what_was_fitted_to_it() -> None:
    photos = drawn(5, 100, 2.0, (1.0, 0.0, 0.0))
    other = Photos(photos.logits, photos.truth.copy(), photos.group, photos.fold)
    other.truth[photos.fold == 0] = (photos.truth[photos.fold == 0] + 1) % 3
    for answers in (
        lambda p: held_out(p, Way.BOTH, EXPORTED, EQUAL),
        lambda p: cross_validated(p, EXPORTED, EQUAL),
    ):
        same = photos.fold == 0
        assert np.array_equal(answers(photos)[same], answers(other)[same])
        assert not np.array_equal(answers(photos)[~same], answers(other)[~same])


def test_sets_only_grow_and_an_answer_is_in_its_set() -> None:
    rng = np.random.default_rng(6)
    exported = softmax(rng.normal(size=(500, 4)) * 2)
    shown = softmax(np.log(exported) + np.array([3.0, 0, 0, -3.0]))
    thresholds = np.array([0.5, 0.3, 0.4, 0.6])
    before = prediction_sets(exported, thresholds)
    after = prediction_sets(set_scores(exported, shown, thresholds), thresholds)
    assert (after >= before).all()
    empty = ~before.any(axis=1)
    assert 0 < empty.sum() < 500
    assert not after[empty].any()
    first = shown[~empty].argmax(axis=1)
    assert after[~empty][np.arange(first.size), first].all()
    assert (first != exported[~empty].argmax(axis=1)).any()


def test_points_of_a_curve_hold_equally_many_photos() -> None:
    rng = np.random.default_rng(7)
    probability = rng.random(400)
    points = reliability_curve(
        probability, rng.random(400) < probability, np.arange(400) // 2, bins=4
    )
    assert [point.photos for point in points] == [100] * 4
    for point in points:
        assert point.low is not None
        assert point.high is not None
        assert point.low < point.share < point.high
        assert abs(point.share - point.probability) < 0.12
