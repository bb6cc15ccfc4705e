"""Figures of probabilities and prediction sets on a clinic's cases; every case counts once."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from cutis.evaluation.values import figure
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.metrics.bootstrap import Estimates, Floats, Resampling, bootstrap
from cutis.metrics.calibration import brier_scores, calibration_error, log_losses
from cutis.metrics.recalibration import Photos, reliability_curve
from cutis.metrics.scores import ratio
from cutis.studies.abstention_record import Figure
from cutis.studies.recalibration.record import Judged, Sets

_CASES_OF_A_POINT = 20
_POINTS = 10
_COMPARED = ("log_loss", "brier", "calibration_error", "not_benign_found")

Bools = NDArray[np.bool_]


def judged(
    photos: Photos, probabilities: Floats, diagnoses: tuple[str, ...], suspect: Bools
) -> Judged:
    """Calibration and first answers of (N, K) probabilities.

    Args:
        suspect: (K,) which diagnoses are not known to be benign.
    """
    found = bootstrap(_statistic(photos, probabilities, suspect), photos.group, Resampling())
    cases = int(photos.group.max()) + 1
    bins = int(np.clip(cases // _CASES_OF_A_POINT, 2, _POINTS))
    first = probabilities.argmax(axis=1)
    return Judged(
        log_loss=_figure(found["log_loss"]),
        brier=_figure(found["brier"]),
        calibration_error=_figure(found["calibration_error"]),
        accuracy=_figure(found["accuracy"]),
        found={name: _figure(found["found"], k) for k, name in enumerate(diagnoses)},
        not_benign_found=_figure(found["not_benign_found"]),
        reliability=tuple(
            reliability_curve(
                probabilities.max(axis=1), first == photos.truth, photos.group, bins=bins
            )
        ),
        not_benign=tuple(
            reliability_curve(
                probabilities[:, suspect].sum(axis=1),
                suspect[photos.truth],
                photos.group,
                bins=bins,
            )
        ),
    )


def differences(photos: Photos, before: Floats, after: Floats, suspect: Bools) -> dict[str, Figure]:
    """After minus before on the same cases, with intervals of the difference itself."""
    scores = _statistic(photos, before, suspect), _statistic(photos, after, suspect)

    def statistic(weights: Floats) -> Mapping[str, Floats]:
        old, new = (score(weights) for score in scores)
        return {name: new[name] - old[name] for name in _COMPARED}

    found = bootstrap(statistic, photos.group, Resampling())
    return {name: _figure(values) for name, values in found.items()}


def judged_sets(photos: Photos, sets: Bools, policy: AnswerPolicy, suspect: Bools) -> Sets:
    """What (N, K) sets are worth, by their size and what they hold."""
    size = sets.sum(axis=1)
    refused, missed = _answered(sets, policy, suspect)
    grave = suspect[photos.truth]
    hit = np.take_along_axis(sets, photos.truth[:, None], axis=1)[:, 0]
    means = {
        "coverage": (hit, np.ones(hit.size)),
        "size": (size, np.ones(hit.size)),
        "no_answer": (refused, np.ones(hit.size)),
        "missed": (missed, grave),
    }
    return Sets(**{name: mean_figure(photos, *pair) for name, pair in means.items()})


def more_missed(
    photos: Photos, before: Bools, after: Bools, policy: AnswerPolicy, suspect: Bools
) -> Figure:
    """By how much the share rises that `Sets.missed` is, from (N, K) sets to others."""
    old, new = (_answered(sets, policy, suspect)[1].astype(int) for sets in (before, after))
    return mean_figure(photos, new - old, suspect[photos.truth])


def _answered(sets: Bools, policy: AnswerPolicy, suspect: Bools) -> tuple[Bools, Bools]:
    """(N,) which sets are no answer, and which are one of benign diagnoses alone."""
    size = sets.sum(axis=1)
    refused = (size == 0) | (size > min(policy.largest_set, sets.shape[1] - 1))
    return refused, ~refused & ~(sets & suspect).any(axis=1)


def mean_figure(photos: Photos, values: NDArray[np.generic], chosen: NDArray[np.generic]) -> Figure:
    """The mean of (N,) values over the chosen photos, each case counting once."""
    weight = photos.weights * chosen.astype(np.float64)
    weighted = weight * values.astype(np.float64)
    found = bootstrap(
        lambda weights: {"mean": ratio(weights @ weighted, weights @ weight)},
        photos.group,
        Resampling(),
    )
    return _figure(found["mean"])


def _statistic(
    photos: Photos, probabilities: Floats, suspect: Bools
) -> Callable[[Floats], Mapping[str, Floats]]:
    truths = np.eye(probabilities.shape[1])[photos.truth]
    first = probabilities.argmax(axis=1)
    correct = first == photos.truth
    grave = suspect[photos.truth].astype(np.float64)
    confidence = probabilities.max(axis=1)
    means = {
        "log_loss": log_losses(probabilities, photos.truth),
        "brier": brier_scores(probabilities, photos.truth),
        "accuracy": correct.astype(np.float64),
    }

    def scores(weights: Floats) -> Mapping[str, Floats]:
        each = weights * photos.weights
        return {
            **{name: ratio(each @ values, each.sum(axis=1)) for name, values in means.items()},
            "calibration_error": calibration_error(confidence, correct, each),
            "found": ratio(each @ (truths * correct[:, None]), each @ truths),
            "not_benign_found": ratio(each @ (grave * suspect[first]), each @ grave),
        }

    return scores


def _figure(found: Estimates, index: int | None = None) -> Figure:
    parts = figure(found, index)
    return Figure(value=parts["value"], low=parts["low"], high=parts["high"])
