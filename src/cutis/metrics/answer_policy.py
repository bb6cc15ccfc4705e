"""Whether a photo gets an answer, an answer with caution, or "cannot tell", and why.

One function for Python, command line and app, from what they have measured of a photo. Shapes:
N photos, K diagnoses.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cutis.errors import InputError, nearest
from cutis.metrics.bootstrap import Floats
from cutis.metrics.conformal import LEVEL, prediction_sets, set_thresholds
from cutis.metrics.out_of_distribution import KEPT_SHARE, highest_valid
from cutis.metrics.quality import FLAG_TEXTS
from cutis.records import QualityFlag, Record
from cutis.taxonomy import Malignancy


class Verdict(StrEnum):
    """What is said of a photo."""

    ANSWER = "answer"
    CAUTION = "answer with caution"
    CANNOT_TELL = "cannot tell"


REFUSALS = {
    "unreadable": "The photo cannot be read: save it again or take another.",
    "unlike_training": "The photo is unlike all that the model has learned from.",
    "no_diagnosis_fits": "None of the diagnoses is likely enough.",
    "too_many_diagnoses": "Too many diagnoses are possible.",
}
"""Why the model cannot tell, beside the policy's refusing flags."""

CAUTIONS = {
    "malignant_possible": "A malignant diagnosis is not ruled out: let a doctor see the spot.",
    "several_diagnoses": "More than one diagnosis is possible.",
}
"""Why an answer needs caution, beside the policy's caution flags."""

REASON_TEXTS = {**REFUSALS, **CAUTIONS, **FLAG_TEXTS}
"""One sentence by reason, in the order in which reasons are given."""

_COLUMN = {reason: column for column, reason in enumerate(REASON_TEXTS)}


class AnswerPolicy(Record):
    """The thresholds of a model; part of `bundle.json`.

    They hold for one network's answers: an int8 network is calibrated on its own.
    """

    level: float = LEVEL  # probability that a set holds the truth
    set_thresholds: tuple[float, ...]  # in the order of the logits; from these on in the set
    pooled: tuple[bool, ...]  # whose threshold is shared, for want of calibration photos
    largest_set: int = 3  # a larger set, or one of all diagnoses, is no answer
    kept_share: float = KEPT_SHARE  # of valid photos, by all limits below together
    highest_energy: float | None = None  # above: unlike the training photos; None: not measured
    highest_distance: float | None = None  # likewise, of `FeatureSpace.distance`
    refusing_flags: tuple[QualityFlag, ...] = (
        QualityFlag.BLURRED,
        QualityFlag.DARK,
        QualityFlag.LOW_CONTRAST,
        QualityFlag.NOT_SKIN,
    )
    caution_flags: tuple[QualityFlag, ...] = (
        QualityFlag.OVEREXPOSED,
        QualityFlag.LESION_SMALL,
        QualityFlag.HAIR,
    )


@dataclass(frozen=True)
class Answers:
    """What a policy says of N photos."""

    verdicts: NDArray[np.str_]  # (N,) values of Verdict
    sets: NDArray[np.bool_]  # (N, K)
    malignant_in_set: NDArray[np.bool_]  # (N,) a diagnosis in the set is not known to be benign
    raised: NDArray[np.bool_]  # (N, reasons) the reasons of each verdict, in REASON_TEXTS' order

    def reasons(self, photo: int) -> tuple[str, ...]:
        """The keys of REASON_TEXTS that led to one photo's verdict."""
        return tuple(reason for reason, column in _COLUMN.items() if self.raised[photo, column])

    def texts(self) -> list[str]:
        """(N,) as in tables: `answer`, `answer with caution: …`, `cannot tell: blurred, dark`."""
        return [
            ": ".join(filter(None, [str(verdict), ", ".join(self.reasons(photo))]))
            for photo, verdict in enumerate(self.verdicts)
        ]


def calibrate_policy(
    probabilities: Floats,
    truth_index: NDArray[np.intp],
    group_index: NDArray[np.intp],
    *,
    energies: Floats | None,
    distances: Floats | None,
    level: float = LEVEL,
    kept_share: float = KEPT_SHARE,
) -> AnswerPolicy:
    """The policy of a model, from validation photos that it was not trained on.

    With both scores each limit lets half as many valid photos fail, so that together they keep
    `kept_share` (Bonferroni); this takes 79 groups for 0.975, one score 39.

    Args:
        probabilities: (N, K) calibrated.
        truth_index: (N,) in 0 … K - 1.
        group_index: (N,) any number by group; what counts is groups, not photos.
        energies, distances: (N,) of `energy` and `FeatureSpace.distance`; None where the bundle
            will not measure it.

    Raises InputError as `set_thresholds` and `highest_valid`.
    """
    found = set_thresholds(probabilities, truth_index, group_index, level=level)
    measured = sum(scores is not None for scores in (energies, distances))
    kept = 1 - (1 - kept_share) / max(measured, 1)

    def limit(scores: Floats | None) -> float | None:
        return None if scores is None else highest_valid(scores, group_index, kept)

    return AnswerPolicy(
        level=level,
        set_thresholds=tuple(found.values.tolist()),
        pooled=tuple(found.pooled.tolist()),
        kept_share=kept_share,
        highest_energy=limit(energies),
        highest_distance=limit(distances),
    )


def decide(
    policy: AnswerPolicy,
    probabilities: Floats,
    malignancies: Sequence[Malignancy | None],
    *,
    energies: Floats | None,
    distances: Floats | None,
    flags: Sequence[Collection[str]] | None,
) -> Answers:
    """What the policy says of each photo.

    `cannot tell` where the photo cannot be read, a refusing flag is raised, a score is above its
    limit, or the set is empty, larger than `largest_set` or of all diagnoses; `answer with
    caution` where the set has more than one diagnosis or one that is not known to be benign
    (malignant, precancer, or not settled), or a caution flag is raised; `answer` otherwise.

    Args:
        probabilities: (N, K) calibrated; a row of NaN is a photo that could not be read.
        malignancies: (K,) of the diagnoses.
        energies, distances: (N,); None only where the policy has no limit for it.
        flags: (N,) of `quality_flags`; None where quality was not measured.

    Raises InputError for arrays that do not fit the policy or each other, a score that the policy
    limits and that is missing, and a flag that nobody knows.
    """
    _check(policy, probabilities, malignancies, energies, distances, flags)
    readable = np.asarray(np.isfinite(probabilities).all(axis=1))
    sets = prediction_sets(probabilities, np.asarray(policy.set_thresholds)) & readable[:, None]
    suspect = np.array([grade != Malignancy.BENIGN for grade in malignancies])
    malignant = (sets & suspect).any(axis=1)
    size, classes = sets.sum(axis=1), sets.shape[1]
    raised = np.zeros((len(sets), len(_COLUMN)), bool)
    for photo, names in enumerate(flags or ()):
        raised[photo, [_COLUMN[name] for name in names]] = True
    raised[:, _COLUMN["unreadable"]] |= ~readable
    for scores, highest in (
        (energies, policy.highest_energy),
        (distances, policy.highest_distance),
    ):
        if scores is not None and highest is not None:
            # "not below" rather than "above": a score that is NaN must not pass.
            raised[:, _COLUMN["unlike_training"]] |= ~(scores <= highest)
    raised[:, _COLUMN["no_diagnosis_fits"]] = size == 0
    raised[:, _COLUMN["too_many_diagnoses"]] = size > min(policy.largest_set, classes - 1)
    raised[:, _COLUMN["malignant_possible"]] = malignant
    raised[:, _COLUMN["several_diagnoses"]] = size > 1
    raised[raised[:, _COLUMN["unreadable"]]] = np.arange(len(_COLUMN)) == _COLUMN["unreadable"]
    refusing = np.isin(list(_COLUMN), [*REFUSALS, *policy.refusing_flags])
    warning = np.isin(list(_COLUMN), [*CAUTIONS, *policy.caution_flags])
    refused = np.asarray((raised & refusing).any(axis=1))
    raised &= np.where(refused[:, None], refusing, warning)
    grade = np.where(refused, 2, np.where(raised.any(axis=1), 1, 0))
    return Answers(np.array([str(verdict) for verdict in Verdict])[grade], sets, malignant, raised)


def _check(
    policy: AnswerPolicy,
    probabilities: Floats,
    malignancies: Sequence[Malignancy | None],
    energies: Floats | None,
    distances: Floats | None,
    flags: Sequence[Collection[str]] | None,
) -> None:
    classes = len(policy.set_thresholds)
    if probabilities.ndim != 2 or probabilities.shape[1] != classes or len(malignancies) != classes:
        raise InputError(
            "the answers do not fit the policy",
            where=f"probabilities {probabilities.shape}, {len(malignancies)} malignancies",
            expected=f"{classes} diagnoses",
            fix="take policy and model from the same bundle",
        )
    for name, values, limit in (
        ("energy", energies, policy.highest_energy),
        ("distance", distances, policy.highest_distance),
        ("flags", flags, None),
    ):
        if values is None and limit is not None:
            raise InputError(
                f"the policy limits a photo's {name}, which was not measured",
                fix=f"measure the {name}, or calibrate a policy without it",
            )
        if values is not None and len(values) != len(probabilities):
            raise InputError(
                f"{len(values)} photos with {name}", expected=f"{len(probabilities)} photos"
            )
    unknown = {name for names in flags or () for name in names} - {"unreadable", *FLAG_TEXTS}
    if unknown:
        name = min(unknown)
        raise InputError(
            f"there is no quality flag '{name}'",
            expected=", ".join(FLAG_TEXTS),
            fix=nearest(name, FLAG_TEXTS) or None,
        )
