"""Which differences between entries hold, and why some cannot be tested."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from cutis.evaluation.table import EvaluationTable
from cutis.metrics.agreement import cohen_kappa
from cutis.metrics.bootstrap import Estimates, Floats, Resampling, Statistic
from cutis.metrics.scores import confusion_matrix, overall_scores
from cutis.metrics.statistics import AreaTest, delong_test, holm, mcnemar, paired_bootstrap
from cutis.studies.comparison.judging import Judged, malignant_index
from cutis.studies.comparison.record import Figure, Pair

TESTED = ("accuracy", "balanced_accuracy")

_Ground = tuple[tuple[str, ...], str]
"""What two entries must share to be paired: the diagnoses of the answers and the judged photos."""


def pairs_of(judged: Sequence[Judged], resampling: Resampling) -> tuple[Pair, ...]:
    """Paired tests between the arms, entry by entry, wherever both were judged on the same photos.

    Seeds of one arm are tested against each other only where there is no other arm.
    """
    several = len({one.record.arm for one in judged}) > 1
    made = [
        _pair(first, second, resampling)
        for first, second in combinations(judged, 2)
        if _ground(first) == _ground(second)
        and (first.record.arm != second.record.arm or not several)
    ]
    return _corrected(made)


def unpaired(judged: Sequence[Judged]) -> tuple[str, ...]:
    """Why arms could not be tested against each other; those with the same photos go together."""
    photos: dict[str, set[_Ground]] = {}
    for one in judged:
        photos.setdefault(one.record.arm, set()).add(_ground(one))
    alike: dict[frozenset[_Ground], list[str]] = {}
    for arm, grounds in photos.items():
        alike.setdefault(frozenset(grounds), []).append(arm)
    return tuple(
        f"{_listed(first)} against {_listed(second)}: no paired test, because "
        f"{_reason(one, other)}."
        for (one, first), (other, second) in combinations(alike.items(), 2)
        if not one & other
    )


def _reason(one: frozenset[_Ground], other: frozenset[_Ground]) -> str:
    if not {diagnoses for diagnoses, _ in one} & {diagnoses for diagnoses, _ in other}:
        return "they answer different diagnoses"
    return (
        "they are judged on different photos, so what differs may be the photos and not the models"
    )


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def estimated(estimates: Estimates, reason: str = "not defined") -> Figure:
    """A single statistic's estimates as a figure."""
    value, low, high = (
        float(number) if np.isfinite(number) else None
        for number in (estimates.value, estimates.low, estimates.high)
    )
    return Figure(value=value, low=low, high=high, reason=reason if value is None else None)


def _ground(judged: Judged) -> _Ground:
    return judged.record.model.diagnoses, judged.record.photos_sha256


def _pair(first: Judged, second: Judged, resampling: Resampling) -> Pair:
    one, other = first.table, second.table
    found = mcnemar(_right(one), _right(other))
    differences = paired_bootstrap(_scores(one), _scores(other), one.group_index, resampling)
    area = _area_test(one, other)
    return Pair(
        first=first.record.name,
        second=second.record.name,
        photos=int(one.truth_index.size),
        groups=one.groups,
        only_first=found.only_first,
        only_second=found.only_second,
        mcnemar_exact=found.exact,
        mcnemar_mid_p=found.mid_p,
        mcnemar_holm=found.mid_p,
        differences={name: estimated(difference) for name, difference in differences.items()},
        area=None if area is None else Figure(value=area.difference, low=area.low, high=area.high),
        delong_p=None if area is None else area.p_value,
        delong_holm=None if area is None else area.p_value,
        kappa=_agreement(one, other),
    )


def _right(table: EvaluationTable) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    return np.asarray(table.truth_index == table.predicted_index)


def _scores(table: EvaluationTable) -> Statistic:
    def scores(weights: Floats) -> Mapping[str, Floats]:
        found = overall_scores(
            confusion_matrix(
                table.truth_index, table.predicted_index, len(table.diagnoses), weights
            )
        )
        return {name: found[name] for name in TESTED}

    return scores


def _area_test(one: EvaluationTable, other: EvaluationTable) -> AreaTest | None:
    """DeLong's test of two diagnoses; None for more, and with fewer than two photos of either."""
    if len(one.diagnoses) != 2 or one.probabilities is None or other.probabilities is None:
        return None
    index = malignant_index(one.diagnoses)
    chosen = 1 if index is None else index
    positive = one.truth_index == chosen
    if min(positive.sum(), (~positive).sum()) < 2:
        return None
    return delong_test(one.probabilities[:, chosen], other.probabilities[:, chosen], positive)


def _agreement(one: EvaluationTable, other: EvaluationTable) -> Figure:
    counts = confusion_matrix(
        one.predicted_index,
        other.predicted_index,
        len(one.diagnoses),
        np.ones((1, one.truth_index.size)),
    )[0]
    kappa = cohen_kappa(counts)
    if np.isnan(kappa.value):
        return Figure(value=None, reason="both gave one and the same answer to every photo")
    return Figure(value=kappa.value, low=kappa.low, high=kappa.high)


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with Holm's correction, McNemar's and DeLong's tests each a family of its own."""
    mcnemar_holm = holm([pair.mcnemar_mid_p for pair in pairs])
    of_area = [pair.delong_p for pair in pairs if pair.delong_p is not None]
    delong_holm = iter(holm(of_area))
    return tuple(
        pair.model_copy(
            update={
                "mcnemar_holm": float(corrected),
                "delong_holm": None if pair.delong_p is None else float(next(delong_holm)),
            }
        )
        for pair, corrected in zip(pairs, mcnemar_holm, strict=True)
    )
