"""How unlike the training photos a photo is: two scores, a threshold, and how well they tell.

Higher always means less like the training photos. Shapes: N photos, K diagnoses, D features,
R directions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from cutis.errors import InputError
from cutis.metrics.bootstrap import Floats
from cutis.metrics.conformal import conformal_threshold
from cutis.metrics.ranking import auroc, ranked_counts

KEPT_SHARE = 0.975
"""Share of valid photos that a threshold lets pass."""

DIRECTIONS = 64


def energy(logits: Floats) -> Floats:
    """(N,) free energy of (N, K) logits, at temperature 1 (Liu et al. 2020, equation 4).

    Of the network's own logits, before any fitted temperature and any shift by a prior.
    """
    return np.asarray(-logsumexp(np.asarray(logits, np.float64), axis=1))


@dataclass(frozen=True)
class FeatureSpace:
    """Where the features of training photos lie: a normal distribution around each diagnosis.

    The diagnoses share one covariance (Lee et al. 2018, section 2.1). It is kept as its largest
    principal directions and one variance for all others, as Moghaddam and Pentland (1997) and
    probabilistic PCA (Tipping and Bishop 1999) do: in full, 1,280 features need 1.6 million
    numbers, and more photos than there are to estimate them.
    """

    means: NDArray[np.float32]  # (K, D)
    directions: NDArray[np.float32]  # (D, R) orthonormal
    variances: NDArray[np.float32]  # (R,)
    rest: float  # variance in every direction beside these

    def distance(self, features: Floats) -> Floats:
        """(N,) squared Mahalanobis distance of (N, D) features to the nearest diagnosis.

        Lee et al. 2018, equation 2, with the sign turned. InputError for another number of
        features than that of the training photos.
        """
        if features.ndim != 2 or features.shape[1] != self.means.shape[1]:
            raise InputError(
                f"features of shape {features.shape} do not fit this space",
                expected=f"(photos, {self.means.shape[1]})",
            )
        # The distance if all variances were the rest's, less what the larger ones excuse.
        features, means = features.astype(np.float64), self.means.astype(np.float64)
        excused = self.directions * np.sqrt(1 / self.rest - 1 / self.variances.astype(np.float64))
        apart = cdist(features, means, "sqeuclidean") / self.rest
        apart -= cdist(features @ excused, means @ excused, "sqeuclidean")
        return np.asarray(apart.min(axis=1))


def fit_feature_space(
    features: Floats, truth_index: NDArray[np.intp], directions: int = DIRECTIONS
) -> FeatureSpace:
    """The space of (N, D) features of training photos with their diagnoses (N,).

    Directions beyond D - 1, or beyond what so few photos span, are not taken. With D - 1 the
    distance is the plain Mahalanobis distance. Raises InputError for shapes that do not fit,
    values that are not finite, and features that do not vary in more directions than are kept.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or truth_index.shape != features.shape[:1] or not features.size:
        raise InputError(
            "a feature space cannot be fitted to this",
            expected="features (photos, features) and a diagnosis for each photo, not "
            f"{features.shape} and {truth_index.shape}",
        )
    if not np.isfinite(features).all():
        raise InputError("some features are not finite", fix="leave unreadable photos out")
    photos, width = features.shape
    present, member = np.unique(truth_index, return_inverse=True)
    means = np.stack([features[member == number].mean(axis=0) for number in range(present.size)])
    centred = features - means[member]
    kept = max(min(directions, width - 1, photos - present.size - 1), 0)
    covariance = centred.T @ centred / photos
    first = [width - kept, width - 1]
    variances, found = (
        eigh(covariance, subset_by_index=first) if kept else (np.empty(0), np.empty((width, 0)))
    )
    rest = float((np.trace(covariance) - variances.sum()) / (width - kept))
    if rest <= 1e-9 * np.trace(covariance) / width:
        raise InputError(
            "the features do not vary enough to tell a distance",
            where=f"{photos} photos of {present.size} diagnoses, {kept} directions",
            fix="give more training photos, or keep fewer directions",
        )
    return FeatureSpace(
        means.astype(np.float32),
        np.asarray(found, np.float32),
        np.asarray(variances, np.float32),
        rest,
    )


def highest_valid(
    scores: Floats, group_index: NDArray[np.intp], kept_share: float = KEPT_SHARE
) -> float:
    """The score up to which a photo passes, so that `kept_share` of new valid photos do.

    A conformal threshold: groups count, not photos, and the sample is taken as finite, so the
    promise holds for photos to come (Bates et al. 2023, Annals of Statistics 51:149, on outliers).

    Args:
        scores: (N,) of valid photos that the model was not trained on.
        group_index: (N,) any number by group.

    Raises InputError for scores that are not finite and too few groups: 39 for 0.975.
    """
    if not np.isfinite(scores).all():
        raise InputError("some scores are not finite", fix="leave unreadable photos out")
    found = -conformal_threshold(-np.asarray(scores, np.float64), group_index, kept_share)
    if not np.isfinite(found):
        raise InputError(
            f"{np.unique(group_index).size} groups are too few to keep {kept_share:.2%} of photos",
            expected=f"{int(np.ceil(kept_share / (1 - kept_share) - 1e-9))} groups or more",
            fix="calibrate on more lesions",
        )
    return found


def detection_auroc(valid: Floats, others: Floats) -> float:
    """How often a photo of something else scores above a valid one; ties count half.

    NaN where one side is empty.
    """
    scores = np.concatenate([valid, others])
    if not scores.size:
        return float("nan")
    positive = np.arange(scores.size) >= valid.size
    return float(auroc(ranked_counts(scores, positive, np.ones((1, scores.size))))[0])
