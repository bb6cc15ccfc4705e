"""What becomes of a policy's promises when the probabilities change.

The thresholds of the prediction sets belong to the probabilities as exported, and stay with them:
there the sets keep what the export promised, whatever the recalibration shows. The clinic's cases
were not used to make those probabilities, so thresholds from these cases hold for further cases of
the clinic (split conformal prediction needs no more). The lower of both thresholds gives sets that
hold both promises. A diagnosis that no case shows keeps its threshold: nothing of the clinic speaks
of it. The limits on distance and energy ask the features and the logits, which do not change; a
clinic's cases never loosen them.
"""

import numpy as np
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.metrics.bootstrap import Floats
from cutis.metrics.conformal import prediction_sets, set_thresholds
from cutis.metrics.recalibration import Photos, set_scores

_ROUNDING = 1 - 1e-5
"""The predictor gets the exported probabilities back from float32: no set may lose by that."""


def clinic_policy(
    policy: AnswerPolicy, exported: Floats, photos: Photos
) -> tuple[AnswerPolicy, bool]:
    """The policy whose sets hold for the clinic's cases too, and whether there were enough cases.

    With too few for the policy's level its thresholds stay as they are.

    Args:
        exported: (N, K) probabilities of the photos as exported.
    """
    old, enough = np.asarray(policy.set_thresholds), True
    try:
        own = set_thresholds(exported, photos.truth, photos.group, level=policy.level).values
    except InputError:  # too few groups for the level
        own, enough = old, False
    shown = np.bincount(photos.truth, minlength=old.size) > 0
    thresholds = np.where(shown, np.minimum(old, own), old) * _ROUNDING
    return policy.model_copy(update={"set_thresholds": tuple(thresholds.tolist())}), enough


def cross_validated_sets(
    policy: AnswerPolicy, exported: Floats, shown: Floats, photos: Photos
) -> NDArray[np.bool_]:
    """(N, K) the set of each photo, by thresholds made without its fold.

    Args:
        shown: (N, K) the recalibrated probabilities, fitted without its fold too.
    """
    found = np.zeros(exported.shape, bool)
    for number in np.unique(photos.fold):
        out = photos.fold == number
        made, _ = clinic_policy(policy, exported[~out], photos.of(~out))
        thresholds = np.asarray(made.set_thresholds)
        scores = set_scores(exported[out], shown[out], thresholds)
        found[out] = prediction_sets(scores, thresholds)
    return found
