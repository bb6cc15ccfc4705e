"""Who may what: every address of the app, asked by everybody.

A new route must be listed here, with what each role gets, before this passes again.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from httpx2 import Response
from starlette.testclient import TestClient

from cutis.app.accounts.accounts import Accounts, Role
from cutis.app.archive.archive import Archive

from .conftest import HOST, MakeApp

PASSWORD = "correct horse battery"
PEOPLE = {
    "visitor": None,
    "other": Role.REPORTER,
    "owner": Role.REPORTER,  # has saved the case
    "clinician": Role.CLINICIAN,
    "admin": Role.ADMIN,
}
# What the visitor, another reporter, the case's owner, a clinician and an admin get: "in" is 303
# to the log-in. The id of a case in memory opens it, whoever has it.
EVERYBODY = (200,) * 5
KNOWS_ID = (200,) * 5
LOGGED_IN = ("in", 200, 200, 200, 200)
READS_CASE = ("in", 404, 200, 200, 200)
CLINICIANS = ("in", 403, 403, 200, 200)
ADMINS = ("in", 403, 403, 403, 200)
CHANGES_ACCOUNTS = ("in", 403, 403, 403, 303)
TABLE = {
    "GET /api/v1/openapi.json": EVERYBODY,
    "GET /health": EVERYBODY,
    "GET /ready": EVERYBODY,
    "GET /api/v1/model": EVERYBODY,
    "POST /api/v1/cases": (422,) * 5,
    "GET /api/v1/cases/{case_id}": KNOWS_ID,
    "POST /api/v1/cases/{case_id}/photos": (422,) * 5,
    "GET /api/v1/cases/{case_id}/photos/{number}/photo.jpg": KNOWS_ID,
    "GET /api/v1/cases/{case_id}/photos/{number}/outline.png": KNOWS_ID,
    "GET /api/v1/cases/{case_id}/photos/{number}/heat.png": KNOWS_ID,
    "GET /api/v1/cases/{case_id}/photos/{number}/measures.json": KNOWS_ID,
    "DELETE /api/v1/cases/{case_id}": (204,) * 5,
    "GET /static": (404,) * 5,  # what lies below it is everybody's
    "GET /": EVERYBODY,
    "GET /help": EVERYBODY,
    "GET /about": EVERYBODY,
    "GET /about/MODEL_CARD.md": EVERYBODY,
    "POST /cases": (422,) * 5,
    "GET /cases/{case_id}": KNOWS_ID,
    "POST /cases/{case_id}/photos": (422,) * 5,
    "GET /cases/{case_id}/photos/{number}.jpg": KNOWS_ID,
    "GET /cases/{case_id}/photos/{number}/outline.png": KNOWS_ID,
    "GET /cases/{case_id}/photos/{number}/heat.png": KNOWS_ID,
    "GET /cases/{case_id}/photos/{number}/measures": KNOWS_ID,
    "POST /cases/{case_id}/chat": (422,) * 5,
    "POST /cases/{case_id}/delete": (303,) * 5,
    "POST /cases/{case_id}/save": ("in", 303, 303, 303, 303),
    "GET /saved": LOGGED_IN,
    "GET /saved/{case_id}": READS_CASE,
    "GET /saved/{case_id}/photos/{number}.jpg": READS_CASE,
    "GET /saved/{case_id}/photos/{number}/outline.png": READS_CASE,
    "GET /saved/{case_id}/photos/{number}/heat.png": READS_CASE,
    "GET /saved/{case_id}/photos/{number}/measures": READS_CASE,
    "POST /saved/{case_id}/chat": ("in", 404, 422, 422, 422),
    "POST /saved/{case_id}/delete": ("in", 404, 303, 403, 303),
    "GET /saved/{case_id}/blind": CLINICIANS,
    "POST /saved/{case_id}/opinion": ("in", 403, 403, 422, 422),
    "GET /queue": CLINICIANS,
    "GET /queue/{section}": CLINICIANS,
    "POST /queue/blind": ("in", 403, 403, 303, 303),
    "GET /agreement": CLINICIANS,
    "POST /feedback": ("in", 403, 403, 403, 409),  # no case is settled
    "GET /audit": ADMINS,
    "GET /accounts": ADMINS,
    "POST /accounts": ("in", 403, 403, 403, 422),
    "POST /accounts/{account_id}/role": CHANGES_ACCOUNTS,
    "POST /accounts/{account_id}/password": ADMINS,
    "POST /accounts/{account_id}/disable": CHANGES_ACCOUNTS,
    "POST /accounts/{account_id}/enable": CHANGES_ACCOUNTS,
    "GET /account": LOGGED_IN,
    "POST /account": ("in", 403, 403, 403, 403),  # without the old password
    "GET /setup": (404,) * 5,
    "POST /setup": (404,) * 5,
    "GET /login": (200, 303, 303, 303, 303),
    "POST /login": (403,) * 5,  # without a password
    "POST /logout": (303,) * 5,
}
FIELDS = {
    "POST /cases/{case_id}/save": {"save": "yes"},
    "POST /accounts/{account_id}/role": {"role": "clinician"},
}


class Scene:
    """The app with an archive, and a browser of each person, on one server."""

    def __init__(self, app: FastAPI, archive: Archive, photo: bytes) -> None:
        self.app = app
        self._photo = photo
        self._browsers: dict[str, TestClient] = {}
        accounts = Accounts(archive.database)
        self.first = accounts.create("first", PASSWORD, Role.ADMIN)  # whom the others change
        for name, role in PEOPLE.items():
            browser = TestClient(app, base_url=HOST, follow_redirects=False)
            self._browsers[name] = browser
            if role is not None:
                accounts.create(name, PASSWORD, role)
                fields = {"name": name, "password": PASSWORD}
                assert self.post(name, "/login", fields).status_code == 303
        self._saved = self.case(saved=True)

    def post(
        self, name: str, path: str, fields: dict[str, str], *, photo: bool = False
    ) -> Response:
        """Sends a form as a page of this person's has it."""
        browser = self._browsers[name]
        (token, *_) = re.findall(r'name="csrf_token" value="(\w+)"', browser.get("/").text)
        files = {"photos": ("a.jpg", self._photo)} if photo else None
        return browser.post(path, data={"csrf_token": token, **fields}, files=files)

    def case(self, *, saved: bool) -> str:
        """The id of a new case, in memory or saved by its owner."""
        place = self.post("owner", "/cases", {}, photo=True).headers["location"]
        if saved:
            assert self.post("owner", f"{place}/save", {"save": "yes"}).status_code == 303
        return place.rpartition("/")[2]

    def ask(self, name: str, route: str) -> int | str:
        """What somebody gets; what deletes or saves a case has one of its own."""
        method, _, pattern = route.partition(" ")
        case_id = self._saved
        if "{case_id}" in pattern and (
            not pattern.startswith("/saved") or pattern.endswith("/delete")
        ):
            case_id = self.case(saved=pattern.startswith("/saved"))
        path = pattern.format(case_id=case_id, number=1, account_id=self.first.id, section="open")
        if method == "POST":
            answer = self.post(name, path, FIELDS.get(route, {}))
        else:
            answer = self._browsers[name].request(method, path)
        return "in" if _is_log_in(answer) else answer.status_code


def _is_log_in(answer: Response) -> bool:
    return answer.headers.get("location", "").startswith("/login?next=")


@pytest.fixture
def scene(make_app: MakeApp, tmp_path: Path, photo: bytes) -> Iterator[Scene]:
    archive = Archive.open(tmp_path / "archive")
    app = make_app(archive=archive)
    with ExitStack() as stack:
        stack.callback(archive.close)
        stack.enter_context(TestClient(app))  # starts and ends the app
        yield Scene(app, archive, photo)


def routes(app: FastAPI) -> list[str]:
    """All routes with their methods; a folder of files has the method GET."""
    return [
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in sorted(set(route.methods or {"GET"}) - {"HEAD"})
    ]


def unlisted(app: FastAPI) -> set[str]:
    return set(routes(app)) ^ set(TABLE)


def test_every_route_is_listed(scene: Scene) -> None:
    assert unlisted(scene.app) == set()
    assert max(Counter(routes(scene.app)).values()) == 1

    @scene.app.post("/accounts/everything")
    def added() -> None: ...

    assert unlisted(scene.app) == {"POST /accounts/everything"}


def test_everybody_gets_what_the_role_allows(scene: Scene) -> None:
    wrong = []
    for route, expected in TABLE.items():
        got = tuple(scene.ask(name, route) for name in PEOPLE)
        if got != expected:
            wrong.append(f"{route}: {got}, not {expected}")
    assert wrong == []
