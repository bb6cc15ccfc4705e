"""The figures of a study of abstention, from predictions with their truths."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.metrics.answer_policy import Verdict
from cutis.metrics.bootstrap import Estimates, Floats, Resampling, bootstrap
from cutis.metrics.conformal import coverage_study, prediction_sets
from cutis.metrics.ranking import ranked_counts
from cutis.metrics.risk_coverage import aurc, risk_coverage
from cutis.metrics.scores import ratio
from cutis.runtime import Predictor
from cutis.runtime.stream import VERDICT
from cutis.studies.abstention_record import Figure, Judged, Resplits, Selective, VerdictShare
from cutis.taxonomy import Malignancy

SHARES = (1.0, 0.95, 0.9, 0.8, 0.7)
"""Of the photos answered, for the table of accuracies."""

Means = dict[str, tuple[NDArray[Any], NDArray[Any]]]
"""Values and weights by name, (N,) numbers or truth values."""

SPLITS, CALIBRATION_SHARE = 100, 0.8
LEAST_GROUPS = 49  # of which four fifths are the 39 that a limit takes


@dataclass(frozen=True)
class HeldOut:
    """Readable held-out photos: a predictions table with `part`, and what is true of them."""

    table: pd.DataFrame
    diagnoses: tuple[str, ...]
    probabilities: Floats  # (N, K)
    truth: NDArray[np.intp]  # (N,)
    group: NDArray[np.intp]  # (N,) without gaps

    @property
    def groups(self) -> int:
        """How many there are."""
        return int(self.group.max(initial=-1)) + 1

    @property
    def group_weight(self) -> Floats:
        """(N,) with which every group counts once."""
        return np.asarray(1 / np.bincount(self.group)[self.group])

    def of_part(self, part: str | None) -> "HeldOut":
        """The photos of one part; all of them for None."""
        if part is None:
            return self
        chosen = (self.table["part"] == part).to_numpy(bool)
        return HeldOut(
            self.table[chosen].reset_index(drop=True),
            self.diagnoses,
            self.probabilities[chosen],
            self.truth[chosen],
            np.unique(self.group[chosen], return_inverse=True)[1],
        )


def resplits(held: HeldOut) -> Resplits | None:
    """Coverage over random splits by group; None with too few groups."""
    if held.groups < LEAST_GROUPS:
        return None
    study = coverage_study(
        held.probabilities,
        held.truth,
        held.group,
        splits=SPLITS,
        calibration_share=CALIBRATION_SHARE,
    )
    counted = np.isfinite(study.diagnosis_coverage)
    sums = np.where(counted, study.diagnosis_coverage, 0).sum(axis=0)
    by_diagnosis = ratio(sums, counted.sum(axis=0).astype(np.float64))
    low, high = np.quantile(study.coverage, [0.025, 0.975])
    return Resplits(
        splits=SPLITS,
        calibration_share=CALIBRATION_SHARE,
        coverage=float(study.coverage.mean()),
        coverage_between=(float(low), float(high)),
        photo_coverage=float(study.photo_coverage.mean()),
        set_size=float(study.set_size.mean()),
        empty=float(study.empty.mean()),
        by_diagnosis=dict(zip(held.diagnoses, map(_number, by_diagnosis), strict=True)),
    )


def judged(held: HeldOut, predictor: Predictor) -> Judged | None:
    """The bundle's own policy on these photos; None where it has none or there is no photo."""
    policy = predictor.policy
    if policy is None or held.truth.size == 0:
        return None
    scores = predictor.set_scores(held.probabilities)
    sets = prediction_sets(scores, np.asarray(policy.set_thresholds))
    hit = np.take_along_axis(sets, held.truth[:, None], axis=1)[:, 0]
    one, by_group = np.ones(hit.size), held.group_weight
    unlike = _reasons(held.table).str.contains("unlike_training").to_numpy(bool)
    means: Means = {
        "coverage": (hit, by_group),
        "set_size": (sets.sum(axis=1), one),
        "empty": (sets.sum(axis=1) == 0, one),
        "kept": (~unlike, by_group),
    }
    for k, name in enumerate(held.diagnoses):
        means[f"of {name}"] = (hit, held.truth == k)
    found = _bootstrapped(means | _verdict_means(held, predictor), held.group)
    named = (str(reason) for cell in _reasons(held.table) for reason in cell.split(",") if reason)
    return Judged(
        photos=held.truth.size,
        groups=held.groups,
        coverage=found["coverage"],
        set_size=found["set_size"],
        empty=found["empty"],
        kept=found["kept"],
        by_diagnosis={name: found[f"of {name}"] for name in held.diagnoses},
        verdicts=tuple(
            VerdictShare(
                verdict=verdict,
                photos=int((held.table[VERDICT] == verdict).sum()),
                share=found[f"{verdict} share"],
                accuracy=found[f"{verdict} accuracy"],
                malignant=found[f"{verdict} malignant"],
            )
            for verdict in Verdict
        ),
        reasons=dict(Counter(named).most_common()),
    )


def selective(held: HeldOut) -> Selective:
    """Accuracy against the share answered, by the highest probability."""
    confidence, correct = confidence_and_correct(held)

    def statistic(weights: Floats) -> Mapping[str, Floats]:
        counts = ranked_counts(confidence, correct, weights)
        curve = risk_coverage(counts)
        reached = curve.coverage[..., None] >= np.asarray(SHARES) - 1e-9
        at = np.take_along_axis(curve.accuracy, reached.argmax(axis=1), axis=1)
        return {"accuracy": at, "aurc": aurc(counts)}

    found = bootstrap(statistic, held.group, Resampling())
    return Selective(
        accuracy_at={f"{share:g}": _figure(found["accuracy"], k) for k, share in enumerate(SHARES)},
        aurc=_figure(found["aurc"]),
    )


def confidence_and_correct(held: HeldOut) -> tuple[Floats, NDArray[np.bool_]]:
    """(N,) the highest probability, and whether it is that of the truth."""
    return held.probabilities.max(axis=1), held.probabilities.argmax(axis=1) == held.truth


def _verdict_means(held: HeldOut, predictor: Predictor) -> Means:
    correct = confidence_and_correct(held)[1]
    grades = [diagnosis.malignancy for diagnosis in predictor.info.diagnoses]
    malignant = np.array([grade == Malignancy.MALIGNANT for grade in grades])[held.truth]
    means: Means = {}
    for verdict in Verdict:
        given = (held.table[VERDICT] == verdict).to_numpy(bool)
        means[f"{verdict} share"] = (given, np.ones(given.size))
        means[f"{verdict} accuracy"] = (correct, given)
        means[f"{verdict} malignant"] = (given, malignant)
    return means


def _bootstrapped(means: Means, group: NDArray[np.intp]) -> dict[str, Figure]:
    """Weighted means with intervals over resampled groups."""
    values = np.stack([value * weight for value, weight in means.values()], axis=1)
    base = np.stack([weight for _, weight in means.values()], axis=1).astype(np.float64)
    found = bootstrap(
        lambda weights: {"means": ratio(weights @ values, weights @ base)}, group, Resampling()
    )["means"]
    return {name: _figure(found, k) for k, name in enumerate(means)}


def _figure(found: Estimates, index: int | None = None) -> Figure:
    parts = (found.value, found.low, found.high)
    value, low, high = (_number(part if index is None else part[index]) for part in parts)
    return Figure(value=value, low=low, high=high)


def _number(value: Floats) -> float | None:
    return float(value) if np.isfinite(value) else None


def _reasons(table: pd.DataFrame) -> "pd.Series[str]":
    return table["reasons"].fillna("")
