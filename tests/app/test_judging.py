import copy
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax

from cutis.app.judging import judge, pool
from cutis.metrics.answer_policy import AnswerPolicy, Verdict
from cutis.runtime import PhotoAnswer, Predictor, answer_photo
from cutis.runtime.bundle import BundleDiagnosis
from cutis.taxonomy import Malignancy, Urgency

MELANOMA, NEVUS, FIBROMA, KERATOSIS = "melanoma", "nevus", "fibroma", "keratosis"
KINDS = {
    MELANOMA: (Malignancy.MALIGNANT, Urgency.WEEKS),
    NEVUS: (Malignancy.BENIGN, Urgency.ROUTINE),
    FIBROMA: (Malignancy.BENIGN, Urgency.SELF_CARE),
    KERATOSIS: (Malignancy.PRECANCER, Urgency.EMERGENCY),
}
POLICY = AnswerPolicy(set_thresholds=(0.1, 0.2, 0.2, 0.1), pooled=(False,) * 4, largest_set=2)


def model(policy=POLICY, kinds=KINDS):
    """All of a predictor that answers which are there already need."""
    diagnoses = tuple(
        BundleDiagnosis(id=name, name={"en": name}, malignancy=kind, urgency=urgency)
        for name, (kind, urgency) in kinds.items()
    )
    return SimpleNamespace(
        policy=policy,
        info=SimpleNamespace(diagnoses=diagnoses),
        model_info=SimpleNamespace(diagnoses=tuple(kinds)),
        set_scores=lambda probabilities, exported: probabilities,
        exported=lambda probabilities: probabilities,
    )


def said(*probabilities, possible=(), reasons=(), verdict=Verdict.ANSWER, flags=()):
    """An answer of the model above to a photo."""
    by_name = dict(zip(KINDS, probabilities, strict=True))
    return PhotoAnswer(
        probabilities=dict(sorted(by_name.items(), key=lambda item: -item[1])),
        prediction_set=possible,
        verdict=verdict,
        reasons=reasons,
        flags=flags,
    )


def blurred(*probabilities, possible=()):
    refused = {"verdict": Verdict.CANNOT_TELL, "reasons": ("blurred",), "flags": ("blurred",)}
    return said(*probabilities, possible=possible, **refused)


UNREADABLE = PhotoAnswer(
    probabilities={}, verdict=Verdict.CANNOT_TELL, reasons=("unreadable",), error="it is damaged"
)
SURE = said(0.01, 0.97, 0.01, 0.01, possible=(NEVUS,))


def judged(*answers, **changes):
    return judge(model(**changes), None, [], earlier=answers)


def test_one_photo_is_judged_as_it_is_answered(predictor: Predictor, photo: bytes) -> None:
    answer, case = answer_photo(predictor, photo), judge(predictor, None, [photo])
    assert case.photos == (answer,)
    assert answer.prediction_set
    for field in ("probabilities", "verdict", "reasons", "prediction_set", "malignant_possible"):
        assert getattr(case, field) == getattr(answer, field), field
    assert list(case.probabilities) == list(answer.probabilities)


def test_earlier_photos_come_first(predictor: Predictor, photo: bytes) -> None:
    before = answer_photo(predictor, photo).model_copy(update={"distance": 7.0})
    case = judge(predictor, None, [photo], earlier=[before])
    assert [answer.distance for answer in case.photos] == [7.0, None]
    assert case.probabilities == pytest.approx(before.probabilities, abs=1e-6)


def test_pooling_takes_the_mean_of_the_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (3, 4))
    expected = softmax(logits.mean(axis=0))
    np.testing.assert_allclose(pool(softmax(logits, axis=1)), expected, rtol=1e-12)
    answers = [said(*row) for row in softmax(logits, axis=1)]
    case = judged(*answers)
    assert case.probabilities == pytest.approx(dict(zip(KINDS, expected, strict=True)))
    assert list(case.probabilities.values()) == sorted(case.probabilities.values(), reverse=True)


def test_the_same_photo_twice_is_no_more_evidence() -> None:
    row = np.array([0.7, 0.2, 0.1, 0.0])
    np.testing.assert_allclose(pool(np.stack([row, row])), row, atol=1e-12)
    assert pool(row[None]).tolist() == row.tolist()


def test_a_malignant_diagnosis_is_not_pooled_away() -> None:
    alarming = said(0.15, 0.55, 0.25, 0.05, possible=(NEVUS, FIBROMA, MELANOMA))
    case = judged(alarming, SURE, SURE)
    assert case.probabilities[MELANOMA] < 0.1  # of the pooled alone it would be out
    assert case.prediction_set == (NEVUS, MELANOMA)
    assert case.verdict is Verdict.CAUTION
    assert case.reasons == ("malignant_possible", "several_diagnoses")
    assert case.malignant_possible
    assert case.urgent
    assert case.urgency is Urgency.WEEKS


def test_the_set_of_a_recalibrated_bundle_is_not_made_from_what_is_shown() -> None:
    recalibrated = model()
    recalibrated.set_scores = lambda shown, exported: np.array([[0.5, 0.4, 0.05, 0.05]])
    case = judge(recalibrated, None, [], earlier=[SURE])
    assert case.probabilities == SURE.probabilities
    assert set(case.prediction_set) == {NEVUS, MELANOMA}
    assert case.malignant_possible


def test_photos_of_a_recalibrated_bundle_are_brought_back_one_by_one() -> None:
    recalibrated, seen = model(), []
    exported = np.array([[0.5, 0.4, 0.05, 0.05], [0.2, 0.7, 0.05, 0.05]])
    recalibrated.exported = lambda shown: exported if len(shown) == 2 else shown

    def scores(shown, exported):
        seen.append((shown, exported))
        return exported

    recalibrated.set_scores = scores
    case = judge(recalibrated, None, [], earlier=[SURE, SURE])
    ((shown, given),) = seen
    np.testing.assert_allclose(given, pool(exported)[None])
    np.testing.assert_allclose(shown[0], [case.probabilities[name] for name in KINDS])


def test_of_a_blurred_photo_too_it_stays() -> None:
    case = judged(blurred(0.3, 0.7, 0, 0, possible=(NEVUS, MELANOMA)), SURE)
    assert MELANOMA in case.prediction_set
    assert case.urgent
    assert case.verdict is Verdict.CAUTION


def test_a_warning_of_one_photo_is_not_too_many_diagnoses() -> None:
    alarming = said(0.12, 0.44, 0.44, 0.0, possible=(NEVUS, FIBROMA, MELANOMA))
    calm = said(0.001, 0.5, 0.499, 0.0, possible=(NEVUS, FIBROMA))
    case = judged(alarming, calm)
    assert len(case.prediction_set) == 3 > POLICY.largest_set
    assert case.verdict is Verdict.CAUTION
    undecided = said(0.2, 0.4, 0.4, 0.0, possible=(NEVUS, FIBROMA, MELANOMA))
    case = judged(undecided, undecided)
    assert (case.verdict, case.reasons) == (Verdict.CANNOT_TELL, ("too_many_diagnoses",))
    assert case.urgent


def test_a_warning_does_not_make_an_answer_where_nothing_fits() -> None:
    strict = POLICY.model_copy(update={"set_thresholds": (0.1, 0.9, 0.9, 0.1)})
    alarming = said(0.15, 0.55, 0.3, 0.0, possible=(MELANOMA,))
    calm = said(0.001, 0.6, 0.399, 0.0)
    case = judged(alarming, calm, policy=strict)
    assert (case.verdict, case.reasons) == (Verdict.CANNOT_TELL, ("no_diagnosis_fits",))
    assert case.prediction_set == (MELANOMA,)


def test_a_blurred_photo_counts_only_where_there_is_no_better_one() -> None:
    spoilt = blurred(0.0, 0.1, 0.9, 0.0, possible=(FIBROMA,))
    case = judged(spoilt, SURE)
    assert case.probabilities == SURE.probabilities
    assert (case.verdict, case.reasons, case.left_out) == (Verdict.ANSWER, (), (1,))
    strange = said(0, 0.5, 0.5, 0, reasons=("unlike_training",), verdict=Verdict.CANNOT_TELL)
    case = judged(spoilt, strange, policy=POLICY.model_copy(update={"highest_distance": 3.0}))
    assert (case.verdict, case.reasons) == (Verdict.CANNOT_TELL, ("unlike_training", "blurred"))
    assert case.probabilities[FIBROMA] == pytest.approx(0.75)
    assert case.left_out == ()


def test_a_photo_like_the_training_photos_passes_the_limits() -> None:
    limits = {"highest_distance": 3.0, "highest_energy": -2.0}
    assert judged(SURE, SURE, policy=POLICY.model_copy(update=limits)).verdict is Verdict.ANSWER


def test_a_caution_of_one_photo_is_one_of_the_case() -> None:
    hairy = SURE.model_copy(update={"flags": ("hair",), "verdict": Verdict.CAUTION})
    case = judged(hairy, SURE)
    assert (case.verdict, case.reasons) == (Verdict.CAUTION, ("hair",))


def test_unreadable_photos_are_left_out() -> None:
    case = judged(UNREADABLE, SURE)
    assert case.probabilities == SURE.probabilities
    assert case.verdict is Verdict.ANSWER
    assert len(case.photos) == 2
    assert case.left_out == (1,)


def test_nothing_readable_is_no_answer(predictor: Predictor) -> None:
    for case in (judged(UNREADABLE), judge(predictor, None, [b"no photo"])):
        assert (case.verdict, case.reasons) == (Verdict.CANNOT_TELL, ("unreadable",))
        assert case.probabilities == {}
        assert case.left_out == (1,)
        assert not case.urgent
    assert judged(UNREADABLE, policy=None).verdict is None


def test_the_most_urgent_diagnosis_counts() -> None:
    case = judged(said(0.0, 0.8, 0.0, 0.2))
    assert case.prediction_set == (NEVUS, KERATOSIS)
    assert case.urgency is Urgency.EMERGENCY
    assert case.urgent
    assert judged(SURE).urgency is Urgency.ROUTINE
    assert not judged(SURE).urgent


def test_a_diagnosis_that_is_not_settled_is_not_urgent_by_itself() -> None:
    case = judged(SURE, kinds={**KINDS, NEVUS: (None, None)})
    assert case.malignant_possible
    assert (case.urgent, case.urgency) == (False, None)


def test_without_a_policy_the_first_answers_warn(predictor: Predictor, photo: bytes) -> None:
    case = judged(said(0.5, 0.4, 0.1, 0.0), SURE, policy=None)
    assert next(iter(case.probabilities)) == NEVUS
    assert (case.verdict, case.prediction_set) == (None, ())
    assert case.urgent
    assert case.urgency is Urgency.WEEKS
    assert not judged(SURE, policy=None).urgent
    plain = copy.copy(predictor)
    plain.policy = None
    assert judge(plain, None, [photo]).verdict is None
