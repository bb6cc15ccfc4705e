"""The drug store on the pages: beside a result, and on its own."""

import copy
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cutis.app.accounts.accounts import Account, Accounts, Role
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive
from cutis.app.cases import Case, CaseFacts, Judgement, Photo
from cutis.app.drug_store.catalogue import Catalogue
from cutis.app.drug_store.product import Form, Product
from cutis.app.drug_store.provider import DrugStore, StoreError
from cutis.app.drug_store.rules import Reason
from cutis.app.drug_store.shelf import MOST_SHOWN
from cutis.app.drug_store_pages import PAGE_SIZE
from cutis.app.feedback.opinions import Answer, Opinions
from cutis.app.i18n import languages, translator
from cutis.app.security import SESSION_COOKIE
from cutis.app.server import create_app
from cutis.app.settings import Settings
from cutis.metrics.answer_policy import Verdict
from cutis.runtime import PhotoAnswer, Predictor
from cutis.runtime.bundle import BundleDiagnosis
from cutis.taxonomy import Urgency, diagnosis

from .conftest import HOST

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "drug-store.csv"
KNOWN = ("wart", "sunburn", "melanoma")
REL = {"noopener", "noreferrer", "nofollow"}


class Anchors(HTMLParser):
    """Links with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs))

    def outside(self) -> list[dict[str, str | None]]:
        return [one for one in self.found if str(one["href"]).startswith("http")]


class Store:
    """A store that keeps what it is asked."""

    host: str | None = "pharmacy.example"
    listing: tuple[Product, ...] = ()

    def __init__(self, *products: Product, silent: bool = False) -> None:
        self.asked: list[tuple[str, str]] = []
        self._products, self._silent = products, silent

    async def products(self, diagnosis: str, language: str) -> tuple[Product, ...]:
        self.asked.append((diagnosis, language))
        if self._silent:
            raise StoreError
        return self._products


@pytest.fixture
def calm(predictor: Predictor) -> Predictor:
    """The model of the tests, whose diagnoses are two for self-care and a melanoma."""
    described = tuple(
        BundleDiagnosis(
            id=id,
            name=dict(diagnosis(id).name),
            malignancy=diagnosis(id).malignancy,
            urgency=diagnosis(id).urgency,
        )
        for id in KNOWN
    )
    changed = copy.copy(predictor)
    changed.info = predictor.info.model_copy(update={"diagnoses": described})
    changed.model_info = predictor.model_info.model_copy(update={"diagnoses": KNOWN})
    return changed


class Opened:
    """The app with a store, and cases in it that nobody had to photograph."""

    def __init__(self, predictor: Predictor, store: DrugStore | None) -> None:
        self.app = create_app(predictor, None, Settings(workers=1), drug_store=store)
        self.client = TestClient(self.app, base_url=HOST)

    def result(
        self, *possible: str, language: str = "en", facts: Any = None, **changes: Any
    ) -> str:
        shares = dict.fromkeys(KNOWN, 1 / 3)
        answer = PhotoAnswer(probabilities=shares, prediction_set=possible)
        given = {
            "photos": (answer,),
            "probabilities": shares,
            "prediction_set": possible,
            "verdict": Verdict.ANSWER,
            "urgency": Urgency.SELF_CARE,
        }
        judgement = Judgement(**{**given, **changes})
        case = Case((Photo(b"", 8, 8),), CaseFacts(**(facts or {})), judgement)
        self.app.state.service.store.add(case)
        shown = self.client.get(f"/cases/{case.id}?lang={language}")
        assert shown.status_code == 200
        return shown.text


Open = Callable[[DrugStore | None], Opened]


@pytest.fixture
def opened(calm: Predictor) -> Open:
    return lambda store: Opened(calm, store)


def product(id: str = "p", **changes: Any) -> Product:
    given: dict[str, Any] = {
        "id": id,
        "name": {"en": f"Plaster {id}", "fa": f"چسب {id}"},
        "form": Form.BANDAGE,
        "over_the_counter": True,
        "diagnoses": ("wart",),
        "contraindications": {"en": "Infected skin", "fa": "پوست عفونی"},
        "link": f"https://shop.example/{id}",
    }
    return Product(**{**given, **changes})


@pytest.mark.parametrize("language", languages())
def test_products_stand_with_their_contraindications_and_the_notice(
    opened: Open, language: str
) -> None:
    words = translator(language)
    page = opened(Catalogue.read(EXAMPLE)).result("wart", language=language)
    assert words.text("drug_store.notice") in page
    store = Catalogue.read(EXAMPLE)
    for one in store.listing:
        suits = "wart" in one.diagnoses
        assert (words.pick(one.name) in page) == suits
        assert (words.pick(one.contraindications) in page) == suits
    assert words.text("drug_store.local") in page
    assert words.text("drug_store.refused") not in page


def test_a_link_says_where_it_leads_and_tells_nobody_where_from(opened: Open) -> None:
    page = opened(Store(product())).result("wart")
    (link,) = [one for one in Anchors(page).outside() if one["href"] == "https://shop.example/p"]
    assert set(str(link["rel"]).split()) == REL
    assert link["target"] == "_blank"
    assert "Look at it at shop.example" in page
    assert "The products come from pharmacy.example" in page


def test_texts_of_a_store_are_escaped(opened: Open) -> None:
    evil = product(name={"en": "<script>alert(1)</script>", "fa": "x"})
    page = opened(Store(evil)).result("wart")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_only_diagnosis_and_language_are_asked_for(opened: Open) -> None:
    store = Store(product())
    opened(store).result("wart", language="fa", facts={"age": 30, "note": "private"})
    assert store.asked == [("wart", "fa")]


def test_what_a_store_gives_is_held_against_the_rules(opened: Open) -> None:
    given = product("rx", over_the_counter=False), product("other", diagnoses=("sunburn",))
    page = opened(Store(*given, product("good"))).result("wart")
    assert "Plaster good" in page
    assert "Plaster rx" not in page
    assert "Plaster other" not in page


def test_with_several_possible_a_product_must_suit_all(opened: Open) -> None:
    both = product("both", diagnoses=("sunburn", "wart"))
    page = opened(Store(product("one"), both)).result("wart", "sunburn")
    assert "Plaster both" in page
    assert "Plaster one" not in page
    assert translator("en").text("drug_store.for_all") in page


REFUSED: tuple[tuple[Reason, tuple[str, ...], dict[str, Any], dict[str, Any]], ...] = (
    (Reason.URGENT, ("wart", "melanoma"), {"urgent": True, "malignant_possible": True}, {}),
    (Reason.MALIGNANT, ("wart",), {"malignant_possible": True}, {}),
    (Reason.ALARM, ("wart",), {}, {"symptoms": ("bleeding",)}),
    (Reason.NO_POLICY, ("wart",), {"verdict": None}, {}),
    (Reason.CANNOT_TELL, ("wart",), {"verdict": Verdict.CANNOT_TELL}, {}),
    (Reason.NOT_BENIGN, ("wart", "melanoma"), {}, {}),
    (Reason.NOT_SELF_CARE, ("wart",), {"urgency": Urgency.ROUTINE}, {}),
    (Reason.TOO_YOUNG, ("wart",), {}, {"age": 1}),
    (Reason.DELICATE, ("wart",), {}, {"site": "genital"}),
)


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize(("reason", "possible", "judged", "facts"), REFUSED)
def test_a_refusal_says_why_and_what_to_do_and_asks_nobody(
    opened: Open,
    language: str,
    reason: Reason,
    possible: tuple[str, ...],
    judged: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    store, words = Store(product()), translator(language)
    page = opened(store).result(*possible, language=language, facts=facts, **judged)
    assert words.text(f"drug_store.refused.{reason}") in page
    assert words.text(f"drug_store.refused.{reason}.do") in page
    assert store.asked == []
    assert "shop.example" not in page


def test_every_reason_is_tried() -> None:
    assert {one[0] for one in REFUSED} | {Reason.DOCTOR} == set(Reason)


class Saved:
    """The app with a store and an archive, and a case of a wart saved in it."""

    def __init__(self, predictor: Predictor, store: DrugStore, archive: Archive) -> None:
        self.app = create_app(
            predictor, None, Settings(workers=1), drug_store=store, archive=archive
        )
        self._archive, self._accounts = archive, Accounts(archive.database)
        self.owner = self.account("owner", Role.REPORTER)
        shares = dict.fromkeys(KNOWN, 1 / 3)
        judgement = Judgement(
            photos=(PhotoAnswer(probabilities=shares, prediction_set=("wart",)),),
            probabilities=shares,
            prediction_set=("wart",),
            verdict=Verdict.ANSWER,
            urgency=Urgency.SELF_CARE,
        )
        case = Case((Photo(b"x", 8, 8),), CaseFacts(), judgement)
        self.id = case.id
        archive.save(
            case, self.owner, patient=None, may_train=False, bundle="earlier", language="en"
        )

    def account(self, name: str, role: Role = Role.CLINICIAN) -> Account:
        return self._accounts.create(name, "correct horse battery", role)

    def says(self, account: Account, diagnosis: str) -> None:
        saved = self._archive.case(self.id)
        assert saved is not None
        answer = Answer(diagnosis, "clinical")
        given = Opinions(self._archive.database).give(self.id, saved.version, account, answer)
        assert given

    def page(self, account: Account, language: str = "en") -> str:
        client = TestClient(self.app, base_url=HOST)
        client.cookies.set(SESSION_COOKIE, Sessions(self._archive.database).open(account))
        shown = client.get(f"/saved/{self.id}?lang={language}")
        assert shown.status_code == 200
        return shown.text


def test_no_product_where_a_doctor_has_recorded_more_than_self_care(
    calm: Predictor, archive: Archive
) -> None:
    store = Store(product("one"), product("both", diagnoses=("wart", "sunburn")))
    saved = Saved(calm, store, archive)
    words = {language: translator(language) for language in languages()}
    assert "Plaster one" in saved.page(saved.owner)
    ada, ben = saved.account("ada"), saved.account("ben")
    saved.says(ada, "wart")
    saved.says(ben, "melanoma")
    asked = len(store.asked)
    for language, t in words.items():
        for reader in (saved.owner, ada, ben):
            page = saved.page(reader, language)
            assert t.text("drug_store.refused.doctor") in page
            assert t.text("drug_store.refused.doctor.do") in page
            assert "Plaster" not in page
    assert len(store.asked) == asked
    # Who has not answered yet does not learn from it what others have said.
    assert "drug-store" not in saved.page(saved.account("eve"))
    # A corrected opinion counts no longer, and what it says now must be suited too.
    saved.says(ben, "sunburn")
    page = saved.page(saved.owner)
    assert "Plaster both" in page
    assert "Plaster one" not in page


def test_a_refusal_leads_to_no_product(opened: Open) -> None:
    refused = opened(Store()).result("wart", facts={"age": 1})
    assert translator("en").text("drug_store.refused") in refused
    assert 'href="/drug-store"' not in refused
    assert 'href="/drug-store"' in opened(Store()).result("wart")


@pytest.mark.parametrize("language", languages())
def test_the_page_goes_on_without_a_silent_store(opened: Open, language: str) -> None:
    words = translator(language)
    page = opened(Store(silent=True)).result("wart", language=language)
    assert words.text("drug_store.unreachable") in page
    assert words.text("result.facts") in page


def test_a_store_without_a_product_says_so(opened: Open) -> None:
    assert "The drug store has no product for that" in opened(Store()).result("wart")


def test_no_more_products_than_fit_beside_a_result(opened: Open) -> None:
    many = [product(f"n{n}") for n in range(MOST_SHOWN + 3)]
    page = opened(Store(*many)).result("wart")
    assert f"Plaster n{MOST_SHOWN - 1}" in page
    assert f"Plaster n{MOST_SHOWN}" not in page
    assert "3 further products suit" in page


def test_without_a_store_nothing_is_said_of_one(opened: Open) -> None:
    plain = opened(None)
    assert "drug-store" not in plain.result("wart")
    assert plain.client.get("/drug-store").status_code == 404


@pytest.mark.parametrize("language", languages())
def test_the_page_of_the_store_lists_rules_and_what_may_be_shown(
    opened: Open, language: str
) -> None:
    words = translator(language)
    answer = opened(Catalogue.read(EXAMPLE)).client.get(f"/drug-store?lang={language}")
    assert answer.status_code == 200
    for rule in ("over_the_counter", "benign", "sure", "all", "alarm", "delicate"):
        assert words.text(f"drug_store.rules.{rule}") in answer.text
    assert words.text("drug_store.notice") in answer.text
    for one in Catalogue.read(EXAMPLE).listing:
        assert (words.pick(one.name) in answer.text) == one.over_the_counter
        assert (words.pick(one.contraindications) in answer.text) == one.over_the_counter
    for link in Anchors(answer.text).outside():
        assert set(str(link["rel"]).split()) == REL


def test_the_page_of_a_web_store_says_who_is_asked(opened: Open) -> None:
    page = opened(Store()).client.get("/drug-store").text
    assert "The products come from pharmacy.example. It is asked when" in page


def test_a_long_list_has_pages(opened: Open) -> None:
    store = Catalogue(tuple(product(f"n{n}x") for n in range(PAGE_SIZE + 1)))
    client = opened(store).client
    first, second = (client.get(f"/drug-store?page={n}").text for n in (1, 2))
    assert "Plaster n0x" in first
    assert f"Plaster n{PAGE_SIZE}x" not in first
    assert f"Plaster n{PAGE_SIZE}x" in second
    assert "Page 2 of 2" in second
    assert [client.get(f"/drug-store?page={n}").status_code for n in (0, 3)] == [404, 404]
    assert client.get("/drug-store?page=x").status_code == 422


@pytest.mark.parametrize("language", languages())
def test_every_form_has_its_word(language: str) -> None:
    words = translator(language)
    assert len({words.term("drug_store.form", form) for form in Form}) == len(Form)


@pytest.mark.parametrize("language", languages())
def test_a_diagnosis_leads_to_pages_of_others(opened: Open, language: str) -> None:
    page = opened(None).result("wart", "melanoma", language=language)
    found = {str(link["href"]): link for link in Anchors(page).outside()}
    expected = [link for id in ("wart", "melanoma") for link in diagnosis(id).links]
    assert set(found) == {link.url for link in expected}
    for link in expected:
        assert set(str(found[link.url]["rel"]).split()) == {"noopener", "noreferrer"}
        assert found[link.url]["target"] == "_blank"
        assert str(found[link.url]["href"]).split("/")[2] in page.replace("href=", "")
        assert translator(language).pick(link.title) in page
    assert "prefetch" not in page
    assert "preconnect" not in page
