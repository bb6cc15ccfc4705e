"""From scored masks to all figures, as plain values for metrics.json."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutis.evaluation.assembly import SMALL
from cutis.evaluation.segmentation.examples import Example
from cutis.evaluation.segmentation.scoring import WHOLE, ScoredMasks
from cutis.evaluation.values import figure
from cutis.metrics.bootstrap import Resampling, bootstrap
from cutis.metrics.scores import defined_mean
from cutis.metrics.segmentation import JACCARD_THRESHOLD

BINS = 20
"""Of the histogram of Jaccard, so that the threshold of 0.65 is an edge."""

SIZES = ("small", "medium", "large")

_REASONS = {
    "sensitivity": "every true mask is empty",
    "relative_hd95": "every true mask is empty",
    "specificity": "every true mask fills its photo",
}


def scores(scored: ScoredMasks, settings: Resampling) -> dict[str, Any]:
    """Means by image as `scores`, over all pixels as `pooled`, failed ones as `failures`."""
    found = scored.scores.estimates(scored.group_index, settings)
    failed = scored.failed.astype(np.float64)
    share = bootstrap(
        lambda weights: {"failed": defined_mean(failed, weights)}, scored.group_index, settings
    )["failed"]
    means = {name: value for name, value in found.items() if not name.startswith("pooled_")}
    pooled = {name: found[f"pooled_{name}"] for name in means if f"pooled_{name}" in found}
    return {
        "scores": {name: figure(v, reason=_REASONS.get(name)) for name, v in means.items()},
        "pooled": {name: figure(v, reason=_REASONS.get(name)) for name, v in pooled.items()},
        "failures": {
            "below": JACCARD_THRESHOLD,
            "share": figure(share),
            "photos": int(scored.failed.sum()),
            "empty_predictions": int((scored.predicted_share == 0).sum()),
            "whole_predictions": int((scored.predicted_share > WHOLE).sum()),
            "whole_above": WHOLE,
            "empty_truths": int((scored.true_share == 0).sum()),
        },
    }


def subgroups(scored: ScoredMasks, settings: Resampling) -> dict[str, list[dict[str, Any]]]:
    """The same scores by diagnosis, source and lesion size; each list is in the page's order.

    Groups without a known value are called null.
    """
    made = {}
    for column in ("diagnosis", "source"):
        values = scored.photos[column]
        known = values.value_counts().index  # the most frequent first
        parts: list[tuple[str | None, NDArray[np.bool_]]] = [
            (str(value), (values == value).to_numpy(bool)) for value in known
        ]
        parts += [(None, values.isna().to_numpy(bool))]
        made[f"per_{column}"] = [
            {column: name, **_subgroup(scored.subset(chosen), settings)}
            for name, chosen in parts
            if chosen.any()
        ]
    made["per_size"] = [
        {"size": name, "from": low, "to": high, **_subgroup(scored.subset(chosen), settings)}
        for name, low, high, chosen in size_terciles(scored)
        if chosen.any()
    ]
    return made


def size_terciles(
    scored: ScoredMasks,
) -> list[tuple[str, float, float, NDArray[np.bool_]]]:
    """Thirds of the photos by the true lesion's share of the photo: name, bounds, (N,) which.

    A share equal to a bound belongs below it. Photos with an empty true mask are in none.
    """
    share = scored.true_share
    known = share[share > 0]
    if not known.size:
        return []
    bounds = [0.0, *np.quantile(known, [1 / 3, 2 / 3]).tolist(), float(known.max())]
    return [
        (name, low, high, (share > low) & (share <= high))
        for name, low, high in zip(SIZES, bounds[:-1], bounds[1:], strict=True)
    ]


def histogram(scored: ScoredMasks) -> dict[str, Any]:
    """Photos by Jaccard, in bins of equal width from 0 to 1."""
    counts, edges = np.histogram(scored.jaccard, BINS, (0, 1))
    return {"edges": np.round(edges, 3).tolist(), "photos": counts.tolist()}


def example(scored: ScoredMasks, shown: Example) -> dict[str, Any]:
    """What is said of one shown photo."""
    photo = scored.photos.iloc[shown.row]
    return {
        **{name: _text(photo[name]) for name in ("image_id", "path", "source", "diagnosis")},
        "jaccard": float(scored.jaccard[shown.row]),
        "true_share": float(scored.true_share[shown.row]),
        "predicted_share": float(scored.predicted_share[shown.row]),
    }


def _subgroup(part: ScoredMasks, settings: Resampling) -> dict[str, Any]:
    photos = len(part.photos)
    return {
        "photos": photos,
        "groups": part.groups,
        "small": photos < SMALL,
        **scores(part, settings),
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
