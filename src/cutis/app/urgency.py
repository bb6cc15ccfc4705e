"""How soon a doctor should see a spot: by its possible diagnoses, and by what a person reports."""

from collections.abc import Collection, Sequence

from cutis.app.cases import Judgement
from cutis.metrics.answer_policy import Verdict
from cutis.runtime.bundle import BundleDiagnosis
from cutis.taxonomy import Malignancy, Urgency

ALARMING = ("bleeding", "growth", "colour_change")
"""Symptoms (of SYMPTOMS) for which a spot should be seen soon, whatever its photos look like.

Change is the strongest of the signs that people notice themselves (E of ABCDE, Abbasi 2004, JAMA
292:2771; "change" and "bleeding" of the seven-point checklist, MacKie 1990).
"""
_GRAVE = (Malignancy.MALIGNANT, Malignancy.PRECANCER)
_CALM = (Urgency.ROUTINE, Urgency.SELF_CARE)
_ORDER = tuple(Urgency)


def is_grave(diagnosis: BundleDiagnosis) -> bool:
    """Whether a diagnosis is a cancer or a precancer."""
    return diagnosis.malignancy in _GRAVE


def urgency_of(possible: Sequence[BundleDiagnosis], verdict: Verdict | None) -> Urgency | None:
    """The most urgent of the possible diagnoses; None where that is not settled.

    A cancer or precancer is never less than `weeks`. A calm urgency needs an answer: a model that
    cannot tell, or was never taught to say so (`verdict` None), must not calm anybody, and neither
    must a possible diagnosis that is not known to be benign or whose urgency is not known.
    """
    urgencies = {one.urgency for one in possible if one.urgency is not None}
    if any(is_grave(one) for one in possible):
        urgencies.add(Urgency.WEEKS)
    most = next((urgency for urgency in _ORDER if urgency in urgencies), None)
    if most not in _CALM:
        return most
    known = all(one.urgency is not None and one.malignancy is not None for one in possible)
    return most if known and verdict not in (None, Verdict.CANNOT_TELL) else None


def with_symptoms(judgement: Judgement, symptoms: Collection[str]) -> Judgement:
    """The judgement with the alarming ones of the symptoms; with any it is at least `weeks`.

    The model's answer stays as it is: it does not know the symptoms.
    """
    alarming = tuple(symptom for symptom in ALARMING if symptom in symptoms)
    if not alarming:
        return judgement
    raised = judgement.urgency
    if raised is None or raised in _CALM:
        raised = Urgency.WEEKS
    return judgement.model_copy(update={"urgency": raised, "alarming": alarming})
