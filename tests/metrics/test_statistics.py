"""Tests between classifiers, against scipy, definitions and published worked examples."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cutis.errors import InputError
from cutis.metrics.bootstrap import Floats, Resampling
from cutis.metrics.scores import weighted_mean
from cutis.metrics.statistics import (
    delong,
    delong_test,
    epoch_t_test,
    holm,
    mcnemar,
    paired_bootstrap,
)

RNG = np.random.default_rng(7)


def right(only_first: int, only_second: int, both: int = 5, neither: int = 3) -> list[NDArray]:
    """Two classifiers that are right on so many photos alone and together."""
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return [np.array(first), np.array(second)]


def test_the_t_test_on_epochs_is_scipys() -> None:
    first, second = RNG.normal(0.6, 0.1, (2, 9))
    expected = stats.ttest_rel(second, first)
    found = epoch_t_test(list(first), list(second))
    assert (found.t, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.pairs == 9
    assert float(found.gain.value) == pytest.approx((second - first).mean())
    assert found.gain.low < found.gain.value < found.gain.high


@pytest.mark.parametrize(
    ("t", "published"),
    [(-3.5609, 0.0092), (-4.6456, 0.0024), (5.8462, 0.0006), (8.3865, 0.0001)],
)
def test_the_t_tests_of_azeem_2025(t: float, published: float) -> None:
    gains = np.array([1.0, 2.0, -1.5, 0.5, 0.0, -0.7, 3.0, 1.1])
    gains = (gains - gains.mean()) / gains.std(ddof=1) + t / np.sqrt(8)
    found = epoch_t_test([0.0] * 8, list(gains))
    assert found.t == pytest.approx(t)
    assert round(found.p_value, 4) == published


def test_the_interval_of_the_gain_resamples_epochs() -> None:
    first, second = RNG.normal(0.6, 0.1, (2, 12))
    reference = stats.bootstrap(
        (second - first,), np.mean, n_resamples=5000, method="percentile", rng=0
    ).confidence_interval
    found = epoch_t_test(list(first), list(second), Resampling(resamples=5000)).gain
    assert (found.low, found.high) == pytest.approx(tuple(reference), abs=0.004)


def test_equal_epochs_have_no_t() -> None:
    assert np.isnan(epoch_t_test([0.5, 0.6], [0.5, 0.6]).t)
    steady = epoch_t_test([0.5, 0.75], [0.75, 1.0])
    assert (steady.t, steady.p_value) == (np.inf, 0.0)


@pytest.mark.parametrize("second", [[0.5], [0.5, 0.6, 0.7], []])
def test_epochs_that_cannot_be_paired(second: list[float]) -> None:
    with pytest.raises(InputError, match="these epochs cannot be paired"):
        epoch_t_test([0.5] * min(len(second), 1) if len(second) != 3 else [0.5, 0.6], second)


@pytest.mark.parametrize(
    ("only_first", "only_second", "exact", "mid_p"),
    [
        (1, 7, 0.070, 0.039),  # Fagerland et al. 2013, table 1: airway hyper-responsiveness
        (6, 16, 0.052, 0.035),  # the same, table 2: complete response
        (4, 4, 1.0, 0.863),  # where both are alike: 1 - 70 / 256 / 2
        (0, 0, 1.0, 1.0),
    ],
)
def test_mcnemar_as_published(
    only_first: int, only_second: int, exact: float, mid_p: float
) -> None:
    found = mcnemar(*right(only_first, only_second))
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert (found.exact, found.mid_p) == pytest.approx((exact, mid_p), abs=0.0006)


def test_mcnemar_exact_is_the_binomial_test_both_ways_round() -> None:
    for fewer, more in ((3, 9), (0, 6), (12, 13)):
        expected = stats.binomtest(fewer, fewer + more).pvalue
        assert mcnemar(*right(fewer, more)).exact == pytest.approx(expected)
        assert mcnemar(*right(more, fewer)).mid_p == mcnemar(*right(fewer, more)).mid_p


def test_holm_in_the_order_given() -> None:
    # the worked example of the encyclopedia: p 0.01, 0.04, 0.03, 0.005 at four hypotheses
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]).size == 0


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    for _ in range(50):
        p_values = RNG.uniform(0, 0.08, 6)
        rejected = np.zeros(6, bool)
        for step, index in enumerate(np.argsort(p_values)):  # Holm 1979, section 2
            if p_values[index] > 0.05 / (6 - step):
                break
            rejected[index] = True
        assert ((holm(list(p_values)) <= 0.05) == rejected).all()


def accuracy_of(correct: NDArray[np.bool_]):  # type: ignore[no-untyped-def]
    def scores(weights: Floats) -> dict[str, Floats]:
        return {"accuracy": weighted_mean(correct.astype(float), weights)}

    return scores


def test_paired_bootstrap_resamples_groups_on_both_sides_alike() -> None:
    first = RNG.random(60) < 0.5
    groups = np.repeat(np.arange(20), 3)
    found = paired_bootstrap(accuracy_of(first), accuracy_of(first), groups, Resampling())
    same = found["accuracy"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    gains = np.repeat(RNG.normal(0, 1, 20), 3) > 0.3  # a group is gained or lost as one
    wide = paired_bootstrap(
        accuracy_of(np.zeros(60, bool)), accuracy_of(gains), groups, Resampling()
    )["accuracy"]
    narrow = paired_bootstrap(
        accuracy_of(np.zeros(60, bool)), accuracy_of(gains), np.arange(60), Resampling()
    )["accuracy"]
    assert wide.value == narrow.value == gains.mean()
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)
    assert ratio == pytest.approx(np.sqrt(3), abs=0.25)


def by_definition(scores: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Areas and covariance by equations 4 to 6 of DeLong et al. 1988, pair by pair."""
    ill, well = scores[:, positive], scores[:, ~positive]
    wins = (ill[:, :, None] > well[:, None, :]) + 0.5 * (ill[:, :, None] == well[:, None, :])
    return wins.mean(axis=(1, 2)), (
        np.cov(wins.mean(axis=2)) / ill.shape[1] + np.cov(wins.mean(axis=1)) / well.shape[1]
    )


def test_delong_is_its_definition_with_ties() -> None:
    positive = RNG.random(80) < 0.4
    scores = np.round(RNG.normal(positive * 1.0, 1, (3, 80)), 1)
    areas, covariance = by_definition(scores, positive)
    found = delong(scores, positive)
    assert found.values == pytest.approx(areas)
    assert found.covariance == pytest.approx(covariance)
    u = stats.mannwhitneyu(scores[0, positive], scores[0, ~positive]).statistic
    assert found.values[0] == pytest.approx(u / positive.sum() / (~positive).sum())


def test_delong_test_of_two_scores() -> None:
    positive = RNG.random(200) < 0.5
    weak = RNG.normal(positive * 0.3, 1)
    strong = RNG.normal(positive * 2.0, 1)
    areas, covariance = by_definition(np.stack([weak, strong]), positive)
    z = (areas[1] - areas[0]) / np.sqrt(np.array([-1, 1]) @ covariance @ np.array([-1, 1]))
    found = delong_test(weak, strong, positive)
    assert (found.first, found.second, found.z) == pytest.approx((*areas, z))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(z))
    assert found.low < found.difference < found.high
    assert (found.low > 0) == (found.p_value < 0.05)
    turned = delong_test(strong, weak, positive)
    assert (turned.z, turned.p_value) == pytest.approx((-found.z, found.p_value))


def test_delong_interval_covers_as_often_as_it_says() -> None:
    true = stats.norm.cdf(1 / np.sqrt(2))
    covered = 0
    for _ in range(400):
        positive = np.arange(120) < 50
        low, high = delong(RNG.normal(positive * 1.0, 1), positive).interval()
        covered += low <= true <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.035)


def test_scores_that_rank_alike_do_not_differ() -> None:
    positive = np.arange(20) % 2 == 0
    score = RNG.normal(size=20)
    found = delong_test(score, np.exp(score), positive)
    assert (found.difference, found.p_value) == (0, 1)
    perfect = delong_test(np.where(positive, 0.0, 1.0), np.where(positive, 1.0, 0.0), positive)
    assert (perfect.difference, perfect.p_value) == (1, 0)


def test_delong_needs_two_photos_on_either_side() -> None:
    with pytest.raises(InputError, match="two photos on either side"):
        delong(np.arange(4.0), np.array([True, False, False, False]))
