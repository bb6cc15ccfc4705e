"""How soon a doctor should see a spot: nothing calms that has no right to."""

import itertools

import pytest

from cutis.app.cases import SYMPTOMS, Judgement
from cutis.app.urgency import ALARMING, urgency_of, with_symptoms
from cutis.metrics.answer_policy import Verdict
from cutis.runtime.bundle import BundleDiagnosis
from cutis.taxonomy import Malignancy, Urgency

BENIGN, MALIGNANT, PRECANCER = Malignancy.BENIGN, Malignancy.MALIGNANT, Malignancy.PRECANCER
CALM = (Urgency.ROUTINE, Urgency.SELF_CARE)


def named(malignancy: Malignancy | None, urgency: Urgency | None) -> BundleDiagnosis:
    return BundleDiagnosis(id="x", name={"en": "x"}, malignancy=malignancy, urgency=urgency)


ALL = [named(*pair) for pair in itertools.product([None, *Malignancy], [None, *Urgency])]


def test_the_most_urgent_counts() -> None:
    of = [named(BENIGN, urgency) for urgency in Urgency]
    assert urgency_of(of, Verdict.ANSWER) is Urgency.EMERGENCY
    assert urgency_of(of[1:], Verdict.ANSWER) is Urgency.WEEKS
    assert urgency_of(of[2:], Verdict.CAUTION) is Urgency.ROUTINE
    assert urgency_of(of[3:], Verdict.ANSWER) is Urgency.SELF_CARE
    assert urgency_of([], Verdict.ANSWER) is None


@pytest.mark.parametrize("verdict", [None, Verdict.CANNOT_TELL])
def test_who_cannot_tell_calms_nobody(verdict: Verdict | None) -> None:
    for one in ALL:
        assert urgency_of([one], verdict) not in CALM
    assert urgency_of([named(BENIGN, Urgency.WEEKS)], verdict) is Urgency.WEEKS


def test_a_cancer_or_precancer_is_never_calm() -> None:
    """Actinic keratosis alone is a precancer for an ordinary appointment."""
    for kind, urgency in itertools.product((MALIGNANT, PRECANCER), [None, *Urgency]):
        raised = urgency_of([named(kind, urgency), named(BENIGN, Urgency.ROUTINE)], Verdict.ANSWER)
        assert raised in (Urgency.WEEKS, Urgency.EMERGENCY)


def test_what_is_not_known_does_not_calm() -> None:
    calm = named(BENIGN, Urgency.ROUTINE)
    assert urgency_of([calm], Verdict.ANSWER) is Urgency.ROUTINE
    assert urgency_of([calm, named(BENIGN, None)], Verdict.ANSWER) is None
    assert urgency_of([calm, named(None, Urgency.ROUTINE)], Verdict.ANSWER) is None
    assert urgency_of([named(BENIGN, None), named(BENIGN, Urgency.WEEKS)], None) is Urgency.WEEKS


@pytest.mark.parametrize("symptom", SYMPTOMS)
@pytest.mark.parametrize("urgency", [None, *Urgency])
def test_symptoms_only_raise(urgency: Urgency | None, symptom: str) -> None:
    before = Judgement(photos=(), probabilities={}, urgency=urgency, verdict=Verdict.ANSWER)
    after = with_symptoms(before, (symptom,))
    if symptom not in ALARMING:
        assert after == before
    elif urgency is Urgency.EMERGENCY:
        assert after.urgency is Urgency.EMERGENCY
    else:
        assert (after.urgency, after.alarming) == (Urgency.WEEKS, (symptom,))
    assert (after.verdict, after.urgent) == (before.verdict, before.urgent)


def test_alarming_symptoms_are_some_of_those_asked_for() -> None:
    assert set(ALARMING) < set(SYMPTOMS)
    of = with_symptoms(Judgement(photos=(), probabilities={}), ("growth", "itch", "bleeding"))
    assert of.alarming == ("bleeding", "growth")
