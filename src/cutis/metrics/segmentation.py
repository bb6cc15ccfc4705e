"""How well a predicted lesion mask agrees with the true one, photo by photo and over all pixels.

Shapes: N photos, R weightings of them. Undefined values are NaN, never 0. docs/segmentation.md
says why each rule is as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from cutis.errors import InputError
from cutis.metrics.bootstrap import Estimates, Floats, Resampling, bootstrap
from cutis.metrics.scores import defined_mean, ratio

Mask = NDArray[np.bool_]

JACCARD_THRESHOLD = 0.65
"""Below it a segmentation counts as failed, by the ISIC 2018 challenge (Codella et al. 2019,
arXiv:1902.03368)."""


@dataclass(frozen=True)
class PixelCounts:
    """Pixels by truth and prediction; arrays of one shape, whole numbers or weighted sums."""

    hits: Floats  # lesion in both
    extra: Floats  # predicted only
    missed: Floats  # in the truth only
    outside: Floats  # lesion in neither


@dataclass(frozen=True)
class MaskScores:
    """N predicted masks against the true ones; every array is (N,)."""

    counts: PixelCounts
    hd95: Floats
    """Boundary distance in pixels; see `boundary_distance`."""
    relative_hd95: Floats
    """`hd95` over the diameter of the circle with the true lesion's area, the area-equivalent
    diameter of ISO 9276-6:2008; NaN where the true mask is empty."""

    def by_image(self) -> Mapping[str, Floats]:
        """Every score of every photo, (N,) each."""
        scores = overlap_scores(self.counts)
        jaccard = scores["jaccard"]
        return {
            **scores,
            "thresholded_jaccard": np.where(jaccard < JACCARD_THRESHOLD, 0.0, jaccard),
            "relative_hd95": self.relative_hd95,
        }

    def means(self, weights: Floats) -> Mapping[str, Floats]:
        """(R,) means over the photos in which a score is defined.

        Args:
            weights: (R, N) how often each photo counts.
        """
        return {name: defined_mean(values, weights) for name, values in self.by_image().items()}

    def pooled(self, weights: Floats) -> Mapping[str, Floats]:
        """(R,) overlap scores over the pixels of all photos; large photos and lesions weigh more.

        Args:
            weights: (R, N) how often each photo counts.
        """
        counts = self.counts
        return overlap_scores(
            PixelCounts(
                weights @ counts.hits,
                weights @ counts.extra,
                weights @ counts.missed,
                weights @ counts.outside,
            )
        )

    def estimates(
        self, group_index: NDArray[np.intp], settings: Resampling
    ) -> dict[str, Estimates]:
        """Means by image, and pooled scores as `pooled_NAME`, with intervals over groups.

        Args:
            group_index: (N,) the group of each photo, numbered from 0 without gaps.
        """

        def statistic(weights: Floats) -> dict[str, Floats]:
            pooled = self.pooled(weights)
            return {
                **self.means(weights),
                **{f"pooled_{name}": values for name, values in pooled.items()},
            }

        return bootstrap(statistic, group_index, settings)


def score_masks(pairs: Iterable[tuple[Mask, Mask]]) -> MaskScores:
    """Scores pairs of a predicted and a true mask, (height, width) bool each.

    Pairs are taken one at a time; their sizes may differ from pair to pair. InputError where the
    two of a pair do.
    """
    rows = np.array([_score(*pair) for pair in pairs], np.float64).reshape(-1, 5)
    hits, extra, missed, outside, hd95 = rows.T
    diameter = np.sqrt(4 / np.pi * (hits + missed))
    return MaskScores(PixelCounts(hits, extra, missed, outside), hd95, ratio(hd95, diameter))


def overlap_scores(counts: PixelCounts) -> Mapping[str, Floats]:
    """Jaccard, Dice, and the sensitivity, specificity and accuracy of the pixels.

    Two empty masks agree: Jaccard and Dice are 1; where one alone is empty they are 0.
    Sensitivity is NaN where the true mask is empty, specificity where it fills the photo.
    """
    lesion = counts.hits + counts.missed
    skin = counts.outside + counts.extra
    union = lesion + counts.extra
    return {
        "jaccard": np.where(union > 0, ratio(counts.hits, union), 1.0),
        "dice": np.where(union > 0, ratio(2 * counts.hits, union + counts.hits), 1.0),
        "sensitivity": ratio(counts.hits, lesion),
        "specificity": ratio(counts.outside, skin),
        "accuracy": ratio(counts.hits + counts.outside, lesion + skin),
    }


def boundary_distance(predicted: Mask, truth: Mask) -> float:
    """HD95 in pixels: of the distances from each boundary to the other the 95th percentile, the
    larger of the two directions (Maier-Hein et al. 2024, Metrics reloaded; Podobnik and Vrtovec,
    arXiv:2410.02630, compare it with other readings of the name).

    The boundary are the mask's pixels with one of their four neighbours outside it; beyond the
    frame is outside. 0 where both masks are empty; the diagonal of the photo, which no distance
    exceeds, where one alone is: nothing found is never better than something wrong.

    Args:
        predicted: (height, width).
        truth: likewise; InputError for another size.
    """
    _check(predicted, truth)
    ours, theirs = boundary(predicted), boundary(truth)
    if not len(ours) or not len(theirs):
        return 0.0 if len(ours) == len(theirs) else float(np.hypot(*truth.shape))
    # A tree over the few boundary pixels is exact and faster than distance maps of the frame.
    there, _ = KDTree(theirs).query(ours)
    back, _ = KDTree(ours).query(theirs)
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def boundary(mask: Mask) -> NDArray[np.intp]:
    """(P, 2) rows and columns of a mask's boundary pixels, as `boundary_distance` defines them."""
    inside = np.zeros_like(mask)
    inside[1:-1, 1:-1] = (
        mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    )
    return np.argwhere(mask & ~inside)


def _score(predicted: Mask, truth: Mask) -> tuple[float, ...]:
    """Hits, extra, missed, outside and HD95 of one pair."""
    distance = boundary_distance(predicted, truth)
    hits = int(np.count_nonzero(predicted & truth))
    extra = int(np.count_nonzero(predicted)) - hits
    missed = int(np.count_nonzero(truth)) - hits
    return hits, extra, missed, truth.size - hits - extra - missed, distance


def _check(predicted: Mask, truth: Mask) -> None:
    for name, mask in (("predicted", predicted), ("true", truth)):
        if mask.ndim != 2 or mask.dtype != np.bool_ or not mask.size:
            raise InputError(
                f"the {name} mask is not a mask",
                where=f"shape {mask.shape}, type {mask.dtype}",
                expected="(height, width) of type bool",
            )
    if predicted.shape != truth.shape:
        raise InputError(
            "the two masks differ in size",
            where=f"predicted {predicted.shape}, true {truth.shape}",
            expected="both at the size of the photo",
            fix="resize the prediction to the photo first",
        )
