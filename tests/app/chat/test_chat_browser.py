"""The box in Chromium: with the script and without, by keyboard, on a narrow screen."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cutis.app.chat import Chat, Endpoint
from cutis.app.chat.pace import Pace
from cutis.app.i18n import languages, translator
from cutis.app.judging import judge
from cutis.metrics.answer_policy import Verdict
from cutis.taxonomy import Urgency

from ..conftest import MakeApp, encoded, running
from .conftest import DONE, Fake, event, stream

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system")

PHONE, DESK = (360, 640), (1280, 900)
ANSWERS = {
    "en": "Melanoma is a cancer of pigment [2]. A melanoma can spread [2].",
    "fa": "ملانوم سرطان سلول‌های رنگدانهٔ پوست است [2]. احتمال دارد پخش شود [2].",
}
QUESTIONS = {"en": "What is melanoma?", "fa": "ملانوم چیست؟"}


def melanoma(*given: Any, **more: Any) -> Any:
    found = {
        "prediction_set": ("melanoma",),
        "verdict": Verdict.CAUTION,
        "urgency": Urgency.WEEKS,
        "urgent": True,
    }
    return judge(*given, **more).model_copy(update=found)


@pytest.fixture(scope="module")
def browser() -> Iterator["api.Browser"]:
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def chat(endpoint: Endpoint) -> Chat:
    return Chat(endpoint, pace=Pace(of_case=99))


@pytest.fixture
def address(make_app: MakeApp, chat: Chat) -> Iterator[str]:
    with running(make_app(chat=chat, judge=melanoma)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def case_of(
    browser: "api.Browser",
    address: str,
    tmp_path: Path,
    language: str = "en",
    size: tuple[int, int] = DESK,
    **options: object,
) -> Iterator["api.Page"]:
    """The page of a case, on which no script fails and nothing breaks the security policy."""
    errors: list[str] = []
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(base_url=address, locale=language, viewport=viewport, **options)
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Security" in said.text else None)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encoded(height=240, width=320))
    page.goto("/")
    page.set_input_files("#photos", [str(photo)])
    page.click("form.case button[type=submit]")
    page.wait_for_url("**/cases/*")
    yield page
    context.close()
    assert errors == []


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("size", [PHONE, DESK])
def test_an_answer_comes_in_its_place(
    browser: "api.Browser",
    address: str,
    tmp_path: Path,
    fake: Fake,
    language: str,
    size: tuple[int, int],
) -> None:
    fake.says = ANSWERS[language]
    with case_of(browser, address, tmp_path, language, size) as page:
        at = page.url
        page.focus("#question")
        page.keyboard.type(QUESTIONS[language])
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-log] .turn")
        turn = page.inner_text("[data-log] .turn")
        assert QUESTIONS[language] in turn
        assert translator(language).text("urgent.when") in turn
        assert page.url == at
        api.expect(page.locator("#question")).to_have_value("")
        api.expect(page.locator("#question")).to_be_focused()
        api.expect(page.locator("[data-log]")).to_have_attribute("aria-busy", "false")
        api.expect(page.locator("[data-preview]")).to_be_hidden()
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        page.reload()
        assert page.locator("[data-log] .turn").count() == 1


def test_sentences_are_seen_while_the_answer_is_written(
    browser: "api.Browser", address: str, tmp_path: Path, fake: Fake
) -> None:
    seen = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield event("Melanoma can spread [2]. ")
        yield event("A melanoma is a cancer of pigment cells [2]. ")
        yield event("A melanoma is a cancer of pigment cells [2]. ")
        seen.wait(60)
        yield event("", "stop")
        yield DONE

    fake.respond = lambda handler: stream(handler, pieces())
    with case_of(browser, address, tmp_path) as page:
        page.fill("#question", QUESTIONS["en"])
        page.click("[data-chat-form] button")
        page.wait_for_selector("[data-preview]:not([hidden])")
        assert page.locator("[data-log] .turn").count() == 0
        assert page.get_attribute("[data-log]", "aria-busy") == "true"
        assert page.inner_text("[data-chat-status]") == translator("en").text("chat.working")
        seen.set()
        page.wait_for_selector("[data-log] .turn")


def test_an_answer_that_breaks_a_rule_does_not_stay(
    browser: "api.Browser", address: str, tmp_path: Path, fake: Fake
) -> None:
    pieces = [
        event("A melanoma is a cancer of pigment cells [2]. It "),
        event("can spread. Take 5 mg. "),
        event("", "stop"),
        DONE,
    ]
    fake.respond = lambda handler: stream(handler, pieces, 0.2)
    with case_of(browser, address, tmp_path) as page:
        page.fill("#question", QUESTIONS["en"])
        page.click("[data-chat-form] button")
        page.wait_for_selector("[data-log] .turn")
        shown = page.inner_text("section.chat")
        assert "5 mg" not in shown
        assert "of pigment cells [2]" not in shown
        assert translator("en").text("chat.notice.refused") in shown


def test_too_many_questions_are_said_in_the_box(
    browser: "api.Browser", address: str, tmp_path: Path, chat: Chat
) -> None:
    chat.pace = Pace(of_case=1)
    with case_of(browser, address, tmp_path) as page:
        for _ in range(2):
            page.fill("#question", QUESTIONS["en"])
            page.click("[data-chat-form] button")
            page.wait_for_selector("[data-chat-form] button:not([disabled])")
        page.wait_for_selector("[data-chat-problem]:not([hidden])")
        assert translator("en").text("error.chat_busy") in page.inner_text("[data-chat-problem]")
        assert page.input_value("#question") == QUESTIONS["en"]  # nothing typed is lost


@pytest.mark.parametrize("language", languages())
def test_without_a_script_the_page_comes_with_the_answer(
    browser: "api.Browser", address: str, tmp_path: Path, fake: Fake, language: str
) -> None:
    fake.says = ANSWERS[language]
    with case_of(browser, address, tmp_path, language, java_script_enabled=False) as page:
        page.fill("#question", QUESTIONS[language])
        page.click("[data-chat-form] button")
        page.wait_for_url("**/cases/*#chat")
        turn = page.inner_text("[data-log] .turn")
        assert QUESTIONS[language] in turn
        assert translator(language).text("chat.by_model") in turn


def test_whoever_leaves_ends_the_endpoints_work(
    browser: "api.Browser", address: str, tmp_path: Path, fake: Fake, chat: Chat
) -> None:
    pieces = [
        event("A melanoma is a cancer of pigment cells [2]. "),
        *[event("A melanoma is a cancer of pigment cells [2]. ")] * 400,
    ]
    fake.respond = lambda handler: stream(handler, pieces, 0.05)
    with case_of(browser, address, tmp_path) as page:
        page.fill("#question", QUESTIONS["en"])
        page.click("[data-chat-form] button")
        page.wait_for_selector("[data-preview]:not([hidden])")
        page.goto("/help")
        assert fake.left.wait(20)
    until = time.monotonic() + 20
    while chat.pace._running and time.monotonic() < until:
        time.sleep(0.01)
    assert chat.pace._running == set()
