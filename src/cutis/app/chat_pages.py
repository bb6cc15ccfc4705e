"""The chat on the pages: the box below a result, and the answers to what is asked in it."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import NamedTuple

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from cutis.app.cases import Case
from cutis.app.chat.chat import Chat, Question
from cutis.app.chat.conversation import LONGEST_QUESTION, Answer, Conversation, Key, Turn
from cutis.app.chat.folding import language_of_text
from cutis.app.errors import AppError
from cutis.app.forms import plain_text, read_form
from cutis.app.i18n import translator
from cutis.app.language import language_of
from cutis.app.result_page import ResultPage, Shown, judged_by_another
from cutis.app.service import CaseService
from cutis.app.views import result_view
from cutis.app.web import Pages

QUESTION, CONSENT = "question", "consent"
"""Fields of the form."""
STREAM = "application/x-ndjson"
"""A line of JSON for each sentence ("text"), and at the end one with the whole turn ("html")."""


class Box(NamedTuple):
    """What `chat.html` shows."""

    turns: tuple[Turn, ...]
    sends: str  # key of the words that say what goes where
    host: str  # of the endpoint; empty without one
    consent: str  # "asked", "given", or "" where none is needed
    longest: int = LONGEST_QUESTION
    question_field: str = QUESTION
    consent_field: str = CONSENT


def add_chat(app: FastAPI, chat: Chat) -> None:
    """Puts the box on the page of every result, and adds the addresses that it asks."""
    service: CaseService = app.state.service
    result: ResultPage = app.state.result

    async def slot(request: Request, shown: Shown) -> Mapping[str, object]:
        return {"chat": _box(chat, _key(request, shown.case, shown.saved is not None))}

    result.slots.append(slot)
    service.store.on_remove.append(chat.conversations.forget)
    app.include_router(_routes(app, chat))


def _routes(app: FastAPI, chat: Chat) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    service: CaseService = app.state.service
    pages: Pages = app.state.pages

    async def answered(
        request: Request, case: Case, key: Key, at: str, *, other_network: bool = False
    ) -> Response:
        form = await read_form(request, service.settings)
        pages.check(request)(form)
        text = plain_text(form.first(QUESTION) or "")
        if not 0 < len(text) <= LONGEST_QUESTION:
            raise AppError("question", limit=LONGEST_QUESTION)
        words = translator(language_of_text(text, language_of(request)))
        view = result_view(case, service.predictor, words, other_network=other_network)
        question = Question(key, text, view, words, form.first(CONSENT) == "yes")
        chat.pace.admit(case.id)
        if STREAM in request.headers.get("accept", ""):
            return _Stream(chat, question, _lines(chat, question, request, pages))
        try:
            async with aclosing(chat.answer(question)) as pieces:
                async for _ in pieces:
                    pass
        finally:
            chat.pace.release(case.id)
        return RedirectResponse(f"{at}#chat", 303)

    @router.post("/cases/{case_id}/chat")
    async def ask(case_id: str, request: Request) -> Response:
        case = service.case(case_id)
        return await answered(request, case, _key(request, case, False), f"/cases/{case.id}")

    if app.state.archive is not None:

        @router.post("/saved/{case_id}/chat")
        async def ask_saved(case_id: str, request: Request) -> Response:
            saved = await app.state.saved.case(case_id, request)
            key, at = _key(request, saved.case, True), f"/saved/{case_id}"
            other_network = judged_by_another(saved, service.predictor)
            return await answered(request, saved.case, key, at, other_network=other_network)

    return router


class _Stream(StreamingResponse):
    """An answer as it comes. It frees the place of its case also where nobody reads a line."""

    def __init__(self, chat: Chat, question: Question, lines: AsyncGenerator[str, None]) -> None:
        super().__init__(lines, media_type=STREAM)
        self._chat = chat
        self._question = question

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._chat.pace.release(self._question.key[0])


async def _lines(
    chat: Chat, question: Question, request: Request, pages: Pages
) -> AsyncGenerator[str, None]:
    async with aclosing(chat.answer(question)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Answer):
                turn = Turn(question.text, piece)
                shown = pages.page(request, "chat_turn.html", turn=turn).body
                yield json.dumps({"html": bytes(shown).decode()}) + "\n"
            else:
                yield json.dumps({"text": piece}) + "\n"


def _key(request: Request, case: Case, saved: bool) -> Key:
    """Of a conversation: who sees a saved case does not see what others have asked about it."""
    account = getattr(request.state, "account", None) if saved else None
    return case.id, "" if account is None else str(account.id)


def _box(chat: Chat, key: Key) -> Box:
    talk, endpoint = chat.conversations.get(key) or Conversation(), chat.endpoint
    turns = tuple(talk.turns)
    if endpoint is None:
        return Box(turns, "chat.offline", "", "")
    if endpoint.is_local:
        return Box(turns, "chat.local", endpoint.host, "")
    return Box(turns, "chat.sent", endpoint.host, "given" if talk.consented else "asked")
