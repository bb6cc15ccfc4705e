"""Whether the probabilities hold, before and after temperature scaling."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cutis.evaluation.table import EvaluationTable
from cutis.evaluation.values import NO_PROBABILITIES, figure
from cutis.metrics.bootstrap import Floats, Resampling, bootstrap
from cutis.metrics.calibration import (
    BINS,
    SMALLEST_PROBABILITY,
    brier_scores,
    calibration_error,
    fit_temperature,
    log_losses,
    reliability,
    softmax,
)
from cutis.metrics.scores import weighted_mean


@dataclass(frozen=True)
class Scaling:
    """A temperature and where it comes from."""

    temperature: float
    fitted_on: str


def choose_scaling(
    table: EvaluationTable, validation: EvaluationTable | None, own: float
) -> Scaling | None:
    """Fits the temperature on validation, else takes the model's own; None where there is neither.

    Never fits on the photos that are evaluated.

    Args:
        own: the temperature that the tables' probabilities were made with, 1 where none.
    """
    if table.probabilities is None:
        return None
    if validation is not None and validation.probabilities is not None:
        answerable = validation.truth_index < validation.known
        if answerable.any():
            temperature = fit_temperature(
                _logits(validation, own)[answerable], validation.truth_index[answerable]
            )
            return Scaling(temperature, f"{int(answerable.sum())} validation photos")
    if own != 1.0:
        return Scaling(own, "validation photos, when the model was trained")
    return None


def section(
    table: EvaluationTable, scaling: Scaling | None, own: float, settings: Resampling
) -> dict[str, Any]:
    """Calibration before and after, for metrics.json; a `reason` where it cannot be asked."""
    if table.probabilities is None:
        return {"reason": NO_PROBABILITIES, "bins": BINS}
    logits = _logits(table, own)
    return {
        "reason": None,
        "bins": BINS,
        "binning": "equal width",
        "temperature": scaling.temperature if scaling else None,
        "fitted_on": scaling.fitted_on if scaling else None,
        "before": _scores(table, softmax(logits), settings),
        "after": _scores(table, softmax(logits, scaling.temperature), settings)
        if scaling
        else None,
    }


def proper_scores(
    table: EvaluationTable, probabilities: Floats
) -> Callable[[Floats], Mapping[str, Floats]]:
    """Brier score, log loss and calibration error under weights.

    Args:
        probabilities: (photos, diagnoses), all diagnoses of the table.

    Log loss leaves out the photos that the model cannot answer, since it would be infinite.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == table.truth_index
    brier = brier_scores(probabilities, table.truth_index)
    answerable = table.truth_index < table.known
    loss = log_losses(probabilities, table.truth_index)[answerable]

    def scores(weights: Floats) -> Mapping[str, Floats]:
        return {
            "brier": weighted_mean(brier, weights),
            "log_loss": weighted_mean(loss, weights[:, answerable]),
            "calibration_error": calibration_error(confidence, correct, weights),
        }

    return scores


def _logits(table: EvaluationTable, own: float) -> Floats:
    """The table's logits, or else those that its probabilities were made of, up to a constant."""
    if table.logits is not None:
        return table.logits
    if table.probabilities is None:
        raise ValueError("the table has neither logits nor probabilities")
    possible = np.maximum(table.probabilities[:, : table.known], SMALLEST_PROBABILITY)
    return own * np.log(possible)


def _scores(table: EvaluationTable, probabilities: Floats, settings: Resampling) -> dict[str, Any]:
    beyond = len(table.diagnoses) - table.known
    all_probabilities = np.pad(probabilities, ((0, 0), (0, beyond)))
    found = bootstrap(proper_scores(table, all_probabilities), table.group_index, settings)
    confidence = all_probabilities.max(axis=1)
    correct = all_probabilities.argmax(axis=1) == table.truth_index
    return {
        **{name: figure(values, reason="no photo") for name, values in found.items()},
        "reliability": [asdict(bar) for bar in reliability(confidence, correct)],
    }
