"""What a recalibration on so many cases is worth on all the others.

    python benchmarks/recalibration.py --bundle BUNDLE --data CATALOG --cases 50,100,200 \
        --json recalibration.json

From the cases of the catalog that the bundle was not trained on, `--draws` times as many as each
number of `--cases` says are drawn at random. What `cutis recalibrate` would fit to them is judged
on the cases that were not drawn: log loss, Brier score, ECE, first answers and prediction sets,
means over the draws, with the worst draw of the log loss. `fitted` counts what was fitted, or why
nothing was; such draws have the figures of the bundle as exported. `--photos` takes no more photos
than that.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cutis.data.catalog import Catalog
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.metrics.calibration import brier_scores, calibration_error, log_losses, softmax
from cutis.metrics.conformal import prediction_sets
from cutis.metrics.recalibration import Photos, Scaling, set_scores
from cutis.runtime import Predictor
from cutis.studies.recalibration.cases import FOLDS, find_cases
from cutis.studies.recalibration.recalibrate import answers, photos_of
from cutis.studies.recalibration.study import Network, study_network

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
    photos: Photos, number: int, seed: int, network: Network
) -> tuple[dict[str, float], dict[str, float], str]:
    """Figures as exported and recalibrated, and what was fitted, or why nothing was."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(int(photos.group.max()) + 1)
    inside = np.isin(photos.group, order[:number])
    drawn, rest = photos.of(inside), photos.of(~inside)
    drawn = Photos(
        drawn.logits, drawn.truth, drawn.group, rng.permutation(number)[drawn.group] % FOLDS
    )
    before = softmax(rest.logits, network.model.temperature)
    old = figures(rest, before, before, network.policy)
    study = study_network(network, drawn, feedback=False)
    if study.failures:
        return old, old, study.failures[0]
    shown = Scaling(study.temperature, np.array(study.offsets)).probabilities(rest.logits)
    scores = set_scores(before, shown, np.asarray(study.thresholds))
    made = network.policy.model_copy(update={"set_thresholds": study.thresholds})
    return old, figures(rest, shown, scores, made), study.way


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
    network = Network.of(predictor)
    photos = photos_of(predictor.model_info, *answers(predictor, catalog, cases, options.photos))
    found = []
    for number in map(int, options.cases.split(",")):
        draws = [one_draw(photos, number, seed, network) for seed in range(options.draws)]
        row = {"cases": number, "fitted": dict(Counter(what for _, _, what in draws))}
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
