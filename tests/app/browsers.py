"""Browsers of people who have logged in, and cases that they save."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from fastapi import FastAPI
from httpx2 import Response
from starlette.testclient import TestClient

from cutis.app.accounts.accounts import Role
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive
from cutis.app.security import SESSION_COOKIE

from .conftest import HOST, encoded, make_account

LogIn = Callable[[Role, str], TestClient]


@contextmanager
def browsers(app: FastAPI, archive: Archive) -> Iterator[LogIn]:
    """Runs an app; what it gives makes an account of a name and opens a browser for it."""
    with ExitStack() as opened:

        def log_in(role: Role, name: str) -> TestClient:
            account = make_account(archive, name, role)
            client = TestClient(app, base_url=HOST)
            client.cookies.set(SESSION_COOKIE, Sessions(archive.database).open(account))
            opened.callback(client.close)
            return client

        opened.enter_context(TestClient(app, base_url=HOST))
        yield log_in


def post(client: TestClient, path: str, **fields: str) -> Response:
    """Sends a form with the token of its page."""
    token = re.search(r'name="csrf_token" value="(\w+)"', client.get("/").text)
    assert token is not None
    return client.post(path, data={"csrf_token": token[1], **fields}, follow_redirects=False)


def make_case(client: TestClient, **facts: str) -> str:
    """Judges a photo; the id of the case in memory."""
    token = re.search(r'name="csrf_token" value="(\w+)"', client.get("/").text)
    assert token is not None
    photo = {"photos": ("a.jpg", encoded())}
    fields = {"csrf_token": token[1], **facts}
    made = client.post("/cases", data=fields, files=photo, follow_redirects=False)
    assert made.status_code == 303
    return made.headers["location"].removeprefix("/cases/")


def save_case(client: TestClient, **fields: str) -> str:
    """Saves a new case; its id."""
    case_id = make_case(client, note="a private note")
    saved = post(client, f"/cases/{case_id}/save", save="yes", **fields)
    assert (saved.status_code, saved.headers["location"]) == (303, f"/saved/{case_id}")
    return case_id
