"""A browser that logs in through the pages, and the archive behind it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from cutis.app.accounts.accounts import Role
from cutis.app.accounts.people import People
from cutis.app.archive.archive import Archive
from cutis.app.i18n import translator

from ..conftest import HOST, MakeApp

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
