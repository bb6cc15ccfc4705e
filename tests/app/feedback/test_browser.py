"""The opinion's form in Chromium: with the search box of the script, and without a script."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cutis.app.accounts.accounts import Account
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive
from cutis.app.feedback.opinions import Opinions
from cutis.app.security import SESSION_COOKIE

from ..conftest import MakeApp, running
from .conftest import save_case

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system")

VISIBLE = "(list) => [...list.querySelectorAll('optgroup option')].map((one) => one.value)"
TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator["api.Browser"]:
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """On SQLite alone: what the browser shows does not depend on the database."""
    opened = Archive.open(tmp_path / "archive")
    yield opened
    opened.close()


@contextmanager
def page_of(
    browser: "api.Browser", archive: Archive, account: Account, make_app: MakeApp, **options: object
) -> Iterator["api.Page"]:
    """A page of the app with the account logged in; a phone's screen."""
    with running(make_app(archive=archive)) as port:
        address = f"http://127.0.0.1:{port}"
        context = browser.new_context(
            base_url=address, viewport={"width": 360, "height": 640}, **options
        )
        token = Sessions(archive.database).open(account)
        context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": address}])
        page, problems = context.new_page(), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: said.type == "error" and problems.append(said.text))
        yield page
        context.close()
        assert problems == []


@pytest.mark.parametrize(
    ("language", "typed", "found"),
    [
        ("en", "Spitz", "spitz_reed_nevus"),  # a part of a name
        ("en", "pyogenic", "pyogenic_granuloma"),
        ("fa", "ملانوم", "melanoma"),
        ("fa", "پسوريازيس", "psoriasis"),  # typed with Arabic ye
    ],
)
def test_the_search_box_shortens_the_list(
    browser: "api.Browser", archive: Archive, reporter: Account, ada: Account, make_app: MakeApp,
    language: str, typed: str, found: str,
) -> None:  # fmt: skip
    case = save_case(archive, reporter)
    with page_of(browser, archive, ada, make_app, locale=language) as page:
        page.goto(f"/saved/{case}")
        choices = page.locator("#opinion-diagnosis")
        all_of = choices.evaluate(VISIBLE)
        search = page.get_by_role("searchbox")
        search.fill(typed)
        shown = choices.evaluate(VISIBLE)
        assert found in shown
        assert len(shown) < 15 < len(all_of)
        search.press("Enter")  # must not send the form, whose first button confirms
        assert page.url.endswith(f"/saved/{case}")
        choices.select_option(found)
        search.fill("")
        assert sorted(choices.evaluate(VISIBLE)) == sorted(all_of)
        assert choices.input_value() == found
        assert not page.evaluate(TOO_WIDE)
    assert Opinions(archive.database).of_case(case) == ()


@pytest.mark.parametrize("script", [True, False])
def test_from_the_queue_to_an_answer(
    browser: "api.Browser", archive: Archive, reporter: Account, ada: Account, make_app: MakeApp,
    script: bool,
) -> None:  # fmt: skip
    case = save_case(archive, reporter)
    with page_of(browser, archive, ada, make_app, java_script_enabled=script) as page:
        page.goto("/queue")
        page.get_by_role("link", name="Answer", exact=True).click()
        page.locator("#opinion-diagnosis").select_option(label="Psoriasis")
        page.get_by_label("How it was confirmed").select_option("histology")
        page.get_by_label("Comment").fill("words")
        page.get_by_role("button", name="Save my answer").click()
        api.expect(page.get_by_text("Settled diagnosis: Psoriasis")).to_be_visible()
        page.goto("/queue/mine")
        api.expect(page.get_by_text("Your answer: Psoriasis")).to_be_visible()
    (kept,) = Opinions(archive.database).of_case(case)
    assert (kept.answer.diagnosis, kept.answer.confirmed_by) == ("psoriasis", "histology")


def test_one_press_confirms(
    browser: "api.Browser", archive: Archive, reporter: Account, ada: Account, make_app: MakeApp
) -> None:
    case = save_case(archive, reporter)
    with page_of(browser, archive, ada, make_app) as page:
        page.goto(f"/saved/{case}")
        page.get_by_role("button", name="Confirm: Melanoma").click()
        api.expect(page.get_by_text("Settled diagnosis: Melanoma")).to_be_visible()
    assert len(Opinions(archive.database).of_case(case)) == 1
