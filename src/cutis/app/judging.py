"""What the model says of a case: of each photo alone, then of all together.

The rules were chosen on lesions with several photos; the figures stand in docs/app-judging.md.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from cutis.app.cases import Judgement
from cutis.app.urgency import is_grave, urgency_of
from cutis.metrics.answer_policy import AnswerPolicy, Answers, Verdict, decide
from cutis.metrics.bootstrap import Floats
from cutis.metrics.calibration import SMALLEST_PROBABILITY
from cutis.runtime import PhotoAnswer, Predictor, Segmenter, answer_photo
from cutis.taxonomy import Malignancy

_UNREADABLE, _UNLIKE = "unreadable", "unlike_training"  # of REASON_TEXTS
_NOT_RULED_OUT = 0.05
"""Without a policy: a diagnosis at least as probable is warned of."""


def judge(
    predictor: Predictor,
    segmenter: Segmenter | None,
    photos: Sequence[bytes],
    *,
    earlier: Sequence[PhotoAnswer] = (),
) -> Judgement:
    """Answers the photos of one lesion, each alone and all together.

    A photo that is refused for what it is (blurred, unlike the training photos, …) is left out of
    the pooled probabilities where the case has a better one. What is not known to be benign in the
    set of any readable photo stays in the case's set, whatever the other photos say. A bundle
    without a policy makes no sets: there the first answers, of the case and of each photo, decide
    on the urgency.

    Args:
        segmenter: draws layers; a predictor that looks at the lesion brings its own.
        photos: files' bytes.
        earlier: come before them.
    """
    answers = (*earlier, *(answer_photo(predictor, photo) for photo in photos))
    readable = [answer for answer in answers if answer.error is None]
    policy = predictor.policy
    used = _usable(policy, readable)
    left_out = tuple(
        number
        for number, answer in enumerate(answers, 1)
        if not any(answer is counted for counted in used)
    )
    nothing = Judgement(photos=answers, probabilities={}, left_out=left_out)
    if not readable:
        unreadable = {"verdict": Verdict.CANNOT_TELL, "reasons": (_UNREADABLE,)}
        return nothing if policy is None else nothing.model_copy(update=unreadable)
    names = predictor.model_info.diagnoses
    shown = np.array([[answer.probabilities[name] for name in names] for answer in used])
    pooled = pool(shown)
    order = np.argsort(-pooled, kind="stable").tolist()
    probabilities = {names[k]: float(pooled[k]) for k in order}
    judgement = nothing.model_copy(update={"probabilities": probabilities})
    if policy is None:
        seen = (probabilities, *(answer.probabilities for answer in readable))
        first = {next(iter(one)) for one in seen}
        first |= {name for one in seen for name, share in one.items() if share >= _NOT_RULED_OUT}
        return judgement.model_copy(update=_warnings(predictor, first, None))
    scores = predictor.set_scores(pooled[None], pool(predictor.exported(shown))[None])
    said, held = _decide(predictor, policy, scores, readable, used)
    found = tuple(names[k] for k in order if held[k])
    verdict = Verdict(said.verdicts[0])
    judged = {
        "verdict": verdict,
        "reasons": said.reasons(0),
        "prediction_set": found,
        **_warnings(predictor, found, verdict),
    }
    return judgement.model_copy(update=judged)


def pool(probabilities: Floats) -> Floats:
    """Probabilities of several photos (photos, K) to those of their lesion (K,).

    The logarithmic opinion pool with equal weights (Genest and Zidek 1986, Statistical Science
    1:114): softmax of the mean of the photos' logits. One photo's stay as they are, to the digit.
    """
    if len(probabilities) == 1:
        return np.asarray(probabilities[0])
    scaled = np.exp(np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)).mean(axis=0))
    return np.asarray(scaled / scaled.sum())


def _usable(policy: AnswerPolicy | None, readable: list[PhotoAnswer]) -> list[PhotoAnswer]:
    """The photos that are not refused for what they are; all where there is none."""
    spoilt = {_UNLIKE, *(policy.refusing_flags if policy else ())}
    return [answer for answer in readable if spoilt.isdisjoint(answer.reasons)] or readable


def _decide(
    predictor: Predictor,
    policy: AnswerPolicy,
    scores: Floats,
    readable: list[PhotoAnswer],
    used: list[PhotoAnswer],
) -> tuple[Answers, NDArray[np.bool_]]:
    """The verdict, and (K,) what is in the set.

    Whether the model can tell is asked of the pooled probabilities alone: a diagnosis that one
    photo's set brings is a warning, and no sign of too many diagnoses.

    Args:
        scores: (1, K) `Predictor.set_scores` of the pooled probabilities.
    """
    diagnoses = predictor.info.diagnoses
    named = {name for answer in readable for name in answer.prediction_set}
    kept = [d.id in named and d.malignancy is not Malignancy.BENIGN for d in diagnoses]
    # Answers do not hold their scores, but say whether one was above its limit.
    unlike = np.array([np.inf if any(_UNLIKE in a.reasons for a in used) else -np.inf])

    def by(thresholds: AnswerPolicy) -> Answers:
        return decide(
            thresholds,
            scores,
            [diagnosis.malignancy for diagnosis in diagnoses],
            energies=unlike,
            distances=unlike,
            flags=[{flag for answer in used for flag in answer.flags or ()}],
        )

    lowered = tuple(np.where(kept, 0.0, policy.set_thresholds).tolist())
    alone = by(policy)
    wider = by(policy.model_copy(update={"set_thresholds": lowered, "largest_set": len(diagnoses)}))
    refused = alone.verdicts[0] == Verdict.CANNOT_TELL
    return alone if refused else wider, wider.sets[0]


def _warnings(
    predictor: Predictor, possible: Collection[str], verdict: Verdict | None
) -> dict[str, object]:
    """How grave and urgent the possible diagnoses are."""
    of = [diagnosis for diagnosis in predictor.info.diagnoses if diagnosis.id in possible]
    return {
        "malignant_possible": any(d.malignancy is not Malignancy.BENIGN for d in of),
        "urgency": urgency_of(of, verdict),
        "urgent": any(is_grave(diagnosis) for diagnosis in of),
    }
