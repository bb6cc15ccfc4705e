"""The chat about saved cases: only for who may see one, and each with a conversation alone."""

import html
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from httpx2 import Response
from starlette.testclient import TestClient

from cutis.app.accounts.accounts import Account, Role
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive
from cutis.app.cases import Case, CaseFacts, Judgement, Photo
from cutis.app.chat import Chat
from cutis.app.i18n import translator
from cutis.app.security import SESSION_COOKIE
from cutis.metrics.answer_policy import Verdict
from cutis.runtime import PhotoAnswer
from cutis.taxonomy import Urgency

from ..conftest import DIAGNOSES, HOST, MakeApp, encoded, make_account

QUESTION = "What is melanoma, my secret question?"


@pytest.fixture
def reporter(archive: Archive) -> Account:
    return make_account(archive, "reporter", Role.REPORTER)


@pytest.fixture
def saved(archive: Archive, reporter: Account) -> str:
    """The address of a saved case."""
    shares = {name: 1 / len(DIAGNOSES) for name in DIAGNOSES}
    judgement = Judgement(
        photos=(PhotoAnswer(probabilities=shares),),
        probabilities=shares,
        prediction_set=("melanoma",),
        verdict=Verdict.CAUTION,
        urgency=Urgency.WEEKS,
        urgent=True,
    )
    case = Case((Photo(encoded(), 80, 60),), CaseFacts(), judgement)
    archive.save(case, reporter, patient=None, may_train=False, bundle="tiny", language="en")
    return f"/saved/{case.id}"


@pytest.fixture
def chat() -> Chat:
    return Chat()


Open = Callable[[Account | None], TestClient]


@pytest.fixture
def opened(archive: Archive, make_app: MakeApp, chat: Chat) -> Iterator[Open]:
    app: FastAPI = make_app(archive=archive, chat=chat)
    with TestClient(app, base_url=HOST):

        def open_as(who: Account | None) -> TestClient:
            client = TestClient(app, base_url=HOST, follow_redirects=False)
            if who is not None:
                client.cookies.set(SESSION_COOKIE, Sessions(archive.database).open(who))
            return client

        yield open_as


def ask(client: TestClient, saved: str) -> Response:
    page = client.get("/").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    data = {"csrf_token": token, "question": QUESTION}
    answered: Response = client.post(f"{saved}/chat", data=data)
    return answered


def test_who_saved_a_case_asks_about_it(opened: Open, reporter: Account, saved: str) -> None:
    client = opened(reporter)
    answer = ask(client, saved)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{saved}#chat")
    page = html.unescape(client.get(saved).text)
    assert QUESTION in page
    assert translator("en").text("chat.found") in page


def test_others_do_not_see_what_was_asked(
    opened: Open, archive: Archive, reporter: Account, saved: str
) -> None:
    ask(opened(reporter), saved)
    clinician = opened(make_account(archive, "ada", Role.CLINICIAN))
    assert QUESTION not in html.unescape(clinician.get(saved).text)
    assert ask(clinician, saved).status_code == 303


def test_strangers_are_refused(opened: Open, archive: Archive, saved: str, chat: Chat) -> None:
    visitor = ask(opened(None), saved)
    assert visitor.status_code == 303
    assert visitor.headers["location"].startswith("/login")
    other = make_account(archive, "other", Role.REPORTER)
    assert ask(opened(other), saved).status_code == 404
    assert len(chat.conversations) == 0


def test_the_forms_token_is_checked(opened: Open, reporter: Account, saved: str) -> None:
    client = opened(reporter)
    assert client.post(f"{saved}/chat", data={"question": QUESTION}).status_code == 403


def test_a_deleted_case_takes_all_its_conversations_along(
    opened: Open, archive: Archive, reporter: Account, saved: str, chat: Chat
) -> None:
    clinician = make_account(archive, "ada", Role.CLINICIAN)
    for who in (reporter, clinician):
        ask(opened(who), saved)
    assert len(chat.conversations) == 2
    client = opened(reporter)
    token = client.get(saved).text.split('name="csrf_token" value="')[1].split('"')[0]
    assert client.post(f"{saved}/delete", data={"csrf_token": token}).status_code == 303
    assert len(chat.conversations) == 0
