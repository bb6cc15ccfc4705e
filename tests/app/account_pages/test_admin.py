"""Accounts as admins keep them, the first one, and what every page of accounts shows."""

import logging
import re

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from cutis.app.accounts.accounts import Role
from cutis.app.accounts.people import People, one_time_password
from cutis.app.archive.archive import Archive
from cutis.app.i18n import languages, translator
from cutis.app.security import SESSION_COOKIE

from ..conftest import HOST, MakeApp
from .conftest import GOOD, OTHER, WORDS, Browser, lines

# Accounts, for admins


def secret_of(answer: Response) -> str:
    (found,) = re.findall(r'class="secret" dir="ltr">([^<]+)<', answer.text)
    return str(found)


def test_an_admin_adds_an_account_with_a_one_time_password(
    browser: Browser, second: Browser, kept: Archive
) -> None:
    browser.log_in("ada")
    made = browser.submit("/accounts", name=" Dora ", role="clinician")
    assert made.status_code == 200
    assert WORDS.text("accounts.secret", name="dora") in made.text
    secret = secret_of(made)
    assert made.headers["cache-control"] == "no-store"
    assert secret not in browser.get("/accounts").text
    assert second.log_in("dora", secret).headers["location"] == "/account"
    assert ("ada", "account_added", "dora") in lines(kept)
    assert secret not in str(kept.audit())


def test_one_time_passwords_are_random_and_easy_to_type() -> None:
    made = {one_time_password() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{4}-){3}[a-hjkmnp-z2-9]{4}", one) for one in made)


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        ({"name": "ROB", "role": "reporter"}, "name_taken", 409),
        ({"name": "x", "role": "reporter"}, "account_name", 422),
        ({"name": "<b>x</b>", "role": "reporter"}, "account_name", 422),
        ({"name": "dora", "role": "owner"}, "field", 422),
        ({"name": "dora"}, "field", 422),
    ],
)
def test_accounts_that_are_not_taken(
    browser: Browser, people: People, fields: dict[str, str], code: str, status: int
) -> None:
    browser.log_in("ada")
    refused = browser.submit("/accounts", **fields)
    assert refused.status_code == status
    if code != "field":
        assert WORDS.text(f"error.{code}") in refused.text
    assert "<b>" not in refused.text
    assert len(people.accounts.all()) == 3


def test_an_admin_changes_accounts(
    browser: Browser, second: Browser, people: People, kept: Archive
) -> None:
    browser.log_in("ada")
    second.log_in("rob")
    done = browser.submit("/accounts/3/role", role="clinician")
    assert (done.status_code, done.headers["location"]) == (303, "/accounts?done=1")
    assert WORDS.text("accounts.done") in browser.get("/accounts?done=1").text
    assert people.accounts.get(3).role == Role.CLINICIAN
    assert second.get("/account").status_code == 303  # rob logs in again, with the new role
    second.log_in("rob")
    assert browser.submit("/accounts/3/disable").status_code == 303
    assert second.get("/account").status_code == 303
    assert second.log_in("rob").status_code == 403
    assert browser.submit("/accounts/3/enable").status_code == 303
    secret = secret_of(browser.submit("/accounts/3/password"))
    assert second.log_in("rob").status_code == 403
    assert second.log_in("rob", secret).status_code == 303
    assert [line for line in lines(kept) if "log" not in line[1]] == [
        ("ada", "role_changed", "rob"),
        ("ada", "account_disabled", "rob"),
        ("ada", "account_enabled", "rob"),
        ("ada", "password_reset", "rob"),
    ]


def test_the_last_admin_stays_on_the_page_too(browser: Browser, people: People) -> None:
    browser.log_in("ada")
    for path in ("/accounts/1/disable", "/accounts/1/role"):
        refused = browser.submit(path, role="reporter")
        assert refused.status_code == 409
        assert WORDS.text("error.last_admin") in refused.text
    assert browser.submit("/accounts/99/disable").status_code == 404
    assert browser.submit("/accounts/x/disable").status_code == 422
    assert browser.get("/accounts").status_code == 200


# The first account


def test_the_first_admin_is_made_once(make_app: MakeApp, kept: Archive) -> None:
    with Browser(make_app, kept) as browser:
        assert WORDS.text("login.first") in browser.get("/login").text
        setup: str = browser.app.state.people.setup.path  # type: ignore[attr-defined]
        token = setup.partition("=")[2]
        for wrong in ("/setup", "/setup?token=x", setup[:-1]):
            assert browser.get(wrong).status_code == 404
        assert f"{setup}&amp;lang=fa" in browser.get(setup).text
        fields = {"token": token, "name": "Ada", "new": GOOD, "again": GOOD}
        short = browser.submit("/setup", setup, **{**fields, "new": "short", "again": "short"})
        assert (short.status_code, 'value="Ada"' in short.text) == (422, True)
        assert browser.submit("/setup", setup, **{**fields, "token": "x"}).status_code == 404
        made = browser.submit("/setup", setup, **fields)
        assert (made.status_code, made.headers["location"]) == (303, "/accounts")
        assert browser.get("/accounts").status_code == 200
        for path in (setup, "/setup?token="):
            assert browser.get(path).status_code == 404
        again = browser.submit("/setup", **{**fields, "name": "eve"})
        assert again.status_code == 404
        assert WORDS.text("login.first") not in TestClient(browser.app).get(HOST + "/login").text
    assert lines(kept) == [("ada", "account_added", "ada")]


# Words, menu, logs


@pytest.mark.parametrize("language", languages())
def test_the_pages_are_whole_in_both_languages(browser: Browser, language: str) -> None:
    words = translator(language)
    browser.headers["Accept-Language"] = language
    assert words.text("login.title") in browser.get("/login").text
    browser.log_in("ada")
    for page, key in (("/account", "account.title"), ("/accounts", "accounts.title")):
        answer = browser.get(page)
        assert answer.status_code == 200
        assert words.text(key) in answer.text
        assert f'dir="{words.direction}"' in answer.text
        assert "style=" not in answer.text
        ids = re.findall(r' id="([^"]+)"', answer.text)
        assert len(ids) == len(set(ids))
        labelled = set(re.findall(r'<label[^>]* for="([^"]+)"', answer.text))
        assert set(re.findall(r'<(?:select|input type="(?:text|password)") id="([^"]+)"',
                              answer.text)) == labelled  # fmt: skip
    assert words.term("role", "clinician") in browser.get("/accounts").text


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        (None, ["/login"]),
        ("rob", ["/saved", "/account"]),
        ("cleo", ["/saved", "/queue", "/account"]),
        ("ada", ["/saved", "/queue", "/accounts", "/audit", "/account"]),
    ],
)
def test_the_menu_shows_what_the_role_may(
    browser: Browser, name: str | None, seen: list[str]
) -> None:
    if name:
        browser.log_in(name)
    page = browser.get("/help").text
    (menu,) = re.findall(
        rf'<nav aria-label="{WORDS.text("page.your_menu")}">(.*?)</nav>', page, re.DOTALL
    )
    assert re.findall(r'href="([^"]+)"', menu) == seen
    assert ("/logout" in menu) == (name is not None)


def test_without_an_archive_there_are_no_accounts(client: TestClient) -> None:
    for page in ("/", "/help", "/about"):
        assert "login" not in client.get(page).text
    for path in ("/login", "/account", "/accounts", "/setup", "/logout"):
        assert client.get(path).status_code == 404
    client.cookies.set(SESSION_COOKIE, "A" * 43)
    assert client.get("/").status_code == 200


def test_the_log_holds_neither_names_nor_tokens(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        browser.log_in("ada", OTHER, next="/saved/SECRET")
        browser.log_in("ada", next="/saved/SECRET")
        browser.submit("/accounts", name="dora", role="clinician")
        browser.get("/setup?token=SECRET")
    text = "\n".join(record.getMessage() for record in caplog.records if "cutis" in record.name)
    assert "POST /login 303" in text
    token = browser.cookies[SESSION_COOKIE]
    for private in ("ada", "dora", "SECRET", GOOD, OTHER, token):
        assert private not in text
