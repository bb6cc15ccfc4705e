"""Log-in, log-out, passwords and accounts in the browser: cookies, tokens, roles, refusals."""

import re
from html import unescape

import pytest

from cutis.app.account_pages import own_path
from cutis.app.accounts.attempts import OF_NAME
from cutis.app.accounts.people import People
from cutis.app.archive.archive import Archive
from cutis.app.security import SESSION_COOKIE

from ..conftest import HOST, MakeApp
from .conftest import GOOD, OTHER, WORDS, Browser, lines

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
