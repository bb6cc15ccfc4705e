"""Log-in, log-out, passwords and accounts in the browser: cookies, tokens, roles, refusals."""

import logging
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from cutis.app.account_pages import own_path
from cutis.app.accounts.accounts import Role
from cutis.app.accounts.attempts import OF_NAME
from cutis.app.accounts.people import People, one_time_password
from cutis.app.archive.archive import Archive
from cutis.app.i18n import languages, translator
from cutis.app.security import SESSION_COOKIE

from .conftest import HOST, MakeApp

GOOD, OTHER = "correct horse battery", "another horse battery"
WORDS = translator("en")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Archive]:
    """An archive in a folder: what differs between the databases is tested below the pages."""
    opened = Archive.open(tmp_path / "archive")
    yield opened
    opened.close()


@pytest.fixture
def people(kept: Archive) -> People:
    """Ada is the admin, Cleo a clinician, Rob a reporter."""
    people = People(kept)
    for name, role in (("ada", Role.ADMIN), ("cleo", Role.CLINICIAN), ("rob", Role.REPORTER)):
        people.accounts.create(name, GOOD, role)
    return people


class Browser(TestClient):
    """Follows no redirects by itself, and sends forms with their token."""

    def __init__(self, make_app: MakeApp, archive: Archive, base_url: str = HOST) -> None:
        super().__init__(make_app(archive=archive), base_url=base_url, follow_redirects=False)

    def token(self, page: str = "/login") -> str:
        found = re.search(r'name="csrf_token" value="(\w+)"', self.get(page).text)
        assert found is not None, page
        return found[1]

    def submit(self, path: str, page: str = "/account", **fields: str) -> Response:
        return self.post(path, data={"csrf_token": self.token(page), **fields})

    def log_in(self, name: str, password: str = GOOD, **fields: str) -> Response:
        return self.submit("/login", "/login", name=name, password=password, **fields)


@pytest.fixture
def browser(make_app: MakeApp, kept: Archive, people: People) -> Iterator[Browser]:
    with Browser(make_app, kept) as opened:
        yield opened


@pytest.fixture
def second(make_app: MakeApp, kept: Archive, people: People) -> Iterator[Browser]:
    """Another browser, at a server of its own with the same archive."""
    with Browser(make_app, kept) as opened:
        yield opened


def lines(archive: Archive) -> list[tuple[str | None, str, str]]:
    """The audit log, the oldest first, without the accounts that the test begins with."""
    found, _ = archive.audit()
    said = [(line.account, line.action, line.subject) for line in reversed(found)]
    return [line for line in said if line[:2] != (None, "account_added")]


# Log-in and log-out


def test_somebody_logs_in_and_out(browser: Browser, kept: Archive) -> None:
    home = browser.get("/").text
    assert 'href="/login"' in home
    assert "/logout" not in home
    opened = browser.log_in("Ada", next="/accounts?a=1")
    assert (opened.status_code, opened.headers["location"]) == (303, "/accounts?a=1")
    home = browser.get("/").text
    assert "<bdi>ada</bdi>" in home
    assert 'href="/login"' not in home
    token = browser.cookies[SESSION_COOKIE]
    closed = browser.submit("/logout")
    assert (closed.status_code, closed.headers["location"]) == (303, "/login?ended=1")
    assert WORDS.text("login.ended") in browser.get("/login?ended=1").text
    assert SESSION_COOKIE not in browser.cookies
    browser.cookies.set(SESSION_COOKIE, token)
    assert browser.get("/account").status_code == 303
    assert lines(kept) == [("ada", "login", "ada"), ("ada", "logout", "ada")]


def test_the_cookies(browser: Browser, make_app: MakeApp, kept: Archive) -> None:
    session, device = browser.log_in("ada").headers.get_list("set-cookie")
    assert re.fullmatch(r"cutis_session=[\w-]{43}; HttpOnly; Path=/; SameSite=lax", session)
    assert re.fullmatch(
        r"cutis_device=[\w-]{22}\.\w{64}; HttpOnly; Max-Age=15552000; Path=/login; SameSite=lax",
        device,
    )
    closed = browser.submit("/logout").headers["set-cookie"]
    assert closed.startswith('cutis_session=""; ')
    assert "Max-Age=0" in closed
    with Browser(make_app, kept, HOST.replace("http:", "https:")) as secure:
        assert all("; Secure" in one for one in secure.log_in("ada").headers.get_list("set-cookie"))
    with Browser(make_app, kept) as proxied:
        proxied.headers["X-Forwarded-Proto"] = "https"
        assert "; Secure" in proxied.log_in("ada").headers["set-cookie"]


def test_a_wrong_password_says_neither_what_nor_who(browser: Browser, kept: Archive) -> None:
    pages = []
    for name, password in (("ada", OTHER), ("eve", GOOD), ("", "")):
        refused = browser.log_in(name, password, next="/saved")
        assert refused.status_code == 403
        assert SESSION_COOKIE not in browser.cookies
        assert 'name="next" value="/saved"' in refused.text
        assert f'value="{name}"' in refused.text
        pages.append(re.sub(r'value="[^"]*"|\d', "", refused.text))
    assert pages[0] == pages[1] == pages[2]
    assert WORDS.text("error.login_wrong") in pages[0]
    assert OTHER not in pages[0]
    # what was typed for a name may be a password, so only names that there are stand in the log
    assert lines(kept) == [
        (None, "login_failed", "ada"),
        (None, "login_failed", ""),
    ]


def test_guessing_is_stopped_and_the_page_says_when_it_goes_on(
    browser: Browser, second: Browser, kept: Archive
) -> None:
    assert second.log_in("ada").status_code == 303
    for _ in range(OF_NAME):
        browser.log_in("ada", OTHER)
    refused = browser.log_in("ada", GOOD)
    assert refused.status_code == 429
    assert 890 <= int(refused.headers["retry-after"]) <= 900
    assert "Try again in 15 minutes." in refused.text
    # a browser in which she has logged in before still gets in
    second.cookies.delete(SESSION_COOKIE)
    assert second.log_in("ada").status_code == 303
    failed = [action for _, action, _ in lines(kept)]
    assert failed.count("login_failed") == 1


@pytest.mark.parametrize(
    ("wanted", "leads"),
    [
        ("/saved/x?page=2", "/saved/x?page=2"),
        ("/", "/"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        (" //evil.example", "/"),
        ("evil", "/"),
        ("/é", "/"),
        ("/" + "x" * 501, "/"),
    ],
)
def test_a_log_in_leads_to_own_pages_only(wanted: str, leads: str) -> None:
    assert own_path(wanted) == leads


def test_the_address_wanted_is_checked_wherever_it_comes_from(browser: Browser) -> None:
    page = browser.get("/login", params={"next": "//evil.example"})
    assert "evil" not in page.text
    assert browser.log_in("ada", next="//evil.example").headers["location"] == "/"
    again = browser.get("/login", params={"next": "//evil.example"})
    assert (again.status_code, again.headers["location"]) == (303, "/")


def test_what_needs_a_log_in_leads_there_and_back(browser: Browser) -> None:
    asked = browser.get("/accounts?x=%2Fy")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/login?next=%2Faccounts%3Fx%3D%252Fy"
    page = browser.get(asked.headers["location"])
    (wanted,) = re.findall(r'name="next" value="([^"]*)"', page.text)
    assert unescape(wanted) == "/accounts?x=%2Fy"
    # what was refused is not sent again: its page is shown
    for path, back in (
        ("/accounts/1/role", "/accounts"),
        ("/saved/x/delete", "/saved/x"),
        ("/queue/blind", "/queue"),
        ("/feedback", "/agreement"),
    ):
        refused = browser.post(path, data={"csrf_token": browser.token()})
        assert refused.headers["location"] == f"/login?next={back.replace('/', '%2F')}"


def test_the_language_switch_keeps_where_somebody_wants_to_go(browser: Browser) -> None:
    page = browser.get("/login?next=%2Fsaved%3Fpage%3D2").text
    (switch,) = re.findall(r'href="(/login[^"]*lang=fa)"', page)
    there = browser.get(unescape(switch))
    assert 'lang="fa"' in there.text
    assert 'name="next" value="/saved?page=2"' in there.text


# Sessions and tokens of forms


def test_a_session_from_before_the_log_in_is_not_taken_over(browser: Browser) -> None:
    """Fixation: a token that somebody else has put into the browser opens nothing."""
    browser.cookies.set(SESSION_COOKIE, "A" * 43)
    opened = browser.log_in("ada")
    assert SESSION_COOKIE in opened.headers["set-cookie"]
    assert "A" * 43 not in opened.headers["set-cookie"]
    browser.cookies.clear()
    browser.cookies.set(SESSION_COOKIE, "A" * 43)
    assert browser.get("/account").status_code == 303


def test_a_log_in_ends_the_session_that_the_browser_had(browser: Browser, people: People) -> None:
    rob = people.log_in("rob", GOOD, "").token
    browser.cookies.set(SESSION_COOKIE, rob)
    assert people.sessions.account(rob) is not None
    # the form of a page that was opened before he logged in, sent again
    token = browser.token("/account")
    opened = browser.post("/login", data={"csrf_token": token, "name": "ada", "password": GOOD})
    assert opened.status_code == 303
    assert people.sessions.account(rob) is None


def test_a_forms_token_ends_with_the_log_in(browser: Browser) -> None:
    before = browser.token()
    nonce = browser.cookies["cutis_csrf"]
    browser.log_in("ada")
    assert browser.cookies["cutis_csrf"] == nonce  # so the session alone makes the difference
    for path in ("/logout", "/accounts", "/account", "/login"):
        refused = browser.post(path, data={"csrf_token": before, "name": "eve1"})
        assert refused.status_code == 403, path
        assert WORDS.text("error.session") in refused.text
    within = browser.token("/account")
    assert browser.post("/logout", data={"csrf_token": within}).status_code == 303
    outside = browser.post("/login", data={"csrf_token": within, "name": "ada", "password": GOOD})
    assert outside.status_code == 403


def test_every_form_needs_its_token(browser: Browser) -> None:
    browser.log_in("ada")
    for path in ("/login", "/logout", "/account", "/accounts", "/accounts/1/role", "/setup",
                 "/accounts/1/password", "/accounts/1/disable", "/accounts/1/enable"):  # fmt: skip
        assert browser.post(path, data={"name": "x"}).status_code == 403, path
        cross = browser.post(path, headers={"Sec-Fetch-Site": "cross-site"})
        assert cross.status_code == 403, path


def test_the_api_takes_no_cookies(browser: Browser) -> None:
    browser.log_in("ada")
    assert "ada" not in browser.get("/api/v1/model").text
    assert browser.get("/api/v1/accounts").status_code == 404


def test_a_busy_database_is_told(
    browser: Browser, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cutis.app.accounts.sessions import Sessions
    from cutis.app.errors import AppError

    def busy(self: Sessions, token: str) -> None:
        raise AppError("storage_busy", retry_after=5)

    browser.log_in("ada")
    monkeypatch.setattr(Sessions, "account", busy)
    refused = browser.get("/help")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    browser.cookies.clear()
    assert browser.get("/help").status_code == 200


# One's own account


def test_somebody_changes_the_own_password(
    browser: Browser, second: Browser, kept: Archive
) -> None:
    browser.log_in("rob")
    second.log_in("rob")
    before = browser.cookies[SESSION_COOKIE]
    changed = browser.submit("/account", old=GOOD, new=OTHER, again=OTHER)
    assert changed.headers["location"] == "/account?changed=1"
    assert browser.cookies[SESSION_COOKIE] != before
    assert WORDS.text("account.changed") in browser.get("/account?changed=1").text
    assert second.get("/account").status_code == 303
    assert second.log_in("rob").status_code == 403
    assert second.log_in("rob", OTHER).status_code == 303
    assert ("rob", "password_changed", "rob") in lines(kept)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"old": OTHER, "new": OTHER, "again": OTHER}, "password_old"),
        ({"old": GOOD, "new": OTHER, "again": GOOD}, "password_twice"),
        ({"old": GOOD, "new": "short", "again": "short"}, "password_short"),
        ({"old": GOOD, "new": GOOD, "again": GOOD}, "password_same"),
        ({}, "password_old"),
    ],
)
def test_passwords_that_are_not_taken(browser: Browser, fields: dict[str, str], code: str) -> None:
    browser.log_in("rob")
    refused = browser.submit("/account", **fields)
    assert refused.status_code in (403, 422)
    assert WORDS.text(f"error.{code}").replace("'", "&#39;") in refused.text
    assert not [value for value in fields.values() if f'value="{value}"' in refused.text]
    assert browser.get("/account").status_code == 200


def test_a_one_time_password_must_be_changed_first(browser: Browser, people: People) -> None:
    people.accounts.set_password(1, OTHER, must_change_password=True)
    opened = browser.log_in("ada", OTHER, next="/accounts")
    assert opened.headers["location"] == "/account"
    assert WORDS.text("account.due") in browser.get("/account").text
    refused = browser.get("/accounts")
    assert (refused.status_code, refused.headers["location"]) == (303, "/account")
    browser.submit("/account", old=OTHER, new=GOOD, again=GOOD)
    assert browser.get("/accounts").status_code == 200


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
