"""Each rule alone: everything else about the case allows products."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis.app.cases import SITES, SYMPTOMS, CaseFacts, Judgement
from cutis.app.drug_store.product import Product
from cutis.app.drug_store.rules import (
    YOUNGEST,
    Offer,
    Reason,
    Refusal,
    fitting,
    offer,
    self_care_diagnoses,
)
from cutis.metrics.answer_policy import Verdict
from cutis.runtime import PhotoAnswer
from cutis.runtime.bundle import BundleDiagnosis
from cutis.taxonomy import Malignancy, Urgency, diagnoses

BENIGN, SELF_CARE = Malignancy.BENIGN, Urgency.SELF_CARE


def described(**graded: tuple[Malignancy | None, Urgency | None]) -> tuple[BundleDiagnosis, ...]:
    return tuple(
        BundleDiagnosis(id=id, name={"en": id}, malignancy=malignancy, urgency=urgency)
        for id, (malignancy, urgency) in graded.items()
    )


CALM = (BENIGN, SELF_CARE)
BUNDLE = described(wart=CALM, skin_tag=CALM, psoriasis=CALM, melanoma=CALM, normal_skin=CALM)


def answer(*possible: str, **changes: Any) -> PhotoAnswer:
    return PhotoAnswer(probabilities={}, prediction_set=possible, **changes)


def case(*possible: str, **changes: Any) -> Judgement:
    given: dict[str, Any] = {
        "photos": (answer(*possible),),
        "probabilities": {},
        "prediction_set": possible,
        "verdict": Verdict.ANSWER,
        "urgency": SELF_CARE,
    }
    return Judgement(**{**given, **changes})


def refused(judgement: Judgement, bundle: Any = BUNDLE, **facts: Any) -> Reason:
    said = offer(judgement, CaseFacts(**facts), bundle)
    assert isinstance(said, Refusal)
    return said.reason


def test_a_sure_answer_of_self_care_is_offered_products() -> None:
    assert offer(case("wart"), CaseFacts(), BUNDLE) == Offer(("wart",))
    facts = CaseFacts(age=YOUNGEST, symptoms=("itch", "pain", "new", "long_standing"))
    assert offer(case("wart", "skin_tag"), facts, BUNDLE) == Offer(("wart", "skin_tag"))
    caution = case("wart", "skin_tag", verdict=Verdict.CAUTION)
    assert offer(caution, CaseFacts(), BUNDLE) == Offer(("wart", "skin_tag"))


def test_no_product_where_the_case_is_urgent() -> None:
    assert refused(case("wart", urgent=True)) is Reason.URGENT


@pytest.mark.parametrize("said", ["melanoma", "psoriasis", "actinic_keratosis", "of another"])
def test_no_product_where_a_doctor_has_said_more_than_self_care(said: str) -> None:
    answer = offer(case("wart"), CaseFacts(), BUNDLE, ["wart", said])
    assert answer == Refusal(Reason.DOCTOR)


def test_a_product_must_suit_what_doctors_have_said_too() -> None:
    said = offer(case("wart"), CaseFacts(), BUNDLE, ["skin_tag", "wart"])
    assert said == Offer(("wart", "skin_tag"))
    # A diagnosis that the bundle does not know, too.
    assert offer(case("wart"), CaseFacts(), BUNDLE, ["sunburn"]) == Offer(("wart", "sunburn"))


def test_no_product_where_malignant_is_possible() -> None:
    assert refused(case("wart", malignant_possible=True)) is Reason.MALIGNANT


@pytest.mark.parametrize("symptom", ["bleeding", "growth", "colour_change"])
def test_no_product_with_a_symptom_of_alarm(symptom: str) -> None:
    assert refused(case("wart"), symptoms=("itch", symptom)) is Reason.ALARM


def test_no_product_without_a_policy() -> None:
    assert refused(case("wart", verdict=None)) is Reason.NO_POLICY


def test_no_product_where_the_model_cannot_tell() -> None:
    assert refused(case("wart", verdict=Verdict.CANNOT_TELL)) is Reason.CANNOT_TELL


def test_no_product_where_nothing_is_possible() -> None:
    assert refused(case(photos=(answer("wart"),))) is Reason.CANNOT_TELL
    assert refused(case()) is Reason.CANNOT_TELL


@pytest.mark.parametrize("grade", [Malignancy.PRECANCER, Malignancy.MALIGNANT, None])
def test_no_product_where_the_bundle_does_not_call_it_benign(grade: Malignancy | None) -> None:
    bundle = described(wart=(grade, SELF_CARE), skin_tag=CALM)
    assert refused(case("skin_tag", "wart"), bundle) is Reason.NOT_BENIGN


def test_no_product_for_what_the_bundle_does_not_know() -> None:
    assert refused(case("wart"), described(skin_tag=CALM)) is Reason.NOT_BENIGN


@pytest.mark.parametrize("id", ["melanoma", "normal_skin"])
def test_no_product_where_the_taxonomy_does_not_call_it_benign(id: str) -> None:
    assert refused(case("wart", id)) is Reason.NOT_BENIGN


def test_no_product_for_what_the_taxonomy_does_not_know() -> None:
    bundle = described(wart=CALM, my_own_spot=CALM)
    assert refused(case("wart", "my_own_spot"), bundle) is Reason.NOT_BENIGN


@pytest.mark.parametrize("urgency", [None, *(one for one in Urgency if one is not SELF_CARE)])
def test_no_product_where_the_bundle_does_not_leave_it_to_self_care(
    urgency: Urgency | None,
) -> None:
    bundle = described(wart=(BENIGN, urgency), skin_tag=CALM)
    assert refused(case("skin_tag", "wart"), bundle) is Reason.NOT_SELF_CARE


def test_no_product_where_the_taxonomy_does_not_leave_it_to_self_care() -> None:
    assert diagnoses()["psoriasis"].malignancy is BENIGN
    assert refused(case("wart", "psoriasis")) is Reason.NOT_SELF_CARE


@pytest.mark.parametrize("urgency", [None, *(one for one in Urgency if one is not SELF_CARE)])
def test_no_product_where_the_case_is_not_left_to_self_care(urgency: Urgency | None) -> None:
    assert refused(case("wart", urgency=urgency)) is Reason.NOT_SELF_CARE


@pytest.mark.parametrize("age", range(YOUNGEST))
def test_no_product_for_the_youngest(age: int) -> None:
    assert refused(case("wart"), age=age) is Reason.TOO_YOUNG


@pytest.mark.parametrize("site", ["eyelid", "genital"])
def test_no_product_for_delicate_skin(site: str) -> None:
    assert refused(case("wart"), site=site) is Reason.DELICATE
    assert offer(case("wart"), CaseFacts(site="hand"), BUNDLE) == Offer(("wart",))


@pytest.mark.parametrize("id", ["melanoma", "psoriasis"])
def test_no_product_where_one_photo_alone_makes_more_possible(id: str) -> None:
    photos = (answer("wart"), answer("wart", id, verdict=Verdict.CANNOT_TELL))
    assert refused(case("wart", photos=photos)) in (Reason.NOT_BENIGN, Reason.NOT_SELF_CARE)


def test_an_unreadable_photo_says_nothing() -> None:
    photos = (answer("wart"), answer("melanoma", error="it is damaged"))
    assert offer(case("wart", photos=photos), CaseFacts(), BUNDLE) == Offer(("wart",))


def product(*suits: str, **changes: Any) -> Product:
    both = {"en": "Plaster", "fa": "چسب"}
    given: dict[str, Any] = {
        "id": "p",
        "name": both,
        "form": "bandage",
        "over_the_counter": True,
        "diagnoses": suits,
        "contraindications": both,
    }
    return Product(**{**given, **changes})


def test_no_product_that_needs_a_prescription() -> None:
    free, prescribed = product("wart"), product("wart", over_the_counter=False)
    assert fitting(Offer(("wart",)), [prescribed, free]) == (free,)
    assert self_care_diagnoses(prescribed) == ()


def test_no_product_that_does_not_suit_every_possible_diagnosis() -> None:
    both, one = product("skin_tag", "wart"), product("wart")
    assert fitting(Offer(("wart", "skin_tag")), [one, both]) == (both,)
    assert fitting(Offer(("wart",)), [one, both]) == (one, both)


def test_a_product_is_listed_for_its_self_care_diagnoses_alone() -> None:
    wide = product("psoriasis", "wart", "melanoma", "normal_skin")
    assert self_care_diagnoses(wide) == ("wart",)


IDS = ("wart", "skin_tag", "psoriasis", "melanoma", "actinic_keratosis", "normal_skin", "unknown")
FEW = st.lists(st.sampled_from(IDS[:2]), unique=True, min_size=1, max_size=2).map(tuple)
SETS = st.lists(st.sampled_from(IDS), unique=True, max_size=3).map(tuple)
GRADES = st.tuples(st.sampled_from([None, *Malignancy]), st.sampled_from([None, *Urgency]))
PHOTO = st.tuples(SETS, st.sampled_from([None, "damaged"]))
STRATEGIES: dict[str, tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]] = {
    # What allows products, and anything.
    "possible": (FEW, SETS),
    "photos": (st.lists(st.tuples(FEW, st.none()), max_size=2), st.lists(PHOTO, max_size=2)),
    "verdict": (
        st.sampled_from([Verdict.ANSWER, Verdict.CAUTION]),
        st.sampled_from([None, *Verdict]),
    ),
    "malignant_possible": (st.just(False), st.booleans()),
    "urgent": (st.just(False), st.booleans()),
    "urgency": (st.just(SELF_CARE), st.sampled_from([None, *Urgency])),
    "symptoms": (st.just(()), st.lists(st.sampled_from(SYMPTOMS), unique=True).map(tuple)),
    "age": (st.none(), st.integers(0, 5)),
    "site": (st.none(), st.sampled_from(SITES)),
    "graded": (
        st.just(dict.fromkeys(IDS[:6], CALM)),
        st.fixed_dictionaries(dict.fromkeys(IDS[:6], GRADES)),
    ),
}
STOCK = tuple(product(*IDS[:6], id=f"p{n}", over_the_counter=n > 0) for n in range(2))


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A case that allows products but for up to three of its features, which are random."""
    wild = draw(st.sets(st.sampled_from(sorted(STRATEGIES)), max_size=3))
    return {name: draw(pair[name in wild]) for name, pair in STRATEGIES.items()}


def shown(made: dict[str, Any]) -> tuple[Product, ...]:
    judgement = case(
        *made["possible"],
        photos=tuple(answer(*possible, error=error) for possible, error in made["photos"]),
        **{name: made[name] for name in ("verdict", "malignant_possible", "urgent", "urgency")},
    )
    facts = CaseFacts(age=made["age"], symptoms=made["symptoms"], site=made["site"])
    said = offer(judgement, facts, described(**made["graded"]))
    return fitting(said, STOCK) if isinstance(said, Offer) else ()


@settings(max_examples=500, deadline=None)
@given(cases())
def test_no_product_is_ever_shown_for_more_than_self_care(made: dict[str, Any]) -> None:
    if not shown(made):
        return
    readable = [possible for possible, error in made["photos"] if error is None]
    assert made["possible"]
    for id in {id for possible in (made["possible"], *readable) for id in possible}:
        known = diagnoses()[id]
        assert (known.malignancy, known.urgency) == made["graded"][id] == CALM
    assert made["verdict"] in (Verdict.ANSWER, Verdict.CAUTION)
    assert not made["urgent"]
    assert not made["malignant_possible"]
    assert made["urgency"] is SELF_CARE
    assert not {"bleeding", "growth", "colour_change"} & set(made["symptoms"])
    assert made["age"] is None or made["age"] >= YOUNGEST
    assert made["site"] not in ("eyelid", "genital")
    assert all(one.over_the_counter for one in shown(made))


def test_the_random_cases_are_shown_products_and_refused_them() -> None:
    found: list[bool] = []

    @settings(max_examples=200, deadline=None, database=None)
    @given(cases())
    def count(made: dict[str, Any]) -> None:
        found.append(bool(shown(made)))

    count()
    assert 20 < sum(found) < len(found) - 20
