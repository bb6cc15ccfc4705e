"""A model's probabilities, fitted to the photos of one clinic by temperature and prior.

Every group (patient, lesion) counts once, whatever the number of its photos: a photo weighs
1 / size of its group. Shapes: N photos, K diagnoses, F folds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from cutis.metrics.bootstrap import Floats, Resampling, bootstrap
from cutis.metrics.calibration import fit_temperature, log_losses, softmax
from cutis.metrics.conformal import prediction_sets
from cutis.metrics.scores import ratio
from cutis.records import Record

Indices = NDArray[np.intp]

SHARPEST, SOFTEST = 0.5, 4.0
"""Between these every fitted temperature lies, as a multiple of the exported one. A few cases that
are all answered right would have it fall without end, and every later answer would be certain."""


class Way(StrEnum):
    """What is fitted, the simpler first."""

    NOTHING = "nothing"
    TEMPERATURE = "temperature"
    BOTH = "temperature and prior"


WITHOUT_PRIOR = (Way.NOTHING, Way.TEMPERATURE)
"""For cases whose shares of the diagnoses are not those of the patients."""


@dataclass(frozen=True)
class Scaling:
    """From logits to probabilities: softmax of logits / temperature + offsets."""

    temperature: float
    offsets: Floats  # (K,)

    def probabilities(self, logits: Floats) -> Floats:
        """(N, K) from (N, K)."""
        return softmax(np.asarray(logits, np.float64) / self.temperature + self.offsets)


@dataclass(frozen=True)
class Photos:
    """What a network says of photos with a known diagnosis."""

    logits: Floats  # (N, K)
    truth: Indices  # (N,) in 0 … K - 1
    group: Indices  # (N,) numbered from 0 without gaps
    fold: Indices  # (N,) any number by fold; photos of a group have one

    @property
    def weights(self) -> Floats:
        """(N,) 1 / size of the group."""
        return np.asarray(1 / np.bincount(self.group)[self.group])

    def of(self, chosen: NDArray[np.bool_]) -> "Photos":
        """Some of the photos."""
        group = np.unique(self.group[chosen], return_inverse=True)[1]
        return Photos(self.logits[chosen], self.truth[chosen], group, self.fold[chosen])


def counted_offsets(photos: Photos, implied: Floats) -> Floats:
    """(K,) by how much logits move where the shares of the diagnoses are those of the photos.

    Saerens, Latinne and Decaestecker 2002, equation 4: the logarithm of new over old shares. Their
    new shares come from unlabelled photos by expectation maximisation; here the diagnoses are
    known, so groups are counted. One group of each is added (Laplace), so that a diagnosis that
    the clinic has not shown yet stays possible.

    Args:
        implied: (K,) shares of the diagnoses that the logits stand for.
    """
    classes = photos.logits.shape[1]
    counts = np.bincount(photos.truth, weights=photos.weights, minlength=classes) + 1
    return np.asarray(np.log(counts / counts.sum()) - np.log(implied))


def fit_scaling(photos: Photos, way: Way, exported: Scaling, implied: Floats) -> Scaling:
    """Fits a scaling by the lowest log loss; NOTHING gives the one as exported.

    With a prior this is the bias-corrected temperature scaling of Alexandari, Kundaje and Shrikumar
    (ICML 2020), whose offsets are drawn to the counted ones: each squared distance costs half a
    group's log loss. Where a diagnosis has many groups their answers decide, where it has none the
    count does. The temperature keeps to SHARPEST … SOFTEST. InputError as `fit_temperature`.

    Args:
        implied: as `counted_offsets` takes it.
    """
    if way is Way.NOTHING:
        return exported
    lowest, highest = SHARPEST * exported.temperature, SOFTEST * exported.temperature
    if way is Way.BOTH:
        return _fit_both(photos, counted_offsets(photos, implied), (lowest, highest))
    # The loss has one valley, so its lowest point within the bounds is the nearest to the valley.
    found = fit_temperature(photos.logits, photos.truth, weights=photos.weights)
    return Scaling(float(np.clip(found, lowest, highest)), np.zeros(photos.logits.shape[1]))


def _fit_both(photos: Photos, counted: Floats, temperatures: tuple[float, float]) -> Scaling:
    from scipy.optimize import minimize  # answering photos does without it

    truths = np.eye(counted.size)[photos.truth]
    weights = photos.weights[:, None]

    def cost(point: Floats) -> tuple[float, Floats]:
        """Of (log temperature, offsets), with the gradient; convex in 1 / temperature."""
        scaled = log_softmax(photos.logits * np.exp(-point[0]) + point[1:], axis=1)
        away = point[1:] - counted
        slope = weights * (np.exp(scaled) - truths)
        by_temperature = -float((slope * photos.logits).sum() * np.exp(-point[0]))
        loss = -float((weights * truths * scaled).sum()) + float(away @ away) / 2
        return loss, np.concatenate([[by_temperature], slope.sum(axis=0) + away])

    bounds = [tuple(np.log(temperatures)), *[(None, None)] * counted.size]
    start = np.concatenate([[np.log(temperatures).mean()], counted])
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Scaling(float(np.exp(found.x[0])), np.asarray(found.x[1:]))


def choose_way(
    photos: Photos, exported: Scaling, implied: Floats, ways: Sequence[Way] = tuple(Way)
) -> Way:
    """The one of the ways with the lowest log loss in cross-validation by the photos' folds."""
    truth, weights = photos.truth, photos.weights
    losses = {
        way: float(np.average(log_losses(held_out(photos, way, exported, implied), truth),
                              weights=weights))
        for way in ways
    }  # fmt: skip
    return min(ways, key=lambda way: losses[way])


def held_out(photos: Photos, way: Way, exported: Scaling, implied: Floats) -> Floats:
    """(N, K) probabilities of each photo by a scaling that was fitted without its fold."""
    found = np.empty(photos.logits.shape)
    for number in np.unique(photos.fold):
        out = photos.fold == number
        scaling = fit_scaling(photos.of(~out), way, exported, implied)
        found[out] = scaling.probabilities(photos.logits[out])
    return found


def cross_validated(
    photos: Photos, exported: Scaling, implied: Floats, ways: Sequence[Way] = tuple(Way)
) -> Floats:
    """(N, K) as `held_out`, where the way too is chosen without the photo's fold.

    So the choice cannot flatter the figures (nested cross-validation).
    """
    found = np.empty(photos.logits.shape)
    for number in np.unique(photos.fold):
        out = photos.fold == number
        rest = photos.of(~out)
        way = choose_way(rest, exported, implied, ways)
        scaling = fit_scaling(rest, way, exported, implied)
        found[out] = scaling.probabilities(photos.logits[out])
    return found


def set_scores(exported: Floats, shown: Floats, thresholds: Floats) -> Floats:
    """(N, K) what the thresholds of prediction sets are compared with, after a recalibration.

    The probabilities as exported: what a recalibration makes rare is not ruled out by it. Where a
    set has a diagnosis, it has the one shown as most probable too, so that no answer stands outside
    its set. Both only widen sets, so what is promised of the sets as exported still holds.

    Args:
        exported, shown: (N, K) probabilities before and after the recalibration.
        thresholds: (K,).
    """
    some = np.asarray(prediction_sets(exported, thresholds).any(axis=1))
    first = np.eye(thresholds.size, dtype=bool)[shown.argmax(axis=1)]
    return np.where(first & some[:, None], 1.0, exported)


class CurvePoint(Record):
    """One point of a reliability curve with its 95 % interval; null where undefined."""

    probability: float  # mean of the bin
    share: float  # how often it came true
    low: float | None
    high: float | None
    photos: int


def reliability_curve(
    probability: Floats,
    came_true: NDArray[np.bool_],
    group: Indices,
    *,
    bins: int,
) -> Sequence[CurvePoint]:
    """How often what was given a probability came true, in bins of equally many photos.

    Args:
        probability: (N,).
        came_true: (N,).
        group: (N,) numbered from 0 without gaps; groups count once and are resampled whole.
    """
    rank = np.argsort(np.argsort(probability, kind="stable"), kind="stable")
    place = rank * bins // probability.size
    members = np.eye(bins)[place] / np.bincount(group)[group][:, None]
    found = bootstrap(
        lambda weights: {
            "share": ratio(weights @ (members * came_true[:, None]), weights @ members)
        },
        group,
        Resampling(),
    )["share"]
    means = ratio(probability @ members, members.sum(axis=0))
    return [
        CurvePoint(
            probability=float(means[k]),
            share=float(found.value[k]),
            low=_number(found.low[k]),
            high=_number(found.high[k]),
            photos=int((place == k).sum()),
        )
        for k in range(bins)
        if (place == k).any()
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
