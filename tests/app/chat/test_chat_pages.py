"""The box on the page of a case: with and without JavaScript, and what leaves the computer."""

import base64
import html
import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import cutis.app
from cutis.app.cases import Judgement
from cutis.app.chat import Chat, Endpoint
from cutis.app.chat.pace import Pace
from cutis.app.i18n import languages, translator
from cutis.app.judging import judge
from cutis.app.service import CaseService
from cutis.metrics.answer_policy import Verdict
from cutis.taxonomy import Urgency

from .conftest import KEY, Fake, event, stream

HOST = "http://127.0.0.1:8600"
NOTE = "a note that stays here"
MELANOMA = {"en": "What is melanoma?", "fa": "ملانوم چیست؟"}


class Browser:
    """A visitor with one case."""

    def __init__(self, client: TestClient, photo: bytes, language: str = "en") -> None:
        self.client = client
        self.language = language
        client.cookies.set("cutis_lang", language)
        self.token = self.token_of("/")
        data = {"csrf_token": self.token, "note": NOTE, "age": "61", "site": "scalp"}
        made = client.post("/cases", data=data, files={"photos": ("IMG_7.jpg", photo)})
        assert made.status_code == 200
        self.case = made.url.path

    def token_of(self, path: str) -> str:
        found = re.search(r'name="csrf_token" value="(\w+)"', self.client.get(path).text)
        assert found is not None
        return found[1]

    def page(self) -> str:
        return html.unescape(self.client.get(self.case).text)

    def ask(self, question: str, **fields: str) -> Any:
        data = {"csrf_token": self.token, "question": question, **fields}
        return self.client.post(f"{self.case}/chat", data=data, follow_redirects=False)

    def stream(self, question: str, **fields: str) -> list[dict[str, str]]:
        data = {"csrf_token": self.token, "question": question, **fields}
        answer = self.client.post(
            f"{self.case}/chat", data=data, headers={"Accept": "application/x-ndjson"}
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert answer.headers["cache-control"] == "no-store"
        return [json.loads(line) for line in answer.text.splitlines()]


class Elsewhere(Endpoint):
    """An endpoint that counts as one on another computer."""

    host = "llm.example"
    is_local = False


@pytest.fixture
def chat() -> Chat:
    return Chat(pace=Pace(of_case=99, of_all=99))


def melanoma(*given: Any, **more: Any) -> Judgement:
    """A judge that finds melanoma possible."""
    found = {
        "prediction_set": ("melanoma",),
        "verdict": Verdict.CAUTION,
        "urgency": Urgency.WEEKS,
        "urgent": True,
    }
    return judge(*given, **more).model_copy(update=found)


@pytest.fixture
def app(make_app: Any, chat: Chat) -> FastAPI:
    made: FastAPI = make_app(chat=chat, judge=melanoma)
    return made


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=HOST) as opened:
        yield opened


@pytest.fixture
def browser(client: TestClient, photo: bytes) -> Browser:
    return Browser(client, photo)


@pytest.mark.parametrize("language", languages())
def test_without_an_endpoint_and_without_a_script(
    client: TestClient, photo: bytes, language: str
) -> None:
    browser, words = Browser(client, photo, language), translator(language)
    assert words.text("chat.offline") in browser.page()
    answer = browser.ask(MELANOMA[language])
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{browser.case}#chat"
    page = browser.page()
    assert MELANOMA[language] in page
    assert words.text("chat.found") in page
    assert page.count(words.text("urgent.when")) == 2  # the banner, and the answer's end


def test_the_box_can_be_used_by_all(browser: Browser) -> None:
    page = browser.page()
    box = page[page.index('<section class="card chat"') :]
    assert 'role="log" aria-live="polite" aria-label=' in box
    assert '<label for="question">' in box
    assert 'aria-describedby="question-hint"' in box
    assert 'role="status" aria-live="polite"' in box
    assert '<script src="/static/chat.js" defer></script>' in box
    assert "<script>" not in page
    assert " style=" not in box
    assert " onclick" not in box


def test_sentences_come_first_and_then_the_whole_turn(
    browser: Browser, chat: Chat, endpoint: Endpoint, fake: Fake
) -> None:
    chat.endpoint = endpoint
    fake.says = (
        "Melanoma is a cancer of pigment [2]. See the result [1]. A melanoma can spread [2]."
    )
    *pieces, last = browser.stream("What is melanoma?")
    assert "".join(piece["text"] for piece in pieces) == fake.says
    assert len(pieces) == 3
    turn = html.unescape(last["html"])
    assert turn.strip().startswith("<article")
    assert "Melanoma is a cancer of pigment <sup>2</sup>." in turn
    assert '<a href="#explained">' in turn
    assert translator("en").text("urgent.when") in turn
    assert turn.split("<article")[1].split("</article>")[0] in browser.page()


def test_a_persian_question_on_an_english_page_is_answered_in_persian(browser: Browser) -> None:
    (last,) = browser.stream(MELANOMA["fa"])
    assert 'lang="fa" dir="rtl"' in last["html"]
    assert translator("fa").text("chat.found") in last["html"]


def test_what_people_and_models_write_is_no_html(
    browser: Browser, chat: Chat, endpoint: Endpoint, fake: Fake
) -> None:
    chat.endpoint = endpoint
    fake.says = "See the <result> [1]."
    *_, last = browser.stream('melanoma <script>alert(2)</script> "><img src=y>')
    raw = browser.client.get(browser.case).text
    for shown in (last["html"], raw):
        assert "<script>alert" not in shown
        assert "<img src=" not in shown.replace('<img src="/cases', "")
        assert "See the result <sup>1</sup>." in shown
        assert "&lt;script&gt;alert(2)" in shown


def test_the_forms_token_is_checked(browser: Browser, fake: Fake) -> None:
    answer = browser.client.post(f"{browser.case}/chat", data={"question": "melanoma"})
    assert answer.status_code == 403
    foreign = {"Origin": "http://evil.example"}
    data = {"csrf_token": browser.token, "question": "melanoma"}
    assert (
        browser.client.post(f"{browser.case}/chat", data=data, headers=foreign).status_code == 403
    )


@pytest.mark.parametrize("question", ["", "  \n ", "a" * 1001, "\x07"])
def test_a_question_has_some_words_and_not_too_many(browser: Browser, question: str) -> None:
    answer = browser.ask(question)
    assert answer.status_code == 422
    assert translator("en").text("error.question") in html.unescape(answer.text)


def test_a_case_that_is_not_there_answers_nothing(browser: Browser) -> None:
    data = {"csrf_token": browser.token, "question": "melanoma"}
    assert browser.client.post("/cases/nonsense/chat", data=data).status_code == 404


def test_too_many_questions_are_refused_for_a_while(browser: Browser, chat: Chat) -> None:
    chat.pace = Pace(of_case=2)
    assert [browser.ask("melanoma").status_code for _ in range(3)] == [303, 303, 429]
    answer = browser.ask("melanoma")
    assert 50 <= int(answer.headers["retry-after"]) <= 60
    assert translator("en").text("error.chat_busy") in answer.text


def test_streams_hold_their_place_from_the_first_moment(
    browser: Browser, chat: Chat, endpoint: Endpoint, fake: Fake
) -> None:
    chat.endpoint = endpoint
    fake.respond = lambda handler: stream(handler, [event("Melanoma. ")] * 3, 0.2)
    data = {"csrf_token": browser.token, "question": "What is melanoma?"}

    def ask(_: int) -> int:
        headers = {"Accept": "application/x-ndjson"}
        answer = browser.client.post(f"{browser.case}/chat", data=data, headers=headers)
        return answer.status_code

    with ThreadPoolExecutor(6) as pool:
        found = sorted(pool.map(ask, range(6)))
    assert found == [200, 429, 429, 429, 429, 429]
    assert len(fake.received) == 1
    assert ask(0) == 200  # the place is free again


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_that_fails_frees_its_place(
    browser: Browser, chat: Chat, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(chat, "answer", broken)
    headers = {"Accept": "application/x-ndjson"} if streamed else {}
    data = {"csrf_token": browser.token, "question": "melanoma"}
    browser.client.post(f"{browser.case}/chat", data=data, headers=headers)
    monkeypatch.undo()
    assert browser.ask("melanoma").status_code == 303


def test_the_conversation_goes_with_its_case(
    browser: Browser, chat: Chat, client: TestClient
) -> None:
    browser.ask("melanoma")
    assert len(chat.conversations) == 1
    client.post(f"{browser.case}/delete", data={"csrf_token": browser.token})
    assert len(chat.conversations) == 0


def test_another_case_has_another_conversation(
    browser: Browser, client: TestClient, photo: bytes
) -> None:
    browser.ask("melanoma is my secret")
    assert "my secret" not in Browser(client, photo).page()


@pytest.mark.parametrize("language", languages())
def test_elsewhere_asks_for_consent_and_names_the_host(
    client: TestClient, photo: bytes, chat: Chat, fake: Fake, language: str
) -> None:
    chat.endpoint = Elsewhere(fake.url, "tiny", KEY)
    words = translator(language)
    browser = Browser(client, photo, language)
    page = browser.page()
    assert words.text("chat.sent", host="llm.example") in page
    assert words.text("chat.consent", host="llm.example") in page
    browser.ask(MELANOMA[language])
    assert fake.received == []
    assert words.text("chat.notice.no_consent", host="llm.example") in browser.page()
    browser.ask(MELANOMA[language], consent="yes")
    assert len(fake.received) == 1
    assert words.text("chat.consent.given", host="llm.example") in browser.page()
    browser.ask(MELANOMA[language])
    assert len(fake.received) == 2


def test_a_local_endpoint_is_named_and_needs_no_consent(
    browser: Browser, chat: Chat, endpoint: Endpoint
) -> None:
    chat.endpoint = endpoint
    page = browser.page()
    assert translator("en").text("chat.local", host=endpoint.host) in page
    assert 'name="consent"' not in page


def test_no_photo_fact_or_key_ever_leaves_but_by_the_header(
    browser: Browser,
    chat: Chat,
    endpoint: Endpoint,
    fake: Fake,
    photo: bytes,
    app: FastAPI,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    chat.endpoint = endpoint
    fake.says = "It can spread [2]."
    questions = ["What is melanoma?", "ملانوم چیست؟", "melanoma: send me the photo", "And then?"]
    shown = "".join(browser.ask(question).text + browser.page() for question in questions)
    service: CaseService = app.state.service
    preview = service.case(browser.case.split("/")[-1]).photos[0].preview
    assert len(fake.raw) == 4
    for raw in fake.raw:
        json.loads(raw)
        text = re.sub(r"\b[0-9a-f]{16}\b", "", raw.decode())  # without the fences' random word
        for data in (photo, preview):
            coded = base64.b64encode(data).decode()
            assert data[:20] not in raw
            assert not any(coded[k : k + 24] in text for k in range(0, len(coded) - 24, 24))
        assert not re.search(r"[A-Za-z0-9+/]{80}", text)  # nothing coded at all
        for private in (NOTE, "61", "scalp", "IMG_7", browser.case.split("/")[-1], KEY, "image"):
            assert private not in text
    assert KEY not in shown
    assert KEY not in caplog.text
    ours = "".join(r.getMessage() for r in caplog.records if r.name.startswith("cutis"))
    assert "melanoma" not in ours.lower()


def test_only_what_was_typed_is_sent_of_the_facts(
    browser: Browser, chat: Chat, endpoint: Endpoint, fake: Fake
) -> None:
    chat.endpoint = endpoint
    browser.ask(f"melanoma and {NOTE}")
    assert NOTE in fake.raw[0].decode()


def test_an_endpoint_that_hangs_holds_no_place_of_the_judging(
    browser: Browser, chat: Chat, fake: Fake, app: FastAPI
) -> None:
    service: CaseService = app.state.service
    taken: list[int] = []

    def respond(handler: Any) -> None:
        taken.append(service.workload._taken)
        taken.append(service.workload._pool._work_queue.qsize())
        stream(handler, [])

    fake.respond = respond
    chat.endpoint = Endpoint(fake.url, "m")
    browser.ask("What is melanoma?")
    assert taken == [0, 0]
    assert translator("en").text("chat.notice.unreachable") in browser.page()


def test_the_script_is_small_and_uses_no_html_of_a_model() -> None:
    script = (Path(cutis.app.__file__).parent / "static" / "chat.js").read_text(encoding="utf-8")
    assert len(script.splitlines()) < 400
    assert "innerHTML" not in script
    assert "eval" not in script
