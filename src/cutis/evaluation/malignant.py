"""Malignant against benign, from the probabilities of diagnoses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutis.evaluation.names import malignancy
from cutis.evaluation.table import EvaluationTable
from cutis.evaluation.values import NO_PROBABILITIES, figure, undefined
from cutis.metrics.bootstrap import Estimates, Floats, Resampling, bootstrap
from cutis.metrics.ranking import (
    auroc,
    laxest_index,
    ranked_counts,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
    strictest_index,
)
from cutis.metrics.scores import ratio
from cutis.taxonomy import Malignancy

LEVELS = (0.80, 0.90, 0.95)


@dataclass(frozen=True)
class Side:
    """On which side precancer and carcinoma in situ fall; the malignant one by default.

    They are to be treated or watched, so a model that calls them harmless has missed something.
    """

    precancer: Malignancy = Malignancy.MALIGNANT

    def of(self, class_id: str) -> bool | None:
        """Whether a diagnosis counts as malignant; None where the taxonomy does not settle it."""
        found = malignancy(class_id)
        if found is None:
            return None
        return (self.precancer if found == Malignancy.PRECANCER else found) == Malignancy.MALIGNANT

    def index(self, class_ids: tuple[str, ...], malignant: bool) -> NDArray[np.intp]:
        """Numbers of the diagnoses on one side."""
        return np.array(
            [n for n, name in enumerate(class_ids) if self.of(name) is malignant], np.intp
        )


@dataclass(frozen=True)
class BinaryView:
    """The photos whose truth has a side: that side, the score, and the side of the answer."""

    used: NDArray[np.bool_]  # (all photos,)
    positive: NDArray[np.bool_]  # (used photos,)
    scores: Floats | None  # (used photos,) sum of probabilities over malignant diagnoses
    answered: NDArray[np.bool_]  # (used photos,)
    group_index: NDArray[np.intp]


def binary_view(table: EvaluationTable, side: Side) -> BinaryView | None:
    """None where the model's diagnoses do not stand on both sides."""
    model = table.diagnoses[: table.known]
    malignant = side.index(model, True)
    if not malignant.size or not side.index(model, False).size:
        return None
    truths = [side.of(name) for name in table.photos["truth_given"]]
    used = np.array([truth is not None for truth in truths], bool)
    if not used.any():
        return None
    scores = None if table.probabilities is None else table.probabilities[:, malignant].sum(axis=1)
    return BinaryView(
        used=used,
        positive=np.array([truth for truth in truths if truth is not None], bool),
        scores=None if scores is None else scores[used],
        answered=np.isin(table.predicted_index, malignant)[used],
        group_index=np.unique(table.group_index[used], return_inverse=True)[1],
    )


def area(table: EvaluationTable, side: Side, settings: Resampling) -> Estimates | None:
    """AUROC of malignant against benign; None where it is not defined for such a table."""
    view = binary_view(table, side)
    if view is None or view.scores is None:
        return None
    scores = view.scores
    found = bootstrap(
        lambda weights: {"auroc": auroc(ranked_counts(scores, view.positive, weights))},
        view.group_index,
        settings,
    )
    return found["auroc"]


def operating_scores(view: BinaryView) -> Callable[[Floats], Mapping[str, Floats]]:
    """AUROC, both families of operating points and the answers as given, under weights."""

    def scores(weights: Floats) -> Mapping[str, Floats]:
        found = at_answers(view.answered, view.positive, weights, "as_answered")
        if view.scores is None:
            return found
        counts = ranked_counts(view.scores, view.positive, weights)
        found["auroc"] = auroc(counts)
        for level in LEVELS:
            found[f"sensitivity_at_{level}"] = sensitivity_at_specificity(counts, level)
            found[f"specificity_at_{level}"] = specificity_at_sensitivity(counts, level)
        return found

    return scores


def at_answers(
    answered: NDArray[np.bool_], positive: NDArray[np.bool_], weights: Floats, name: str
) -> dict[str, Floats]:
    """Sensitivity and specificity of answers that are already made."""
    return {
        f"{name}_sensitivity": ratio(weights @ (answered & positive), weights @ positive),
        f"{name}_specificity": ratio(weights @ (~answered & ~positive), weights @ ~positive),
    }


def thresholds(view: BinaryView) -> dict[str, float | None]:
    """The score at or above which a photo is called malignant, for each operating point."""
    if view.scores is None or view.positive.all() or not view.positive.any():
        return {}
    counts = ranked_counts(view.scores, view.positive, np.ones((1, view.scores.size)))
    found: dict[str, float | None] = {}
    for level in LEVELS:
        strict = int(strictest_index(counts, level)[0])
        found[f"sensitivity_at_{level}"] = float(counts.thresholds[strict]) if strict >= 0 else None
        found[f"specificity_at_{level}"] = float(counts.thresholds[laxest_index(counts, level)[0]])
    return found


def section(
    table: EvaluationTable,
    side: Side,
    settings: Resampling,
    validation: EvaluationTable | None,
) -> dict[str, Any]:
    """Malignant against benign, for metrics.json; a `reason` where it cannot be asked."""
    model = table.diagnoses[: table.known]
    sides = {name: side.of(name) for name in table.diagnoses}
    stated = {
        "malignant": [name for name, malignant in sides.items() if malignant is True],
        "benign": [name for name, malignant in sides.items() if malignant is False],
        "neither": [name for name, malignant in sides.items() if malignant is None],
        "precancer_is": str(side.precancer),
    }
    view = binary_view(table, side)
    if view is None:
        reason = f"the {len(model)} diagnoses do not stand on both sides"
        return {**stated, "reason": reason, "points": []}
    found = bootstrap(operating_scores(view), view.group_index, settings)
    reason = "all photos stand on one side"
    here = thresholds(view)
    elsewhere = _with_validation_thresholds(view, side, settings, validation)
    return {
        **stated,
        "reason": None,
        "photos": int(view.positive.size),
        "malignant_photos": int(view.positive.sum()),
        "left_out": int((~view.used).sum()),
        "auroc": figure(found["auroc"], reason=reason)
        if "auroc" in found
        else undefined(NO_PROBABILITIES),
        "as_answered": {
            name: figure(found[f"as_answered_{name}"], reason=reason)
            for name in ("sensitivity", "specificity")
        },
        "points": [
            {
                "at": name,
                "reached": figure(found[name], reason=reason),
                "threshold": here.get(name),
                "with_validation_threshold": elsewhere.get(name),
            }
            for name in found
            if "_at_" in name
        ],
    }


def _with_validation_thresholds(
    view: BinaryView, side: Side, settings: Resampling, validation: EvaluationTable | None
) -> dict[str, Any]:
    """Sensitivity and specificity here of the thresholds that validation would choose."""
    chosen_on = None if validation is None else binary_view(validation, side)
    if chosen_on is None or view.scores is None:
        return {}
    chosen = {name: at for name, at in thresholds(chosen_on).items() if at is not None}
    answers = {name: view.scores >= threshold for name, threshold in chosen.items()}

    def scores(weights: Floats) -> Mapping[str, Floats]:
        made: dict[str, Floats] = {}
        for name, answered in answers.items():
            made |= at_answers(answered, view.positive, weights, name)
        return made

    found = bootstrap(scores, view.group_index, settings)
    reason = "all photos stand on one side"
    return {
        name: {
            "threshold": threshold,
            "sensitivity": figure(found[f"{name}_sensitivity"], reason=reason),
            "specificity": figure(found[f"{name}_specificity"], reason=reason),
        }
        for name, threshold in chosen.items()
    }
