"""From an evaluation table to all figures, as plain values for metrics.json."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cutis.evaluation import malignant
from cutis.evaluation.calibration import proper_scores
from cutis.evaluation.table import EvaluationTable
from cutis.evaluation.values import NO_PROBABILITIES, figure, undefined
from cutis.metrics.bootstrap import Estimates, Floats, Resampling, bootstrap
from cutis.metrics.ranking import auroc, average_precision, ranked_counts
from cutis.metrics.scores import (
    class_scores,
    confusion_matrix,
    defined_mean,
    overall_scores,
)

SMALL = 20
"""Fewer photos than this are marked: one photo more or less moves the figure by 5 points."""

AGE_BANDS = (
    ("under 30", 0, 30),
    ("30 to 49", 30, 50),
    ("50 to 69", 50, 70),
    ("70 and over", 70, 200),
)
SUBGROUP_SCORES = ("accuracy", "balanced_accuracy", "f1_macro", "auroc_macro")

PROBABILITY_SCORES = (
    "auroc_macro",
    "average_precision_macro",
    "brier",
    "log_loss",
    "calibration_error",
)
CLASS_SCORES = ("sensitivity", "specificity", "precision", "f1", "auroc", "average_precision")


def overall(table: EvaluationTable, settings: Resampling) -> dict[str, Any]:
    """Scores of the whole table and of each diagnosis."""
    found = bootstrap(_all_scores(table), table.group_index, settings)
    names = [*overall_scores(np.ones((1, 1, 1))), *PROBABILITY_SCORES]
    return {
        "scores": {
            name: figure(found[name], reason=f"no photo with which {name} is defined")
            if name in found
            else undefined(NO_PROBABILITIES)
            for name in names
        },
        "per_diagnosis": [
            _of_diagnosis(table, found, index) for index in range(len(table.diagnoses))
        ],
        "confusion": _counts(table),
    }


def _all_scores(table: EvaluationTable) -> Callable[[Floats], Mapping[str, Floats]]:
    functions: list[Callable[[Floats], Mapping[str, Floats]]] = []
    if table.probabilities is not None:
        functions = [_ranking_scores(table), proper_scores(table, table.probabilities)]

    def scores(weights: Floats) -> Mapping[str, Floats]:
        confusion = confusion_matrix(
            table.truth_index, table.predicted_index, len(table.diagnoses), weights
        )
        made = {**overall_scores(confusion), **class_scores(confusion)}
        for function in functions:
            made |= function(weights)
        return made

    return scores


def _ranking_scores(table: EvaluationTable) -> Callable[[Floats], Mapping[str, Floats]]:
    """AUROC and average precision of each diagnosis against the rest, and their macro means."""
    probabilities = table.probabilities
    if probabilities is None:
        raise ValueError("the table has no probabilities")

    def scores(weights: Floats) -> Mapping[str, Floats]:
        unknown = np.full(len(weights), np.nan)
        areas, precisions = [], []
        for index in range(len(table.diagnoses)):
            if index >= table.known:
                areas.append(unknown)
                precisions.append(unknown)
                continue
            counts = ranked_counts(probabilities[:, index], table.truth_index == index, weights)
            areas.append(auroc(counts))
            precisions.append(average_precision(counts))
        area, precision = np.stack(areas, axis=1), np.stack(precisions, axis=1)
        return {
            "auroc": area,
            "average_precision": precision,
            "auroc_macro": defined_mean(area),
            "average_precision_macro": defined_mean(precision),
        }

    return scores


def _of_diagnosis(
    table: EvaluationTable, found: Mapping[str, Estimates], index: int
) -> dict[str, Any]:
    shown = table.truth_index == index
    photos = int(shown.sum())
    answered = int((table.predicted_index == index).sum())
    reason = "all photos show it"
    if photos == 0:
        reason = "no photo shows it"
    elif index >= table.known:
        reason = "the model cannot answer it"
    elif answered == 0:
        reason = "it was never answered"
    return {
        "diagnosis": table.diagnoses[index],
        "photos": photos,
        "groups": int(np.unique(table.group_index[shown]).size),
        "answered": answered,
        "small": photos < SMALL,
        "known_to_model": index < table.known,
        **{
            name: figure(found[name], index, reason=reason)
            if name in found
            else undefined(NO_PROBABILITIES)
            for name in CLASS_SCORES
        },
    }


def _counts(table: EvaluationTable) -> dict[str, Any]:
    ones = np.ones((1, table.truth_index.size))
    counts = confusion_matrix(table.truth_index, table.predicted_index, len(table.diagnoses), ones)[
        0
    ]
    return {"diagnoses": list(table.diagnoses), "counts": counts.astype(int).tolist()}


def subgroups(
    table: EvaluationTable, side: malignant.Side, settings: Resampling
) -> list[dict[str, Any]]:
    """Core scores of the histologically confirmed, and by age, sex and source where known."""
    photos = table.photos
    ages = photos["age"].to_numpy(np.float64)
    masks: list[tuple[str, str, NDArray[np.bool_]]] = [
        ("confirmed by", "histology", (photos["confirmed_by"] == "histology").to_numpy(bool))
    ]
    masks += [("age", name, (ages >= low) & (ages < high)) for name, low, high in AGE_BANDS]
    for column, at_least in (("sex", 1), ("source", 2)):
        values = sorted(photos[column].dropna().unique())
        if len(values) >= at_least:
            masks += [(column, str(v), (photos[column] == v).to_numpy(bool)) for v in values]
    return [
        _subgroup(table.subset(mask), kind, name, side, settings)
        for kind, name, mask in tqdm(masks, desc="subgroups", unit="subgroup", disable=None)
        if mask.any()
    ]


def _subgroup(
    part: EvaluationTable, kind: str, name: str, side: malignant.Side, settings: Resampling
) -> dict[str, Any]:
    ranking = None if part.probabilities is None else _ranking_scores(part)

    def scores(weights: Floats) -> Mapping[str, Floats]:
        confusion = confusion_matrix(
            part.truth_index, part.predicted_index, len(part.diagnoses), weights
        )
        ranked = {} if ranking is None else ranking(weights)
        return {**overall_scores(confusion), **ranked}

    found = bootstrap(scores, part.group_index, settings)
    shown = {
        score: figure(found[score], reason="only one diagnosis is shown")
        if score in found
        else undefined(NO_PROBABILITIES)
        for score in SUBGROUP_SCORES
    }
    area = malignant.area(part, side, settings)
    return {
        "kind": kind,
        "name": name,
        "photos": int(part.truth_index.size),
        "groups": part.groups,
        "small": part.truth_index.size < SMALL,
        "scores": {
            **shown,
            "malignant_auroc": figure(area, reason="only one side is shown")
            if area is not None
            else undefined("not defined for this table"),
        },
    }
