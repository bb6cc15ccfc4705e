"""One network of a bundle on a clinic's cases: what is fitted, and everything before and after."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cutis.metrics.answer_policy import AnswerPolicy
from cutis.metrics.bootstrap import Floats
from cutis.metrics.calibration import softmax
from cutis.metrics.conformal import prediction_sets
from cutis.metrics.recalibration import (
    WITHOUT_PRIOR,
    Photos,
    Scaling,
    Way,
    choose_way,
    cross_validated,
    fit_scaling,
)
from cutis.records import ModelInfo
from cutis.runtime import Predictor
from cutis.runtime.stream import DISTANCE
from cutis.studies.abstention_record import Figure
from cutis.studies.recalibration.promises import clinic_policy, cross_validated_sets
from cutis.studies.recalibration.record import NetworkStudy
from cutis.studies.recalibration.scores import (
    Bools,
    differences,
    judged,
    judged_sets,
    mean_figure,
    more_missed,
)
from cutis.taxonomy import Malignancy

OF_FEEDBACK = "the shares of the diagnoses among feedback are not those of the patients"
MAY_FIND_FEWER = (
    "the cases do not show that with one as many of the not benign are found by the first answer"
)


@dataclass(frozen=True)
class Network:
    """A network that is recalibrated."""

    name: str
    engine: str
    model: ModelInfo
    policy: AnswerPolicy
    suspect: Bools  # (K,) which diagnoses are not known to be benign

    @classmethod
    def of(cls, predictor: Predictor) -> "Network":
        """The one that a predictor runs; it must have a policy."""
        if predictor.policy is None:
            raise ValueError("networks without a policy are not recalibrated")
        kinds = [diagnosis.malignancy for diagnosis in predictor.info.diagnoses]
        suspect = np.array([kind != Malignancy.BENIGN for kind in kinds])
        return cls(
            predictor.model, predictor.engine, predictor.model_info, predictor.policy, suspect
        )


def study_network(
    network: Network, photos: Photos, *, feedback: bool, kept: Figure | None = None
) -> NetworkStudy:
    """What is fitted to the photos, with a prior only where that is safe.

    Of feedback no prior is fitted: its shares of the diagnoses are those of what doctors were asked
    about. Nor is one where it may cost warnings: where the cases do not show that first answers
    find as many of the not benign as before.

    Args:
        feedback: whether some of the photos are.
        kept: the share of cases not unlike the training photos, for the record.
    """
    if feedback:
        return _study(network, photos, kept, WITHOUT_PRIOR, OF_FEEDBACK)
    study = _study(network, photos, kept, tuple(Way), "")
    if study.finds_as_many:
        return study
    return _study(network, photos, kept, WITHOUT_PRIOR, MAY_FIND_FEWER)


def _study(
    network: Network, photos: Photos, kept: Figure | None, ways: Sequence[Way], no_prior: str
) -> NetworkStudy:
    model, policy, suspect = network.model, network.policy, network.suspect
    names = model.diagnoses
    as_exported = Scaling(model.temperature, np.zeros(len(names)))
    # Rounded as the predictor's are, from which the policy's thresholds come.
    exported = softmax(photos.logits, model.temperature).astype(np.float32).astype(np.float64)
    implied = implied_shares(model)
    way = choose_way(photos, as_exported, implied, ways)
    scaling = fit_scaling(photos, way, as_exported, implied)
    shown = cross_validated(photos, as_exported, implied, ways)
    widened, enough = clinic_policy(policy, exported, photos)
    before = prediction_sets(exported, np.asarray(policy.set_thresholds))
    after = cross_validated_sets(policy, exported, shown, photos)
    missed = more_missed(photos, before, after, policy, suspect)
    return NetworkStudy(
        network=network.name,
        engine=network.engine,
        way=way,
        temperature=scaling.temperature,
        exported_temperature=model.temperature,
        offsets=tuple(scaling.offsets.tolist()),
        no_prior=no_prior,
        wrong=np.unique(photos.group[exported.argmax(axis=1) != photos.truth]).size,
        before=judged(photos, exported, names, suspect),
        after=judged(photos, shown, names, suspect),
        difference=differences(photos, exported, shown, suspect) | {"missed": missed},
        thresholds=widened.set_thresholds,
        exported_thresholds=policy.set_thresholds,
        sets_checked=enough,
        sets_before=judged_sets(photos, before, policy, suspect),
        sets_after=judged_sets(photos, after, policy, suspect),
        kept=kept,
    )


def implied_shares(model: ModelInfo) -> Floats:
    """(K,) the shares of the diagnoses that a model's logits stand for.

    Equal ones where training left its shares out of the logits (logit adjustment), else those of
    the training photos, one more of each so that none is zero.
    """
    counts = np.ones(len(model.diagnoses))
    if model.log_prior is None:
        trained = model.provenance.train_counts
        counts += [trained.get(name, 0) for name in model.diagnoses]
    return np.asarray(counts / counts.sum())


def kept_share(predictor: Predictor, photos: Photos, table: pd.DataFrame) -> Figure | None:
    """The share of cases not unlike the training photos; None where the network has no limit."""
    limit = None if predictor.policy is None else predictor.policy.highest_distance
    if limit is None:
        return None
    within = (table[DISTANCE] <= limit).to_numpy(bool)
    return mean_figure(photos, within, np.ones(within.size))
