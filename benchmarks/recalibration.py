"""What a recalibration on so many cases is worth on all the others.

    python benchmarks/recalibration.py --bundle BUNDLE --data CATALOG --cases 50,100,200 \
        --json recalibration.json

From the cases of the catalog that the bundle was not trained on, `--draws` times as many as each
number of `--cases` says are drawn at random. What `cutis recalibrate` would fit to them is judged
on the cases that were not drawn: log loss, Brier score, ECE, first answers and prediction sets,
means over the draws, with the worst draw of the log loss. `refused` are draws of which cross-
validation says that nothing gets better; their figures are those of the bundle as exported.
`--photos` takes no more photos than that.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cutis.data.catalog import Catalog
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.metrics.calibration import brier_scores, calibration_error, log_losses, softmax
from cutis.metrics.conformal import prediction_sets
from cutis.metrics.recalibration import (
    Photos,
    Scaling,
    choose_way,
    cross_validated,
    fit_scaling,
    set_scores,
)
from cutis.runtime import Predictor
from cutis.studies.recalibration.cases import FOLDS, find_cases
from cutis.studies.recalibration.promises import clinic_policy
from cutis.studies.recalibration.recalibrate import answers, implied_shares, photos_of
from cutis.studies.recalibration.scores import differences

Floats = NDArray[np.float64]


def figures(
    photos: Photos, shown: Floats, scores: Floats, policy: AnswerPolicy
) -> dict[str, float]:
    """Of the photos that were not drawn; every case counts once."""
    weights = photos.weights
    first = shown.argmax(axis=1) == photos.truth
    sets = prediction_sets(scores, np.asarray(policy.set_thresholds))
    size = sets.sum(axis=1)
    refused = (size == 0) | (size > min(policy.largest_set, sets.shape[1] - 1))
    values = {
        "log_loss": log_losses(shown, photos.truth),
        "brier": brier_scores(shown, photos.truth),
        "first_answer_right": first,
        "coverage": sets[np.arange(len(sets)), photos.truth],
        "set_size": size,
        "cannot_tell": refused,
    }
    ece = calibration_error(shown.max(axis=1), first, weights[None])
    return {name: float(np.average(value, weights=weights)) for name, value in values.items()} | {
        "ece": float(ece[0])
    }


def one_draw(
    photos: Photos, number: int, seed: int, predictor: Predictor
) -> tuple[dict[str, float], dict[str, float], bool]:
    """Figures as exported and recalibrated, and whether cross-validation refused."""
    model, policy = predictor.model_info, predictor.policy
    assert policy is not None
    rng = np.random.default_rng(seed)
    order = rng.permutation(int(photos.group.max()) + 1)
    inside = np.isin(photos.group, order[:number])
    drawn, rest = photos.of(inside), photos.of(~inside)
    drawn = Photos(
        drawn.logits, drawn.truth, drawn.group, rng.permutation(number)[drawn.group] % FOLDS
    )
    exported = Scaling(model.temperature, np.zeros(len(model.diagnoses)))
    implied = implied_shares(model)
    before = softmax(rest.logits, model.temperature)
    old = figures(rest, before, before, policy)
    own = softmax(drawn.logits, model.temperature)
    change = differences(drawn, own, cross_validated(drawn, exported, implied))
    worse = [change[name].low for name in ("brier", "calibration_error")]
    gain = change["log_loss"].high
    if gain is None or gain >= 0 or any(low is not None and low > 0 for low in worse):
        return old, old, True
    scaling = fit_scaling(drawn, choose_way(drawn, exported, implied), exported, implied)
    made, _ = clinic_policy(policy, own, drawn)
    shown = scaling.probabilities(rest.logits)
    scores = set_scores(before, shown, np.asarray(made.set_thresholds))
    return old, figures(rest, shown, scores, made), False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="default: the model that comes with Cutis")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", default="50,100,200,400")
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    catalog = Catalog.open(options.data)
    cases = find_cases(catalog, predictor.model_info)
    photos = photos_of(predictor.model_info, *answers(predictor, catalog, cases, options.photos))
    found = []
    for number in map(int, options.cases.split(",")):
        draws = [one_draw(photos, number, seed, predictor) for seed in range(options.draws)]
        row = {"cases": number, "refused": sum(refused for _, _, refused in draws)}
        for when, place in (("before", 0), ("after", 1)):
            tables = [draw[place] for draw in draws]
            row[when] = {name: float(np.mean([t[name] for t in tables])) for name in tables[0]}
            row[when]["worst_log_loss"] = max(t["log_loss"] for t in tables)
        found.append(row)
        print(json.dumps(row))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
