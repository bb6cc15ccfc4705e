"""A network's answer policy, and the feature space that it stands on, as a bundle carries them."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.metrics import softmax
from cutis.metrics.answer_policy import AnswerPolicy, calibrate_policy
from cutis.metrics.out_of_distribution import (
    DIRECTIONS,
    FeatureSpace,
    energy,
    fit_feature_space,
)
from cutis.records import ModelInfo

LEAST_GROUPS = 39
"""So many groups keep 97.5 % of new valid photos, and give sets that do not hang on one group."""


def fitted_space(
    features: NDArray[np.float32], truth_index: NDArray[np.intp]
) -> FeatureSpace | None:
    """The space of (N, D) features of training photos with their diagnoses (N,).

    It has fewer than 64 directions where the features vary in fewer, as those of a small network
    with units that are always zero, and is None where they do not vary at all. It is rounded as
    `write_space` keeps it: a policy is then calibrated with the very space that people get.
    """
    exact = features.astype(np.float64)
    for halvings in range(DIRECTIONS.bit_length() + 1):
        with suppress(InputError):
            space = fit_feature_space(exact, truth_index, DIRECTIONS >> halvings)
            rounded = space.directions.astype(np.float16).astype(np.float32)
            return replace(space, directions=rounded)
    return None


def write_space(space: FeatureSpace, path: Path) -> None:
    """Writes `features.npz`, which `runtime.answers.read_space` reads.

    The directions are kept as float16: for 1,280 features and 64 directions 0.2 MB.
    """
    with path.open("wb") as file:
        np.savez(
            file,
            means=space.means,
            directions=space.directions.astype(np.float16),
            variances=space.variances,
            rest=np.float64(space.rest),
        )


def calibrated_policy(
    logits: NDArray[np.float32],
    features: NDArray[np.float32] | None,
    truth_index: NDArray[np.intp],
    group_index: NDArray[np.intp],
    info: ModelInfo,
    space: FeatureSpace | None,
) -> AnswerPolicy | None:
    """The policy of one network, from its own answers to validation photos.

    Args:
        logits: (N, K).
        features: (N, D), or None of a network that gives none.
        truth_index: (N,) in 0 … K - 1.
        group_index: (N,) any number by group.
        space: of the training photos. Without features or space the energy is limited instead of
            the distance.

    None where the photos are of fewer than LEAST_GROUPS groups. InputError for arrays that do not
    fit each other.
    """
    if np.unique(group_index).size < LEAST_GROUPS:
        return None
    exact = logits.astype(np.float64)
    distances = None
    if space is not None and features is not None:
        distances = space.distance(features.astype(np.float64))
    return calibrate_policy(
        # Rounded as the predictor's are: the thresholds are probabilities of these very photos.
        softmax(exact, info.temperature).astype(np.float32).astype(np.float64),
        truth_index,
        group_index,
        energies=energy(exact) if distances is None else None,
        distances=distances,
    )
