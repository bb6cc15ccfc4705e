"""Whether a case is one for self-care, and which products may then be shown.

One refusal is enough, and what is not known counts as a refusal. Each rule is one line of `offer`
or of `fitting`, with a test that fails without it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from cutis.app.cases import CaseFacts, Judgement
from cutis.app.drug_store.product import Product
from cutis.app.urgency import ALARMING
from cutis.metrics.answer_policy import Verdict
from cutis.runtime.bundle import BundleDiagnosis
from cutis.taxonomy import Diagnosis, Malignancy, Urgency, diagnoses

DELICATE = ("eyelid", "genital")
"""Sites where products for other skin may harm."""
YOUNGEST = 2
"""Years; younger children are for a doctor."""


class Reason(StrEnum):
    """Why no product is shown; `drug_store.refused.VALUE` says it, `….do` what to do."""

    DOCTOR = "doctor"
    URGENT = "urgent"
    MALIGNANT = "malignant"
    ALARM = "alarm"
    NO_POLICY = "no_policy"
    CANNOT_TELL = "cannot_tell"
    NOT_BENIGN = "not_benign"
    NOT_SELF_CARE = "not_self_care"
    TOO_YOUNG = "too_young"
    DELICATE = "delicate"


@dataclass(frozen=True)
class Refusal:
    """No product may be shown."""

    reason: Reason


@dataclass(frozen=True)
class Offer:
    """Products may be shown that suit every possible diagnosis."""

    diagnoses: tuple[str, ...]  # ids, most probable first


def offer(
    judgement: Judgement,
    facts: CaseFacts,
    described: Iterable[BundleDiagnosis],
    said: Collection[str] = (),
) -> Offer | Refusal:
    """Whether products may be shown for a case.

    Possible is what stands in the set of the case or of any readable photo alone, and what a doctor
    has said.

    Args:
        described: the bundle's diagnoses; a bundle and the taxonomy must both call a diagnosis
            benign and one for self-care.
        said: the diagnoses of a saved case by the latest opinion of each doctor. One that is not
            for self-care refuses, whatever the others say.
    """
    possible = _possible(judgement)
    bundle = {diagnosis.id: diagnosis for diagnosis in described}
    known = diagnoses()

    def every(holds: Callable[[BundleDiagnosis | Diagnosis], bool], of: _Described) -> bool:
        return all(id in of and holds(of[id]) for id in possible)

    refused = (
        (Reason.DOCTOR, not all(_harmless(known.get(id)) for id in said)),
        (Reason.URGENT, judgement.urgent),
        (Reason.MALIGNANT, judgement.malignant_possible),
        (Reason.ALARM, not set(ALARMING).isdisjoint(facts.symptoms)),
        (Reason.NO_POLICY, judgement.verdict is None),
        (Reason.CANNOT_TELL, judgement.verdict is Verdict.CANNOT_TELL),
        (Reason.CANNOT_TELL, not judgement.prediction_set),
        (Reason.NOT_BENIGN, not every(_is_benign, bundle)),
        (Reason.NOT_BENIGN, not every(_is_benign, known)),
        (Reason.NOT_SELF_CARE, not every(_is_for_self_care, bundle)),
        (Reason.NOT_SELF_CARE, not every(_is_for_self_care, known)),
        (Reason.NOT_SELF_CARE, judgement.urgency is not Urgency.SELF_CARE),
        (Reason.TOO_YOUNG, facts.age is not None and facts.age < YOUNGEST),
        (Reason.DELICATE, facts.site in DELICATE),
    )
    reason = next((reason for reason, holds in refused if holds), None)
    return Refusal(reason) if reason else Offer(tuple(dict.fromkeys((*possible, *said))))


def fitting(offered: Offer, products: Iterable[Product]) -> tuple[Product, ...]:
    """The products that may be shown.

    A product must suit every possible diagnosis: what helps against one may harm in another.
    """
    return tuple(
        product
        for product in products
        if product.over_the_counter and set(offered.diagnoses) <= set(product.diagnoses)
    )


def self_care_diagnoses(product: Product) -> tuple[str, ...]:
    """Those of a product's diagnoses for which it may be shown at all."""
    known = diagnoses()
    return tuple(
        id for id in product.diagnoses if product.over_the_counter and _harmless(known[id])
    )


_Described = Mapping[str, BundleDiagnosis] | Mapping[str, Diagnosis]


def _possible(judgement: Judgement) -> tuple[str, ...]:
    readable = (photo.prediction_set for photo in judgement.photos if photo.error is None)
    return tuple(dict.fromkeys(chain(judgement.prediction_set, *readable)))


def _harmless(diagnosis: Diagnosis | None) -> bool:
    return diagnosis is not None and _is_benign(diagnosis) and _is_for_self_care(diagnosis)


def _is_benign(diagnosis: BundleDiagnosis | Diagnosis) -> bool:
    return diagnosis.malignancy is Malignancy.BENIGN


def _is_for_self_care(diagnosis: BundleDiagnosis | Diagnosis) -> bool:
    return diagnosis.urgency is Urgency.SELF_CARE
