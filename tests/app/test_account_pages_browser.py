"""Accounts in Chromium: from the first address to a second person's own password."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutis.app.archive.archive import Archive
from cutis.app.i18n import languages, translator

from .conftest import MakeApp, running

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system")

GOOD, OTHER = "correct horse battery", "another horse battery"
PHONE, DESK = (360, 640), (1280, 900)
TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"


class Person:
    """Somebody at a page, who reads its labels in one language."""

    def __init__(self, page: "api.Page", language: str) -> None:
        self.page = page
        self.t = translator(language)

    def fill(self, **values: str) -> None:
        """Writes into the fields with the labels of these keys."""
        for key, value in values.items():
            label = self.t.text(key.replace("_", "."))
            self.page.get_by_label(label, exact=True).fill(value)

    def press(self, key: str) -> None:
        """Presses a button, after a look at whether the page fits the screen."""
        assert not self.page.evaluate(TOO_WIDE), self.page.url
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=self.t.text(key), exact=True).click()

    def sees(self, key: str) -> bool:
        return self.t.text(key) in self.page.inner_text("main")


@pytest.fixture(scope="module")
def chromium() -> Iterator["api.Browser"]:
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Archive]:
    opened = Archive.open(tmp_path / "archive")
    yield opened
    opened.close()


@pytest.fixture(params=[(DESK, True), (PHONE, False)], ids=["desk", "phone without scripts"])
def options(request: pytest.FixtureRequest) -> dict[str, object]:
    (width, height), scripts = request.param
    return {"viewport": {"width": width, "height": height}, "java_script_enabled": scripts}


@pytest.mark.parametrize("language", languages())
def test_from_the_first_address_to_an_own_password(
    chromium: "api.Browser",
    make_app: MakeApp,
    kept: Archive,
    language: str,
    options: dict[str, object],
) -> None:
    app = make_app(archive=kept)
    with running(app) as port:
        context = chromium.new_context(
            base_url=f"http://127.0.0.1:{port}", locale=language, **options
        )
        page = context.new_page()
        somebody = Person(page, language)
        page.goto(app.state.people.setup.path)
        somebody.fill(login_name="Ada", account_new=GOOD, account_again=OTHER)
        somebody.press("setup.submit")
        assert somebody.sees("error.password_twice")
        somebody.fill(account_new=GOOD, account_again=GOOD)
        somebody.press("setup.submit")
        somebody.fill(accounts_name="cleo")
        page.locator("#role").select_option("clinician")
        somebody.press("accounts.add")
        secret = page.locator(".secret").inner_text()
        somebody.press("page.logout")
        assert somebody.sees("login.ended")

        page.goto("/queue")
        somebody.fill(login_name="Cleo", login_password="wrong")
        somebody.press("login.submit")
        assert somebody.sees("error.login_wrong")
        somebody.fill(login_password=secret)
        somebody.press("login.submit")
        assert somebody.sees("account.due")
        somebody.fill(account_old=secret, account_new=OTHER, account_again=OTHER)
        somebody.press("account.submit")
        assert somebody.sees("account.changed")
        page.goto("/queue")
        assert page.url.endswith("/queue")
        assert "cleo" in page.inner_text("header")
        context.close()
