"""Whether several photos of a lesion, judged together, are answered better than one of them.

    python benchmarks/pooling.py --data CATALOG --photos 3000 --json pooling.json

The lesions of a part with two or more photos, at most `--photos` photos in all and three of a
lesion, drawn by seed 0. "One photo" is one at random: every photo is counted, by 1 / photos of its
lesion. Choose a rule on the validation part; `--part test` is noted in the split's folder.
Intervals are 95 % percentile bootstrap, 1,000 resamples of lesions; differences are paired.

Sets are those of the bundle's thresholds, made for one photo. "Warned" is the share of the lesions
of each kind whose set holds a diagnosis that is not known to be benign.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.app.judging import pool
from cutis.app.settings import MAX_PHOTOS
from cutis.data.catalog import Catalog
from cutis.data.split_records import Split
from cutis.data.split_uses import record_test_use
from cutis.data.splits import load_split, part_rows
from cutis.metrics.bootstrap import Floats
from cutis.metrics.calibration import calibration_error, log_losses
from cutis.metrics.conformal import prediction_sets
from cutis.metrics.scores import confusion_matrix, overall_scores, weighted_mean
from cutis.records import Part
from cutis.runtime import Predictor
from cutis.runtime.answers import measure
from cutis.taxonomy import Malignancy

BATCH = 32
RESAMPLES = 1000
LARGEST = 3  # diagnoses of a set that is an answer, as policies have it
SINGLE, RULE = "one photo", "mean of logits"
KEPT, UNION = "with what is not benign of any photo", "the sets of all photos together"


def mean(probabilities: Floats) -> Floats:
    """The linear opinion pool, of (photos, diagnoses)."""
    return np.asarray(probabilities.mean(axis=0))


def product(probabilities: Floats) -> Floats:
    """As if the photos were independent: the product, made to sum to 1."""
    scaled = np.exp(np.log(np.maximum(probabilities, 1e-12)).sum(axis=0))
    return np.asarray(scaled / scaled.sum())


def majority(probabilities: Floats) -> Floats:
    """The shares of votes; of equals the one with the higher mean goes first."""
    votes = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    scaled = votes / len(probabilities) + 1e-6 * probabilities.mean(axis=0)
    return np.asarray(scaled / scaled.sum())


RULES: dict[str, Callable[[Floats], Floats]] = {
    "mean of probabilities": mean,
    RULE: pool,
    "product": product,
    "majority": majority,
}


@dataclass(frozen=True)
class Judged:
    """N rows, each a photo or a lesion, that stand for lesions."""

    probabilities: Floats  # (N, K)
    sets: NDArray[np.bool_]  # (N, K)
    lesion: NDArray[np.intp]  # (N,)
    share: Floats  # (N,) how much of its lesion a row stands for


def draw(rows: pd.DataFrame, photos: int) -> pd.DataFrame:
    """Photos of lesions that have two or more."""
    shuffled = rows[rows["lesion_id"].notna()].sample(frac=1, random_state=0)
    several = shuffled.groupby("lesion_id")["image_id"].transform("size") > 1
    chosen = shuffled[several].groupby("lesion_id", sort=False).head(MAX_PHOTOS)
    ordered = chosen.assign(lesion=pd.factorize(chosen["lesion_id"])[0])
    ordered = ordered.sort_values("lesion", kind="stable")
    whole = np.cumsum(np.bincount(ordered["lesion"])) <= photos
    drawn: pd.DataFrame = ordered.loc[ordered["lesion"] < whole.sum()]
    return drawn


def answer(predictor: Predictor, catalog: Catalog, rows: pd.DataFrame) -> Floats:
    """(photos, diagnoses) probabilities."""
    paths = [catalog.locate(stored) for stored in rows["path"]]
    logits = [
        measured.logits
        for start in range(0, len(paths), BATCH)
        for measured in measure(predictor, paths[start : start + BATCH], quality=False)
    ]
    return predictor.probabilities(np.stack(logits)).astype(np.float64)


def scores(
    judged: Judged, truth: NDArray[np.intp], suspect: NDArray[np.bool_], weights: Floats
) -> Mapping[str, Floats]:
    """Figures by weights (R, lesions); `truth` is each lesion's."""
    of_row = truth[judged.lesion]
    by_row: Floats = weights[:, judged.lesion] * judged.share
    answers = judged.probabilities.argmax(axis=1)
    correct, confidence = answers == of_row, judged.probabilities.max(axis=1)
    confusion = confusion_matrix(of_row, answers, suspect.size, by_row)
    overall = overall_scores(confusion)
    held = np.take_along_axis(judged.sets, of_row[:, None], axis=1)[:, 0]
    warned = np.asarray((judged.sets & suspect).any(axis=1), np.float64)
    bad, sizes = suspect[of_row], judged.sets.sum(axis=1)
    return {
        "accuracy": overall["accuracy"],
        "balanced accuracy": overall["balanced_accuracy"],
        "log loss": weighted_mean(log_losses(judged.probabilities, of_row), by_row),
        "calibration error": calibration_error(confidence, correct, by_row),
        "confidence above accuracy": weighted_mean(confidence - correct, by_row),
        "coverage": weighted_mean(held.astype(np.float64), by_row),
        "set size": weighted_mean(sizes.astype(np.float64), by_row),
        "sets of more than three": weighted_mean((sizes > LARGEST).astype(np.float64), by_row),
        "coverage, malignant": weighted_mean(held[bad].astype(np.float64), by_row[:, bad]),
        "warned, malignant": weighted_mean(warned[bad], by_row[:, bad]),
        "warned, benign": weighted_mean(warned[~bad], by_row[:, ~bad]),
    }


def pooled(
    probabilities: Floats, lesion: NDArray[np.intp], thresholds: Floats, suspect: NDArray[np.bool_]
) -> dict[str, Judged]:
    """One photo, each rule, and the chosen rule with each way to make its set."""
    single = prediction_sets(probabilities, thresholds)
    lesions = np.arange(lesion.max() + 1)
    share = 1 / np.bincount(lesion)[lesion]
    found = {SINGLE: Judged(probabilities, single, lesion, share)}
    members = [lesion == number for number in lesions]
    for name, rule in RULES.items():
        together = np.stack([rule(probabilities[rows]) for rows in members])
        sets = prediction_sets(together, thresholds)
        found[name] = Judged(together, sets, lesions, np.ones(lesions.size))
    union = np.stack([single[rows].any(axis=0) for rows in members])
    chosen = found[RULE]
    for name, more in ((KEPT, union & suspect), (UNION, union)):
        sets = chosen.sets | more
        found[f"{RULE}, {name}"] = Judged(chosen.probabilities, sets, lesions, chosen.share)
    return found


def compare(
    judged: Mapping[str, Judged], truth: NDArray[np.intp], suspect: NDArray[np.bool_]
) -> dict[str, dict[str, dict[str, float]]]:
    """Every figure with its interval, and that of its difference from one photo."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(truth.size, np.full(truth.size, 1 / truth.size), RESAMPLES)
    weights = np.vstack([np.ones((1, truth.size)), drawn])  # the sample itself first
    values = {name: scores(rows, truth, suspect, weights) for name, rows in judged.items()}
    return {
        name: {
            figure: {
                "value": float(of[0]),
                **_interval("", of[1:]),
                "difference": float(of[0] - values[SINGLE][figure][0]),
                **_interval("difference ", of[1:] - values[SINGLE][figure][1:]),
            }
            for figure, of in figures.items()
        }
        for name, figures in values.items()
    }


def _interval(name: str, values: Floats) -> dict[str, float]:
    low, high = np.nanpercentile(values, [2.5, 97.5]).tolist()
    return {f"{name}low": low, f"{name}high": high}


def open_part(catalog: Catalog, split: Split, part: Part, predictor: Predictor) -> pd.DataFrame:
    """The part's rows by the model's view of the diagnoses."""
    rows = part_rows(catalog, split, part, view=predictor.model_info.view)
    return rows[rows["diagnosis"].isin(predictor.model_info.diagnoses)]


def show(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Values with intervals, then differences from one photo."""
    for name, found in figures.items():
        print(name)
        for figure, of in found.items():
            line = f"  {figure:26}{of['value']:7.3f} ({of['low']:.3f} to {of['high']:.3f})"
            low, high = of["difference low"], of["difference high"]
            apart = f"{of['difference']:+7.3f} ({low:+.3f} to {high:+.3f})"
            print(line if name == SINGLE else f"{line}  {apart}")


def main() -> None:
    """Draws, answers, pools, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="else the model that comes with Cutis")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="default")
    parser.add_argument("--part", choices=["validation", "test"], default="validation")
    parser.add_argument("--photos", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    catalog = Catalog.open(options.data)
    split = load_split(catalog, options.split)
    predictor = Predictor.load(options.bundle)
    if predictor.policy is None:
        sys.exit("the bundle holds no policy, so it makes no prediction sets")
    rows = draw(open_part(catalog, split, Part(options.part), predictor), options.photos)
    if options.part == "test":
        name = options.bundle.name if options.bundle else "box"
        record_test_use(catalog, split, f"pooling {name}")
    names = predictor.model_info.diagnoses
    suspect = np.array([d.malignancy != Malignancy.BENIGN for d in predictor.info.diagnoses])
    lesion = rows["lesion"].to_numpy(np.intp)
    truth = np.array([names.index(name) for name in rows.groupby("lesion")["diagnosis"].first()])
    judged = pooled(
        answer(predictor, catalog, rows),
        lesion,
        np.asarray(predictor.policy.set_thresholds),
        suspect,
    )
    figures = compare(judged, truth, suspect)
    print(f"{options.part}: {len(rows)} photos of {truth.size} lesions, {predictor.model}")
    show(figures)
    if options.json:
        counts = {"part": options.part, "photos": len(rows), "lesions": int(truth.size)}
        options.json.write_text(json.dumps({**counts, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
