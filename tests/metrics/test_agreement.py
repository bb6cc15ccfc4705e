"""Cohen's kappa against scikit-learn and published worked examples."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from cutis.metrics.agreement import Weighting, cohen_kappa

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
