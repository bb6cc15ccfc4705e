"""Prediction sets that hold the true diagnosis of a new photo with a chosen probability.

Split conformal prediction (Angelopoulos and Bates 2021, arXiv:2107.07511, section 1): a diagnosis
is in the set when its probability reaches a threshold that the truth reached in enough calibration
photos. These are the sets of Sadinle, Lei and Wasserman (2019, JASA 114:223), on average the
smallest of all with this coverage where the probabilities are right. One may be empty: no
diagnosis fits.

Photos of one group (lesion, patient) are not exchangeable, so groups are what is counted: each
photo weighs 1 / size of its group, and the photo to come is one of a group to come (Lee, Barber
and Willett 2023, arXiv:2306.06342; the CDF pooling of Dunn, Wasserman and Ramdas 2023, JASA
118:2491, with the correction for finite samples).

Shapes: N photos, K diagnoses, S splits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.metrics.bootstrap import Floats
from cutis.metrics.scores import ratio

LEVEL = 0.95

_ROUNDING = 1 - 1e-12  # 0.95 * 40 groups must not ask for a little more than 38


@dataclass(frozen=True)
class SetThresholds:
    """From which probability on a diagnosis is in the set."""

    values: Floats  # (K,)
    pooled: NDArray[np.bool_]  # (K,) shares one threshold with the other pooled diagnoses
    level: float


def conformal_threshold(
    scores: Floats, group_index: NDArray[np.intp], level: float = LEVEL
) -> float:
    """The largest value that the score of one photo of a new group reaches with chance `level`.

    The weighted quantile of Lee, Barber and Willett 2023: photos weigh 1 / size of their group,
    and the new group counts as one more, all below. With one photo a group this is the
    ceil((groups + 1) * level)-th largest score. -inf with less than level / (1 - level) groups,
    19 for 0.95: then no value keeps the promise.

    Args:
        scores: (N,) higher means more like the calibration photos.
        group_index: (N,) any number by group.
    """
    _, member, sizes = np.unique(group_index, return_inverse=True, return_counts=True)
    order = np.argsort(-scores, kind="stable")
    mass = np.cumsum(1 / sizes[member[order]])
    reached = np.flatnonzero(mass >= level * (sizes.size + 1) * _ROUNDING)
    return float(scores[order[reached[0]]]) if reached.size else -np.inf


def set_thresholds(
    probabilities: Floats,
    truth_index: NDArray[np.intp],
    group_index: NDArray[np.intp],
    *,
    level: float = LEVEL,
    conditional: bool = True,
) -> SetThresholds:
    """Thresholds from calibration photos, which the model was not trained on.

    Class-conditional (Mondrian; Angelopoulos and Bates 2021, section 4.2): a diagnosis with enough
    groups has a threshold of its own, and its photos are covered at `level`. Enough is
    2 / (1 - level) - 1 groups (39 for 0.95), so that the threshold does not hang on the worst
    group alone. The rarer ones share one threshold, that of their photos together, and take the
    next rarer in until they are enough. So every photo belongs to one class of the division, and
    coverage holds over all too.

    Args:
        probabilities: (N, K), calibrated or not; the sets are smaller where they are right.
        truth_index: (N,) in 0 … K - 1.
        group_index: (N,) any number by group.
        conditional: False for one threshold for all diagnoses (marginal coverage).

    Raises InputError for arrays that do not fit each other, values that are not finite, a truth
    that is none of the diagnoses, a level outside 0 … 1, and too few groups for any threshold.
    """
    _check(probabilities, truth_index, group_index, level)
    classes = probabilities.shape[1]
    counts = np.bincount(
        np.unique(np.stack([truth_index, group_index], axis=1), axis=0)[:, 0], minlength=classes
    )
    enough = 2 / (1 - level) * _ROUNDING - 1
    pooled = _pool(truth_index, group_index, counts, enough, conditional)
    own = np.take_along_axis(probabilities, truth_index[:, None], axis=1)[:, 0]
    values = np.empty(classes)
    for members in [*np.eye(classes, dtype=bool)[~pooled], pooled]:
        used = members[truth_index]
        values[members] = conformal_threshold(own[used], group_index[used], level)
    if not np.isfinite(values).all():
        needed = int(np.ceil(level / (1 - level) * _ROUNDING))
        raise InputError(
            f"{np.unique(group_index).size} groups are too few for prediction sets",
            expected=f"{needed} groups or more for coverage {level:g}",
            fix="calibrate on more lesions, or lower the coverage",
        )
    return SetThresholds(values, pooled, level)


def prediction_sets(probabilities: Floats, thresholds: Floats) -> NDArray[np.bool_]:
    """(N, K) whether a diagnosis is in the set of a photo, from (N, K) and (K,)."""
    return np.asarray(probabilities >= thresholds)


@dataclass(frozen=True)
class CoverageStudy:
    """What sets do on groups that their thresholds have not seen, for each of S random splits.

    All count every group once, as the guarantee does; `photo_coverage` counts every photo once.
    """

    coverage: Floats  # (S,) share of sets that hold the truth
    photo_coverage: Floats  # (S,)
    set_size: Floats  # (S,) mean number of diagnoses in a set
    empty: Floats  # (S,) share of empty sets
    diagnosis_coverage: Floats  # (S, K); NaN where a split has none of a diagnosis


def coverage_study(
    probabilities: Floats,
    truth_index: NDArray[np.intp],
    group_index: NDArray[np.intp],
    *,
    level: float = LEVEL,
    conditional: bool = True,
    splits: int = 100,
    calibration_share: float = 0.8,
    seed: int = 0,
) -> CoverageStudy:
    """Coverage and size of sets over random splits: thresholds from one side, judged on the other.

    Whole groups go to either side. The mean over splits is what to compare with the level, since
    one split alone varies by chance on both sides (Angelopoulos and Bates 2021, section 3.3). It
    is a little above: by half a calibration group for each threshold.

    Args:
        calibration_share: of the groups, rounded down; the others are judged.

    The other arguments and the errors are those of `set_thresholds`; InputError too for a share
    that leaves no group to judge.
    """
    _check(probabilities, truth_index, group_index, level)
    _, member, sizes = np.unique(group_index, return_inverse=True, return_counts=True)
    weights = 1 / sizes[member]
    truths = np.eye(probabilities.shape[1], dtype=bool)[truth_index]
    used = int(sizes.size * calibration_share)
    if not 0 < used < sizes.size:
        raise InputError(
            f"{sizes.size} groups cannot be split with {calibration_share:g} for calibration",
            expected="groups on both sides",
        )
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(splits):
        judged = (rng.permutation(sizes.size) >= used)[member]
        found = set_thresholds(
            probabilities[~judged],
            truth_index[~judged],
            member[~judged],
            level=level,
            conditional=conditional,
        )
        sets = prediction_sets(probabilities[judged], found.values)
        hits = sets & truths[judged]
        covered, size, weight = hits.any(axis=1), sets.sum(axis=1), weights[judged]
        by_diagnosis = ratio(weight @ hits, weight @ truths[judged])
        means = [np.average(values, weights=weight) for values in (covered, size, size == 0)]
        rows.append([*means, covered.mean(), *by_diagnosis])
    table = np.asarray(rows, np.float64)
    return CoverageStudy(table[:, 0], table[:, 3], table[:, 1], table[:, 2], table[:, 4:])


def _pool(
    truth_index: NDArray[np.intp],
    group_index: NDArray[np.intp],
    counts: NDArray[np.intp],
    enough: float,
    conditional: bool,
) -> NDArray[np.bool_]:
    """(K,) the diagnoses that share a threshold; `counts` are groups by diagnosis."""
    pooled = counts < enough if conditional else np.ones(counts.size, bool)
    for rarest in np.argsort(counts, kind="stable"):
        if not pooled.any() or np.unique(group_index[pooled[truth_index]]).size >= enough:
            break
        pooled[rarest] = True
    return pooled


def _check(
    probabilities: Floats,
    truth_index: NDArray[np.intp],
    group_index: NDArray[np.intp],
    level: float,
) -> None:
    if not 0 < level < 1:
        raise InputError(f"{level} is no coverage", expected="a number between 0 and 1")
    photos = probabilities.shape[:1]
    if probabilities.ndim != 2 or truth_index.shape != photos or group_index.shape != photos:
        raise InputError(
            "prediction sets cannot be made from this",
            expected="probabilities (photos, diagnoses), a truth and a group for each photo, not "
            f"{probabilities.shape}, {truth_index.shape} and {group_index.shape}",
        )
    if not np.isfinite(probabilities).all():
        raise InputError("some probabilities are not finite", fix="leave unreadable photos out")
    if (
        truth_index.size
        and not 0 <= truth_index.min() <= truth_index.max() < probabilities.shape[1]
    ):
        raise InputError(
            "a photo's truth is none of the model's diagnoses",
            fix="leave such photos out of the calibration",
        )
