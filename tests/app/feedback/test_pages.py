"""The pages of the doctor's loop: who may see them, and what they show and keep."""

import errno
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from cutis.app import feedback_pages
from cutis.app.accounts.accounts import Account, Role
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive
from cutis.app.feedback.opinions import Opinions
from cutis.app.i18n import languages, translator
from cutis.app.security import SESSION_COOKIE
from cutis.metrics.answer_policy import Verdict
from cutis.taxonomy import Urgency, diagnoses

from ..conftest import HOST, MakeApp, make_account
from .conftest import Say, save_case

EN = translator("en")
NAMES = {id: one.name["en"] for id, one in diagnoses().items()}
PAGES = ("/queue", "/queue/disagreeing", "/queue/answered", "/queue/mine", "/agreement")

LogIn = Callable[[Account | None], TestClient]


class Seen(HTMLParser):
    """A page's tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [a for name, a in self.tags if name == tag and wanted.items() <= a.items()]

    def fields(self) -> dict[str, str]:
        """The hidden fields of the page's forms."""
        hidden = self.all("input", type="hidden")
        return {str(field["name"]): str(field["value"]) for field in hidden}


@pytest.fixture
def app(archive: Archive, make_app: MakeApp) -> FastAPI:
    return make_app(archive=archive)


@pytest.fixture
def log_in(archive: Archive, app: FastAPI) -> Iterator[LogIn]:
    """Opens the app as an account, or as a visitor."""
    with TestClient(app, base_url=HOST):

        def open_as(account: Account | None) -> TestClient:
            client = TestClient(app, base_url=HOST, follow_redirects=False)
            if account is not None:
                client.cookies.set(SESSION_COOKIE, Sessions(archive.database).open(account))
            return client

        yield open_as


@pytest.fixture
def admin(archive: Archive) -> Account:
    return make_account(archive, "root", Role.ADMIN)


def answer(client: TestClient, case: str, page: str = "", **fields: str) -> "object":
    """Sends the opinion's form of a page."""
    hidden = Seen(client.get(f"/saved/{case}{page}").text).fields()
    given = {"confirmed_by": "clinical", "comment": "", **hidden, **fields}
    return client.post(f"/saved/{case}/opinion", data=given)


# Who may


def test_visitors_are_asked_to_log_in_and_reporters_refused(
    archive: Archive, reporter: Account, log_in: LogIn
) -> None:
    case = save_case(archive, reporter)
    visitor, own = log_in(None), log_in(reporter)
    for page in (*PAGES, f"/saved/{case}/blind"):
        asked = visitor.get(page)
        assert (asked.status_code, asked.headers["location"][:11]) == (303, "/login?next")
        assert own.get(page).status_code == 403
    for path in (f"/saved/{case}/opinion", "/queue/blind", "/feedback"):
        assert visitor.post(path).status_code == 303
        assert own.post(path).status_code == 403
    assert Opinions(archive.database).of_case(case) == ()


def test_only_admins_hand_over(
    archive: Archive, reporter: Account, ada: Account, admin: Account, log_in: LogIn, say: Say
) -> None:
    say(save_case(archive, reporter), ada, "melanoma")
    clinician = log_in(ada)
    assert "/feedback" not in clinician.get("/agreement").text
    token = Seen(clinician.get("/queue").text).fields()
    assert clinician.post("/feedback", data=token).status_code == 403
    client = log_in(admin)
    seen, before = Seen(client.get("/agreement").text), {*map(str, archive.folder.iterdir())}
    assert seen.all("form", action="/feedback")
    handed = client.post("/feedback", data=seen.fields())
    assert handed.status_code == 200
    assert re.fullmatch(
        r'attachment; filename="cutis-feedback-\d{4}-\d\d-\d\d\.zip"',
        handed.headers["content-disposition"],
    )
    with zipfile.ZipFile(io.BytesIO(handed.content)) as packed:
        assert json.loads(packed.read("feedback.json"))["counts"]["cases"] == 1
    assert {*map(str, archive.folder.iterdir())} == before


def test_forms_need_their_token(
    archive: Archive, reporter: Account, admin: Account, log_in: LogIn
) -> None:
    case, client = save_case(archive, reporter), log_in(admin)
    given = {"diagnosis": "melanoma", "confirmed_by": "clinical", "version": "1"}
    assert client.post(f"/saved/{case}/opinion", data=given).status_code == 403
    assert client.post("/feedback", data={"a": "b"}).status_code == 403
    assert client.post("/queue/blind", data={"blind": "1"}).status_code == 403
    assert Opinions(archive.database).of_case(case) == ()


def test_an_app_without_an_archive_has_none_of_it(client: TestClient) -> None:
    for page in PAGES:
        assert client.get(page).status_code == 404


# Pages


@pytest.mark.parametrize("language", languages())
def test_pages_are_whole_in_both_languages(
    archive: Archive, reporter: Account, admin: Account, ada: Account, log_in: LogIn, say: Say,
    language: str,
) -> None:  # fmt: skip
    words, client = translator(language), log_in(admin)
    client.headers["Accept-Language"] = language
    case = save_case(archive, reporter, urgency=Urgency.WEEKS)
    disputed = save_case(archive, reporter, verdict=Verdict.CANNOT_TELL)
    say(disputed, ada, "psoriasis", "consensus", "a word")
    say(disputed, admin, "melanoma")
    for page in (*PAGES, f"/saved/{case}", f"/saved/{case}/blind", f"/saved/{disputed}"):
        shown = client.get(page)
        seen = Seen(shown.text)
        assert shown.status_code == 200, page
        assert seen.all("html", lang=language, dir=words.direction)
        assert len(seen.all("h1")) == 1
        ids = [a["id"] for _, a in seen.tags if "id" in a]
        assert len(ids) == len(set(ids)), page
        for _, attributes in seen.tags:
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
        labels = {label["for"] for label in seen.all("label") if "for" in label}
        for tag in ("select", "textarea"):
            assert {field["id"] for field in seen.all(tag)} <= labels
    figures = unescape(client.get("/agreement").text)
    assert words.text("agreement.selected") in figures
    assert words.percent(0.95) in figures


def test_the_list_holds_every_diagnosis_once_the_models_first(
    archive: Archive, reporter: Account, ada: Account, log_in: LogIn
) -> None:
    case = save_case(archive, reporter, "melanocytic_nevus")
    client = log_in(ada)
    values = [
        option["value"]
        for option in Seen(client.get(f"/saved/{case}").text).all("option")
        if option["value"] in diagnoses()
    ]
    assert sorted(map(str, values)) == sorted(diagnoses())
    assert values[0] == "melanocytic_nevus"
    blind = Seen(client.get(f"/saved/{case}/blind").text).all("option")
    named = [option["value"] for option in blind if option["value"] in diagnoses()][:3]
    # by name, so that their order says nothing
    assert named == ["dermatofibroma", "melanocytic_nevus", "melanoma"]


def test_the_agreement_page_takes_views_that_there_are(ada: Account, log_in: LogIn) -> None:
    client = log_in(ada)
    assert client.get("/agreement?view=ham7").status_code == 200
    assert client.get("/agreement?view=none").status_code == 422


def test_the_queue_leads_to_its_cases(
    archive: Archive, reporter: Account, ada: Account, log_in: LogIn, say: Say
) -> None:
    case = save_case(archive, reporter, urgency=Urgency.EMERGENCY)
    client = log_in(ada)
    page = client.get("/queue").text
    assert Seen(page).all("a", href=f"/saved/{case}#opinion")
    assert EN.text("queue.model", answer="Melanoma") in page
    assert EN.text("urgency.emergency") in page
    assert client.get(f"/saved/{case}/photos/1.jpg").status_code == 200
    say(case, ada, "lentigo")
    assert case not in client.get("/queue").text
    assert EN.text("queue.own", diagnosis=NAMES["lentigo"]) in client.get("/queue/mine").text


# Opinions


def test_one_press_confirms(
    archive: Archive, reporter: Account, ada: Account, log_in: LogIn
) -> None:
    case, client = save_case(archive, reporter), log_in(ada)
    (button,) = Seen(client.get(f"/saved/{case}").text).all("button", name="confirm")
    kept = answer(client, case, confirm=str(button["value"]), diagnosis="")
    assert (kept.status_code, kept.headers["location"]) == (303, f"/saved/{case}#opinion")
    (found,) = Opinions(archive.database).of_case(case)
    assert (found.answer.diagnosis, found.answer.confirmed_by) == ("melanoma", "clinical")
    assert found.answer.comment is None
    assert not found.blind


def test_another_diagnosis_with_confirmation_and_comment(
    archive: Archive, reporter: Account, ada: Account, log_in: LogIn
) -> None:
    case, client = save_case(archive, reporter), log_in(ada)
    said = "<b>bold</b>\r\nline"
    assert answer(
        client, case, diagnosis="psoriasis", confirmed_by="histology", comment=said
    ).status_code == 303  # fmt: skip
    (found,) = Opinions(archive.database).of_case(case)
    assert found.answer.comment == "<b>bold</b>\nline"
    page = client.get(f"/saved/{case}").text
    assert "&lt;b&gt;bold&lt;/b&gt;\nline" in page
    assert EN.text("opinion.settled", diagnosis=NAMES["psoriasis"]) in page
    assert Seen(page).all("option", value="psoriasis")[0].get("selected", "") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"diagnosis": ""},
        {"diagnosis": "nothing"},
        {"diagnosis": "melanoma", "confirmed_by": "hearsay"},
        {"diagnosis": "melanoma", "comment": "x" * 2001},
        {"diagnosis": "melanoma", "version": "one"},
        {"diagnosis": "melanoma", "version": "9" * 30},
    ],
)
def test_what_cannot_be_kept_is_refused(
    archive: Archive, reporter: Account, ada: Account, log_in: LogIn, fields: dict[str, str]
) -> None:
    case, client = save_case(archive, reporter), log_in(ada)
    assert answer(client, case, **fields).status_code == 422
    assert Opinions(archive.database).of_case(case) == ()


def test_others_are_hidden_until_the_own_answer(
    archive: Archive, reporter: Account, ada: Account, ben: Account, log_in: LogIn, say: Say
) -> None:
    case = save_case(archive, reporter)
    say(case, ada, "psoriasis", comment="hidden words")
    client = log_in(ben)
    page = client.get(f"/saved/{case}").text
    assert "hidden words" not in page
    assert EN.text("opinion.settled", diagnosis=NAMES["psoriasis"]) not in page
    assert EN.text("opinion.hidden", count=1) in page
    queue = client.get("/queue/answered").text
    assert case in queue
    assert NAMES["psoriasis"] not in queue
    assert answer(client, case, diagnosis="melanoma").status_code == 303
    page = client.get(f"/saved/{case}").text
    assert "hidden words" in page
    assert EN.text("opinion.disagreeing") in page


def test_the_reporter_sees_what_is_settled_and_no_form(
    archive: Archive, reporter: Account, ada: Account, ben: Account, log_in: LogIn, say: Say
) -> None:
    case, client = save_case(archive, reporter), log_in(reporter)
    assert "opinion-title" not in client.get(f"/saved/{case}").text
    say(case, ada, "psoriasis", comment="for colleagues")
    page = client.get(f"/saved/{case}").text
    assert EN.text("opinion.settled", diagnosis=NAMES["psoriasis"]) in page
    assert "for colleagues" not in page
    assert not Seen(page).all("form", action=f"/saved/{case}/opinion")
    say(case, ben, "melanoma")
    assert EN.text("opinion.disagreeing") in client.get(f"/saved/{case}").text


def test_a_blind_answer_comes_before_the_model(
    archive: Archive, reporter: Account, ada: Account, log_in: LogIn
) -> None:
    case, client = save_case(archive, reporter, urgency=Urgency.WEEKS), log_in(ada)
    token = Seen(client.get("/queue").text).fields()
    assert client.post("/queue/blind", data=token).status_code == 303
    queue = client.get("/queue").text
    assert Seen(queue).all("a", href=f"/saved/{case}/blind")
    for shown in (EN.text("queue.model", answer="Melanoma"), EN.text("urgency.weeks")):
        assert shown not in queue
    page = client.get(f"/saved/{case}/blind").text
    assert not Seen(page).all("button", name="confirm")
    assert "70%" not in page
    assert answer(client, case, "/blind", diagnosis="lentigo").status_code == 303
    (found,) = Opinions(archive.database).of_case(case)
    assert found.blind
    # with an answer of one's own there is nothing left to be blind to
    again = client.get(f"/saved/{case}/blind")
    assert (again.status_code, again.headers["location"]) == (303, f"/saved/{case}#opinion")
    assert Seen(client.get("/queue/mine").text).all("a", href=f"/saved/{case}#opinion")
    client.post("/queue/blind", data={**Seen(client.get("/queue").text).fields(), "blind": ""})
    assert EN.text("queue.blind.off") in client.get("/queue").text


def test_of_two_at_once_the_second_sees_the_first_and_sends_again(
    archive: Archive, reporter: Account, ada: Account, ben: Account, log_in: LogIn
) -> None:
    case, clients = save_case(archive, reporter), [log_in(ada), log_in(ben)]
    said = ("lentigo", "psoriasis")
    forms = []
    for client, diagnosis, comment in zip(clients, said, ("of ada", "of <ben>"), strict=True):
        hidden = Seen(client.get(f"/saved/{case}").text).fields()
        forms.append({**hidden, "diagnosis": diagnosis, "confirmed_by": "consensus"})
        forms[-1]["comment"] = comment

    def send(number: int) -> int:
        sent = clients[number].post(f"/saved/{case}/opinion", data=forms[number])
        if sent.status_code == 409:
            late.append((number, sent.text))
        return sent.status_code

    late: list[tuple[int, str]] = []
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send, (0, 1))) == [303, 409]
    ((number, page),) = late
    other = said[1 - number]
    assert NAMES[other] in page
    assert ("of &lt;ben&gt;" if number == 1 else "of ada") in page  # what was typed
    seen = Seen(page)
    chosen = [option["value"] for option in seen.all("option") if "selected" in option]
    assert chosen == [said[number], "consensus"]
    again = {**forms[number], **seen.fields()}
    sent = clients[number].post(f"/saved/{case}/opinion", data=again)
    assert sent.status_code == 303
    first, second = Opinions(archive.database).of_case(case)
    assert (first.independent, second.independent) == (True, False)
    assert second.answer.diagnosis == said[number]


def test_a_late_blind_answer_stays_blind_to_the_model(
    archive: Archive, reporter: Account, ada: Account, ben: Account, log_in: LogIn, say: Say
) -> None:
    case, client = save_case(archive, reporter), log_in(ben)
    hidden = Seen(client.get(f"/saved/{case}/blind").text).fields()
    say(case, ada, "lentigo")
    given = {**hidden, "diagnosis": "psoriasis", "confirmed_by": "clinical"}
    late = client.post(f"/saved/{case}/opinion", data=given)
    assert late.status_code == 409
    assert client.post(f"/saved/{case}/opinion", data={**given, **Seen(late.text).fields()})
    found = Opinions(archive.database).of_case(case)[1]
    assert (found.blind, found.independent) == (True, False)


def test_a_full_disk_is_told(
    archive: Archive, reporter: Account, admin: Account, log_in: LogIn, say: Say,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    say(save_case(archive, reporter), admin, "melanoma")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    client = log_in(admin)
    token = Seen(client.get("/agreement").text).fields()
    monkeypatch.setattr(feedback_pages, "write_zip", full)
    assert client.post("/feedback", data=token).status_code == 507


def test_cases_that_are_not_there(ada: Account, log_in: LogIn) -> None:
    client = log_in(ada)
    assert client.get("/saved/none/blind").status_code == 404
    token = Seen(client.get("/queue").text).fields()
    given = {**token, "version": "1", "diagnosis": "melanoma", "confirmed_by": "clinical"}
    assert client.post("/saved/none/opinion", data=given).status_code == 404
