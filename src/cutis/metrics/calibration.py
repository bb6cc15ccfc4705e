"""From logits to probabilities, and whether the probabilities hold.

Shapes: R weightings, N photos, K diagnoses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.special import softmax as _softmax

from cutis.errors import InputError
from cutis.metrics.bootstrap import Floats
from cutis.metrics.scores import ratio

BINS = 15
SMALLEST_PROBABILITY = 1e-15
"""Log loss takes a probability of 0 as this much, so an impossible answer costs 34.5."""

TEMPERATURES = (0.05, 20.0)
"""Between these every fitted temperature lies."""


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """(N, K) logits to probabilities; a temperature above 1 makes them less sure."""
    return np.asarray(_softmax(np.asarray(logits, np.float64) / temperature, axis=1))


def fit_temperature(
    logits: Floats,
    truth_index: NDArray[np.intp],
    *,
    weights: Floats | None = None,
) -> float:
    """The temperature with the lowest log loss (Guo et al. 2017, section 4.2).

    Args:
        logits: (N, K) of validation photos; never of photos that are evaluated afterwards.
        truth_index: (N,) in 0 … K - 1.
        weights: (N,) of the photos; all weigh the same where none are given.

    The search keeps to 0.05 … 20; a set without a mistake ends at its lower edge. InputError for
    an empty set, logits that are not finite, and a truth outside 0 … K - 1.
    """
    from scipy.optimize import minimize_scalar  # answering photos does without it

    logits = np.asarray(logits, np.float64)
    if logits.ndim != 2 or logits.shape[0] == 0 or truth_index.shape != logits.shape[:1]:
        raise InputError(
            "a temperature cannot be fitted to this",
            expected=f"logits (photos, diagnoses) and a truth for each photo, not "
            f"{logits.shape} and {truth_index.shape}",
        )
    if not np.isfinite(logits).all():
        raise InputError("some logits are not finite", expected="numbers", fix="predict again")
    if truth_index.min() < 0 or truth_index.max() >= logits.shape[1]:
        raise InputError(
            "a photo's truth is none of the model's diagnoses",
            fix="leave such photos out when fitting the temperature",
        )

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        true = np.take_along_axis(scaled, truth_index[:, None], axis=1)[:, 0]
        return -float(np.average(true, weights=weights))

    # The loss is convex in 1 / temperature, so it has one valley in the logarithm too.
    found = minimize_scalar(
        loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def log_losses(probabilities: Floats, truth_index: NDArray[np.intp]) -> Floats:
    """(N,) minus the natural logarithm of the truth's probability."""
    true = np.take_along_axis(probabilities, truth_index[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(true, SMALLEST_PROBABILITY)))


def brier_scores(probabilities: Floats, truth_index: NDArray[np.intp]) -> Floats:
    """(N,) squared distance to the truth summed over diagnoses, 0 to 2 (Brier 1950, eq. 2)."""
    true = np.take_along_axis(probabilities, truth_index[:, None], axis=1)[:, 0]
    return np.asarray(np.square(probabilities).sum(axis=1) - 2 * true + 1)


def calibration_error(
    confidence: Floats, correct: NDArray[np.bool_], weights: Floats, bins: int = BINS
) -> Floats:
    """(R,) expected calibration error of the top answer (Guo et al. 2017, eq. 3).

    The confidence axis 0 … 1 is cut into `bins` of equal width; each bin's distance between mean
    confidence and accuracy counts by its share of the photos.

    Args:
        confidence: (N,) probability of the most probable diagnosis.
        correct: (N,) whether that diagnosis is the truth.
        weights: (R, N).
    """
    members = np.eye(bins)[bin_index(confidence, bins)]
    gaps = weights @ (members * (confidence - correct)[:, None])
    return ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def bin_index(confidence: Floats, bins: int = BINS) -> NDArray[np.intp]:
    """(N,) bin of each confidence; a value on an edge belongs to the lower bin."""
    return np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram; the means are None in an empty bin."""

    low: float
    high: float
    photos: int
    confidence: float | None
    accuracy: float | None


def reliability(
    confidence: Floats, correct: NDArray[np.bool_], bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """The bins that `calibration_error` sums over."""
    index = bin_index(confidence, bins)
    made = []
    for number in range(bins):
        inside = index == number
        filled = bool(inside.any())
        made.append(
            ReliabilityBin(
                low=number / bins,
                high=(number + 1) / bins,
                photos=int(inside.sum()),
                confidence=float(confidence[inside].mean()) if filled else None,
                accuracy=float(correct[inside].mean()) if filled else None,
            )
        )
    return tuple(made)
