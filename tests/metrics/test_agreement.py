"""Kappas against scikit-learn, definitions and published worked examples."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from cutis.metrics.agreement import NOT_RATED, Weighting, cohen_kappa, rater_agreement
from cutis.metrics.bootstrap import Resampling

RNG = np.random.default_rng(3)


def test_standard_error_as_published() -> None:
    # Bonett's statpsych (after Fleiss and Paik 2003) prints this for the counts 31, 12, 4, 58
    found = cohen_kappa(np.array([[31, 12], [4, 58]]))
    assert found.value == pytest.approx(0.6756757, abs=1e-7)
    assert found.standard_error == pytest.approx(0.07344761, abs=1e-8)
    assert (found.low, found.high) == pytest.approx((0.5317210, 0.8196303), abs=1e-7)


@pytest.mark.parametrize("weighting", ["none", "linear", "quadratic"])
def test_value_is_that_of_scikit_learn(weighting: Weighting) -> None:
    first = RNG.integers(0, 4, 120)
    second = np.where(RNG.random(120) < 0.5, first, RNG.integers(0, 4, 120))
    weights = None if weighting == "none" else weighting
    expected = cohen_kappa_score(first, second, weights=weights)
    assert cohen_kappa(confusion_matrix(first, second), weighting).value == pytest.approx(expected)


@pytest.mark.parametrize("weighting", ["none", "linear", "quadratic"])
def test_standard_error_is_the_spread_over_samples(weighting: Weighting) -> None:
    shares = np.array([[0.3, 0.06, 0.02], [0.05, 0.25, 0.04], [0.02, 0.06, 0.2]])
    drawn = RNG.multinomial(400, shares.ravel(), size=2000).reshape(-1, 3, 3)
    spread = np.std([cohen_kappa(counts, weighting).value for counts in drawn])
    assert cohen_kappa(shares * 400, weighting).standard_error == pytest.approx(spread, rel=0.06)


def test_full_agreement_and_none_to_speak_of() -> None:
    full = cohen_kappa(np.diag([4, 5, 6]))
    assert (full.value, full.low, full.high) == (1, 1, 1)
    assert np.isnan(cohen_kappa(np.array([[9, 0], [0, 0]])).value)


# Raters who each saw some of the cases


def rated(cases: int, raters: int, seed: int = 0, right: float = 0.7) -> np.ndarray:
    """Raters who name the truth of three categories, or else any of them."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, cases, p=[0.6, 0.3, 0.1])[:, None]
    guessed = rng.integers(0, 3, (cases, raters))
    return np.where(rng.random((cases, raters)) < right, truth, guessed)


def test_two_raters_have_cohens_kappa_with_an_interval_as_wide_as_the_normal_one() -> None:
    table = rated(400, 2)
    found = rater_agreement(table, np.arange(400), Resampling())
    assert float(found.kappa.value) == pytest.approx(cohen_kappa_score(*table.T))
    assert float(found.agreed.value) == np.mean(table[:, 0] == table[:, 1])
    normal = cohen_kappa(confusion_matrix(*table.T))
    assert float(found.kappa.low) == pytest.approx(normal.low, abs=0.02)
    assert float(found.kappa.high) == pytest.approx(normal.high, abs=0.02)
    assert (found.cases, found.pairs, found.undefined) == (400, 400, None)


def test_resampling_by_patient_widens_the_interval() -> None:
    copied = np.repeat(rated(60, 2), 4, axis=0)

    def width(groups: np.ndarray) -> float:
        kappa = rater_agreement(copied, groups, Resampling()).kappa
        return float(kappa.high - kappa.low)

    assert width(np.arange(240)) < 0.6 * width(np.repeat(np.arange(60), 4))


def test_many_raters_of_every_case_have_congers_kappa() -> None:
    table = rated(90, 4, seed=1)
    shares = np.array([np.bincount(rater, minlength=3) / 90 for rater in table.T])
    pairs = [(a, b) for a in range(4) for b in range(a)]
    observed = np.mean([np.mean(table[:, a] == table[:, b]) for a, b in pairs])
    expected = np.mean([shares[a] @ shares[b] for a, b in pairs])
    found = rater_agreement(table, np.arange(90), Resampling(resamples=20))
    assert float(found.kappa.value) == pytest.approx((observed - expected) / (1 - expected))
    assert (found.cases, found.pairs) == (90, 6 * 90)


def test_a_pair_counts_by_its_common_cases() -> None:
    # The first two rated 0 to 49, the first and the third 40 to 99; 40 to 49 all three.
    table = rated(110, 3, seed=2)
    table[50:, 1] = NOT_RATED
    table[:40, 2] = NOT_RATED
    table[100:, 2] = NOT_RATED  # one rater alone: no case of agreement
    found = rater_agreement(table, np.arange(110), Resampling(resamples=20))
    gains, rooms = [], []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = table[(table[:, a] >= 0) & (table[:, b] >= 0)]
        counts = confusion_matrix(both[:, a], both[:, b], labels=range(3))
        chance = counts.sum(axis=1) @ counts.sum(axis=0) / len(both)
        gains.append(np.trace(counts) - chance)
        rooms.append(len(both) - chance)
    assert float(found.kappa.value) == pytest.approx(sum(gains) / sum(rooms))
    assert (found.cases, found.pairs) == (100, 50 + 60 + 10)


@pytest.mark.parametrize(
    ("table", "reason", "agreed"),
    [
        ([], "few_cases", np.nan),
        ([[0, 1]], "few_cases", 0.0),
        ([[0, NOT_RATED], [NOT_RATED, 1], [1, 1]], "few_cases", 1.0),
        ([[2, 2], [2, 2], [2, 2]], "one_category", 1.0),
    ],
)
def test_no_kappa_and_why(table: list[list[int]], reason: str, agreed: float) -> None:
    ratings = np.array(table, int).reshape(-1, 2)
    found = rater_agreement(ratings, np.arange(len(ratings)), Resampling(resamples=20))
    assert found.undefined == reason
    assert np.isnan([found.kappa.value, found.kappa.low, found.kappa.high]).all()
    assert float(found.agreed.value) == pytest.approx(agreed, nan_ok=True)


def test_one_patient_has_a_kappa_without_an_interval() -> None:
    found = rater_agreement(rated(30, 2), np.zeros(30, int), Resampling())
    assert float(found.kappa.value) > 0
    assert np.isnan(found.kappa.low)
