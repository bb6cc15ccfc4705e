"""The pages in Chromium: forms with the script and without, layers, languages, narrow screens."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cutis.app.i18n import languages, translator

from .conftest import MakeApp, encoded, running

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system")

PHONE, DESK = (360, 640), (1280, 900)
LOADED = "(layer) => document.querySelector(`[data-layer=${layer}]`).naturalWidth === 320"
TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"
TRANSFER = """(text) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], "moved.jpg", {type: "image/jpeg"}));
  return transfer;
}"""
PASTE = """(transfer) => document.body.dispatchEvent(
  new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}))"""


@pytest.fixture(scope="module")
def browser() -> Iterator["api.Browser"]:
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def drawn(tmp_path: Path) -> list[str]:
    """Four photos as files."""
    paths = [tmp_path / f"{seed}.jpg" for seed in range(4)]
    for seed, path in enumerate(paths):
        path.write_bytes(encoded(height=240, width=320, seed=seed))
    return [str(path) for path in paths]


@pytest.fixture
def address(make_app: MakeApp) -> Iterator[str]:
    with running(make_app()) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def page_of(
    browser: "api.Browser",
    address: str,
    language: str = "en",
    size: tuple[int, int] = DESK,
    **options: object,
) -> Iterator["api.Page"]:
    """A page on which no script fails and nothing breaks the content security policy."""
    errors: list[str] = []
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(
        base_url=address, locale=language, viewport=viewport, has_touch=size == PHONE, **options
    )
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda said: errors.append(said.text) if "Content Security" in said.text else None,
    )
    yield page
    context.close()
    assert errors == []


def judge(page: "api.Page") -> None:
    page.click("form.case button[type=submit]")
    page.wait_for_url("**/cases/*")


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("size", [PHONE, DESK])
def test_a_case_in_every_language_and_size(
    browser: "api.Browser", address: str, drawn: list[str], language: str, size: tuple[int, int]
) -> None:
    words = translator(language)
    with page_of(browser, address, language, size) as page:
        for place in ("/about", "/help", "/"):
            page.goto(place)
            assert page.get_attribute("html", "dir") == words.direction
            assert not page.evaluate(TOO_WIDE)
        page.set_input_files("#photos", drawn[:2])
        page.wait_for_selector("[data-previews] li:nth-child(2) img")
        page.fill("#age", words.number(45))
        judge(page)
        assert not page.evaluate(TOO_WIDE)
        assert words.text("unit.years", count=45) in page.inner_text("main")
        notice = page.locator(".always")
        box = notice.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= size[1] + 1  # in view before anybody scrolls
        assert page.locator(".stack img:not(.layer)").count() == 2


def test_layers_and_measures_come_when_asked_for(
    browser: "api.Browser", address: str, drawn: list[str]
) -> None:
    asked: list[str] = []
    with page_of(browser, address) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/")
        page.set_input_files("#photos", drawn[0])
        judge(page)
        page.wait_for_load_state("networkidle")
        assert not [url for url in asked if "heat" in url or "outline" in url or "measures" in url]
        page.check("[value=outline]")
        page.wait_for_function(LOADED, arg="outline")
        assert page.is_visible("[data-about=outline]")
        page.check("[value=heat-1]")
        page.wait_for_function(LOADED, arg="heat-1")
        assert page.is_hidden("[data-layer=outline]")
        page.fill("#strength-1", "40")
        assert page.locator("[data-layer=heat-1]").evaluate("(e) => e.style.opacity") == "0.4"
        page.click("[data-measures] summary")
        page.wait_for_selector("[data-measures] dl.measures")
        assert len([url for url in asked if "heat" in url]) == 1


def test_photos_are_dropped_pasted_and_removed(
    browser: "api.Browser", address: str, drawn: list[str]
) -> None:
    words = translator("en")
    with page_of(browser, address) as page:
        page.goto("/")
        page.set_input_files("#photos", drawn[0])
        status = page.locator("[data-photo-status]")
        api.expect(status).to_have_text(words.text("script.added", count=1))
        page.evaluate(PASTE, page.evaluate_handle(TRANSFER, "one"))
        api.expect(status).to_have_text(words.text("script.added", count=2))
        moved = {"dataTransfer": page.evaluate_handle(TRANSFER, "two")}
        page.dispatch_event("[data-drop]", "drop", moved)
        api.expect(status).to_have_text(words.text("script.added", count=3))
        page.set_input_files("#photos", drawn[1])
        api.expect(status).to_contain_text(words.text("script.too_many"))
        page.click("[data-previews] li:nth-child(2) button")
        api.expect(status).to_have_text(words.text("script.removed", number=2))
        assert page.evaluate("document.getElementById('photos').files.length") == 2
        api.expect(page.locator("[data-previews] li p").first).not_to_have_text(
            words.text("hint.checking")
        )
        page.click("button[type=reset]")
        api.expect(status).to_have_text(words.text("script.none"))


@pytest.mark.parametrize("language", languages())
def test_an_error_keeps_the_form(
    browser: "api.Browser", address: str, tmp_path: Path, language: str
) -> None:
    words = translator(language)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(encoded()[:400])
    with page_of(browser, address, language) as page:
        page.goto("/")
        page.fill("#note", "kept")
        page.click("form.case button[type=submit]")
        problem = page.locator("form.case [data-problem]")
        api.expect(problem).to_contain_text(words.text("error.no_photo"))
        api.expect(problem).to_be_focused()
        page.set_input_files("#photos", str(broken))
        page.click("form.case button[type=submit]")
        api.expect(problem).to_contain_text(words.text("error.damaged"))
        assert page.input_value("#note") == "kept"
        assert page.is_enabled("form.case button[type=submit]")


def test_a_server_that_is_gone_is_said(browser: "api.Browser", address: str) -> None:
    with page_of(browser, address) as page:
        page.goto("/")
        page.route("**/cases", lambda route: route.abort())
        page.click("form.case button[type=submit]")
        problem = page.locator("form.case [data-problem]")
        api.expect(problem).to_contain_text(translator("en").text("script.offline"))


def test_the_language_switch_keeps_the_case(
    browser: "api.Browser", address: str, drawn: list[str]
) -> None:
    with page_of(browser, address) as page:
        page.goto("/")
        page.set_input_files("#photos", drawn[0])
        judge(page)
        case = page.url
        page.click(".languages a[lang=fa]")
        page.wait_for_url(f"{case}?lang=fa")
        assert translator("fa").text("result.title") in page.inner_text("h1")
        page.goto(case)
        assert page.get_attribute("html", "dir") == "rtl"
        assert "Vazirmatn" in page.evaluate("getComputedStyle(document.body).fontFamily")
        assert page.evaluate("document.fonts.check('16px Vazirmatn', 'ن')")


def test_all_of_it_works_without_a_script(
    browser: "api.Browser", address: str, drawn: list[str]
) -> None:
    words = translator("en")
    with page_of(browser, address, java_script_enabled=False) as page:
        page.goto("/")
        page.set_input_files("#photos", drawn[0])
        page.set_input_files("#photos-camera", drawn[1])
        judge(page)
        assert page.locator(".shot").count() == 2
        page.check("[name=layer-1][value=outline]")
        api.expect(page.locator("[data-layer=outline]").first).to_be_visible()
        page.click("details.add summary")
        page.set_input_files("#photos", drawn[2])
        page.click("details.add button[type=submit]")
        api.expect(page.locator(".shot")).to_have_count(3)
        page.click("[data-measures] summary >> nth=0")
        page.click("[data-measures] a >> nth=0")
        api.expect(page.locator("main")).to_contain_text(words.text("notice.measures"))
        page.click("main a.button")
        page.click(".delete summary")
        page.click(".delete button")
        api.expect(page.locator("[role=status]").first).to_have_text(words.text("case.deleted"))


def test_the_keyboard_reaches_the_form_first_by_the_skip_link(
    browser: "api.Browser", address: str
) -> None:
    with page_of(browser, address) as page:
        page.goto("/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "photos"


def test_every_field_has_a_name(browser: "api.Browser", address: str, drawn: list[str]) -> None:
    unnamed = """() => [...document.querySelectorAll("input, select, textarea, button, a, img")]
      .filter((e) => e.type !== "hidden" && !e.labels?.length && !e.textContent.trim()
        && !e.alt && !e.getAttribute("aria-label")).map((e) => e.outerHTML)"""
    with page_of(browser, address) as page:
        page.goto("/")
        assert page.evaluate(unnamed) == []
        page.set_input_files("#photos", drawn[0])
        judge(page)
        assert page.evaluate(unnamed) == []


def test_the_print_shows_the_result_and_leaves_the_controls_out(
    browser: "api.Browser", address: str, drawn: list[str]
) -> None:
    with page_of(browser, address) as page:
        page.goto("/")
        page.set_input_files("#photos", drawn[0])
        judge(page)
        assert page.is_visible("[data-print]")
        page.emulate_media(media="print")
        for hidden in (".layers", ".actions", ".languages", ".add"):
            assert page.is_hidden(hidden)
        for shown in (".verdict", ".urgency", ".always", ".stack img", ".print-only"):
            assert page.locator(shown).first.is_visible()
