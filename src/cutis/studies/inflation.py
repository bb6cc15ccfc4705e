"""What siblings in training add to the figures on the same test photos, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.metrics.bootstrap import Floats, Resampling, bootstrap
from cutis.metrics.ranking import auroc, ranked_counts
from cutis.metrics.scores import confusion_matrix, defined_mean, overall_scores
from cutis.studies.leak_cost_record import Inflation, TestPhotos

_OF_ANSWERS = ("accuracy", "balanced_accuracy", "f1_macro")
_OF_RANKING = "auroc_macro"


@dataclass(frozen=True)
class Answers:
    """What one trained classifier says of N test photos."""

    predicted: NDArray[np.int64]  # (N,)
    probabilities: Floats | None  # (N, K)


@dataclass(frozen=True)
class Judged:
    """The test photos of one seed and the answers of both trainings, by classifier."""

    photos: pd.DataFrame  # image_id, group, truth (index of the diagnosis), has_sibling
    with_siblings: Mapping[str, Answers]
    without_siblings: Mapping[str, Answers]


def inflations(
    judged: Sequence[Judged], classes: int, settings: Resampling
) -> tuple[Inflation, ...]:
    """All scores of all classifiers, on all test photos and on those with and without siblings.

    The statistic is the mean over the seeds of (score with siblings - score without), each on
    that seed's test photos. An interval resamples groups: each resample draws as many groups as
    were tested with any seed, and a drawn group counts in every seed that tested it. Both
    trainings are judged on the same resample, so the interval is a paired one, and a group that
    several seeds tested is not mistaken for several groups.
    """
    found: list[Inflation] = []
    for classifier in judged[0].with_siblings:
        chosen: tuple[tuple[TestPhotos, list[NDArray[np.bool_]]], ...] = (
            ("all", [np.ones(len(t.photos), bool) for t in judged]),
            ("with siblings", [t.photos["has_sibling"].to_numpy() for t in judged]),
            ("without siblings", [~t.photos["has_sibling"].to_numpy() for t in judged]),
        )
        for name, masks in chosen:
            pairs = [_pair(t, classifier, mask) for t, mask in zip(judged, masks, strict=True)]
            pairs = [pair for pair in pairs if len(pair.truth)]
            if pairs:
                found += _of_photos(pairs, classifier, name, classes, settings)
    return tuple(found)


@dataclass(frozen=True)
class _Pair:
    """One seed's chosen test photos and two answers for each."""

    photos: pd.DataFrame
    truth: NDArray[np.intp]
    answers: tuple[Answers, Answers]  # with siblings, without


def _pair(judged: Judged, classifier: str, mask: NDArray[np.bool_]) -> _Pair:
    def masked(answers: Answers) -> Answers:
        scores = answers.probabilities
        return Answers(answers.predicted[mask], None if scores is None else scores[mask])

    both = (judged.with_siblings[classifier], judged.without_siblings[classifier])
    photos = judged.photos[mask]
    return _Pair(photos, photos["truth"].to_numpy(np.intp), (masked(both[0]), masked(both[1])))


def _of_photos(
    pairs: Sequence[_Pair],
    classifier: str,
    test_photos: TestPhotos,
    classes: int,
    settings: Resampling,
) -> list[Inflation]:
    photos = pd.concat([pair.photos for pair in pairs], ignore_index=True)
    group_index, groups = pd.factorize(photos["group"], sort=True)

    def statistic(weights: Floats) -> dict[str, Floats]:
        return {
            f"{what} {name}": defined_mean(values)
            for name, (there, gone) in _by_seed(pairs, classes, weights).items()
            for what, values in (("with", there), ("without", gone), ("gain", there - gone))
        }

    estimates = bootstrap(statistic, group_index.astype(np.intp), settings)
    once = _by_seed(pairs, classes, np.ones((1, len(photos))))
    return [
        Inflation(
            classifier=classifier,
            test_photos=test_photos,
            score=name,
            with_siblings=_number(estimates[f"with {name}"].value),
            without_siblings=_number(estimates[f"without {name}"].value),
            inflation=_number(estimates[f"gain {name}"].value),
            low=_number(estimates[f"gain {name}"].low),
            high=_number(estimates[f"gain {name}"].high),
            by_seed=tuple(_number(value) for value in (there - gone)[0]),
            photos=photos["image_id"].nunique(),
            groups=len(groups),
        )
        for name, (there, gone) in once.items()
    ]


def _by_seed(
    pairs: Sequence[_Pair], classes: int, weights: Floats
) -> dict[str, tuple[Floats, Floats]]:
    """Each score (resamples, seeds) with and without siblings; weights stand seed after seed."""
    ends = np.cumsum([len(pair.truth) for pair in pairs])
    columns = np.split(weights, ends[:-1], axis=1)
    both: list[dict[str, Floats]] = []
    for arm in (0, 1):
        scores = [
            _scores(pair.truth, pair.answers[arm], classes, part)
            for pair, part in zip(pairs, columns, strict=True)
        ]
        both.append({name: np.stack([s[name] for s in scores], axis=1) for name in scores[0]})
    return {name: (both[0][name], both[1][name]) for name in both[0]}


def _scores(
    truth: NDArray[np.intp], answers: Answers, classes: int, weights: Floats
) -> dict[str, Floats]:
    confusion = confusion_matrix(truth, answers.predicted.astype(np.intp), classes, weights)
    overall = overall_scores(confusion)
    scores = {name: overall[name] for name in _OF_ANSWERS}
    if answers.probabilities is not None:
        areas = [
            auroc(ranked_counts(answers.probabilities[:, k], truth == k, weights))
            for k in range(classes)
        ]
        scores[_OF_RANKING] = defined_mean(np.stack(areas, axis=1))
    return scores


def _number(value: Floats | np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
