"""The pages of the doctor's loop: the queue, opinions, agreement and the handover."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import IO, Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from cutis.app.accounts.accounts import Account, Role
from cutis.app.accounts.guard import Guard
from cutis.app.archive.archive import Archive, SavedCase
from cutis.app.archive.database import clear_errors
from cutis.app.errors import AppError
from cutis.app.feedback.agreement import OWN, figures
from cutis.app.feedback.handover import readiness, write_zip
from cutis.app.feedback.opinions import (
    CONFIRMATIONS,
    LONGEST_COMMENT,
    Answer,
    Opinions,
    check_answer,
    latest,
)
from cutis.app.feedback.queue import Queue, Section
from cutis.app.feedback.shown import (
    doctor_rows,
    given,
    model_tables,
    opinion_card,
    opinion_form,
    queue_row,
)
from cutis.app.forms import Form, plain_text, read_form
from cutis.app.i18n import translator
from cutis.app.language import language_of
from cutis.app.result_page import ResultPage, Shown
from cutis.app.service import CaseService
from cutis.app.views import result_view
from cutis.app.web import Pages
from cutis.metrics.bootstrap import Resampling
from cutis.taxonomy import view_names

BLIND = "cutis_blind"
"""Cookie of a clinician who answers before seeing the model."""

_CLINICIANS = (Role.CLINICIAN, Role.ADMIN)
_PIECE = 1 << 20  # bytes of a download at a time
_RESAMPLING = Resampling()
_YEAR_S = 365 * 24 * 3600


class FeedbackPages:
    """What the routes share.

    Args:
        app: with its service, pages and guard in place.
        archive: the saved cases.
    """

    def __init__(self, app: FastAPI, archive: Archive) -> None:
        self.service: CaseService = app.state.service
        self.pages: Pages = app.state.pages
        self.guard: Guard = app.state.guard
        self.archive = archive
        self.opinions = Opinions(archive.database)
        self.queue = Queue(archive.database)

    def clinician(self, request: Request) -> Account:
        """The account of a clinician or an admin; AppError for others."""
        return self.guard.require(request, *_CLINICIANS)

    async def saved(self, case_id: str) -> SavedCase:
        """A saved case; AppError `saved_not_found` where there is none."""
        found = await run_in_threadpool(self.archive.case, case_id)
        if found is None:
            raise AppError("saved_not_found")
        return found

    async def form(self, request: Request) -> Form:
        """A form of one of our pages; AppError for any other."""
        form = await read_form(request, self.service.settings)
        self.pages.check(request)(form)
        return form

    async def slot(self, request: Request, shown: Shown) -> Mapping[str, object]:
        """What `opinion.html` shows on the page of a case."""
        if shown.saved is None or shown.account is None:
            return {"opinion": None}
        opinions = await run_in_threadpool(self.opinions.of_case, shown.case.id)
        words = translator(language_of(request))
        card = opinion_card(shown.saved, opinions, shown.account, words)
        return {"opinion": card, **_CHOICES}

    async def changed(
        self, case_id: str, request: Request, account: Account, answer: Answer, *, blind: bool
    ) -> Response:
        """Somebody was faster: what was said, and the form with all that was typed."""
        saved = await self.saved(case_id)
        opinions = await run_in_threadpool(self.opinions.of_case, case_id)
        words = translator(language_of(request))
        page = self.pages.page(
            request,
            "opinion_changed.html",
            home=f"/saved/{case_id}",
            f=opinion_form(saved, words, answer, blind=blind, informed=True),
            given=given(latest(opinions), account, words),
            **_CHOICES,
        )
        page.status_code = HTTPStatus.CONFLICT
        return page


_CHOICES: dict[str, Any] = {"confirmations": CONFIRMATIONS, "longest_comment": LONGEST_COMMENT}


def add_feedback(app: FastAPI, archive: Archive) -> None:
    """Adds the routes, and the opinions to the page of every saved case."""
    shared = FeedbackPages(app, archive)
    result: ResultPage = app.state.result
    result.slots.append(shared.slot)
    for make in (_queue, _opinions, _agreement, _handover):
        app.include_router(make(shared), include_in_schema=False)


def _queue(shared: FeedbackPages) -> APIRouter:
    router = APIRouter(prefix="/queue")

    async def show(request: Request, section: Section, page: int) -> Response:
        account, words = shared.clinician(request), translator(language_of(request))
        found = await run_in_threadpool(shared.queue.page, section, account, page)
        blind = BLIND in request.cookies
        return shared.pages.page(
            request,
            "queue.html",
            home=f"{request.url.path}?page={found.page}",
            q=found,
            sections=tuple(Section),
            rows=[queue_row(one, words, blind=blind) for one in found.rows],
            blind=blind,
        )

    @router.get("")
    async def first(request: Request, page: Annotated[int, Query()] = 1) -> Response:
        return await show(request, Section.OPEN, page)

    @router.get("/{section}")
    async def other(
        request: Request, section: Section, page: Annotated[int, Query()] = 1
    ) -> Response:
        return await show(request, section, page)

    @router.post("/blind")
    async def set_blind(request: Request) -> Response:
        shared.clinician(request)
        form = await shared.form(request)
        answer = RedirectResponse("/queue", 303)
        if form.first("blind"):
            answer.set_cookie(BLIND, "1", max_age=_YEAR_S, httponly=True, samesite="lax")
        else:
            answer.delete_cookie(BLIND, httponly=True, samesite="lax")
        return answer

    return router


def _opinions(shared: FeedbackPages) -> APIRouter:
    router = APIRouter(prefix="/saved/{case_id}")

    @router.get("/blind")
    async def before_the_model(case_id: str, request: Request) -> Response:
        account = shared.clinician(request)
        saved = await shared.saved(case_id)
        opinions = await run_in_threadpool(shared.opinions.of_case, case_id)
        if any(one.account_id == account.id for one in opinions):
            return RedirectResponse(f"/saved/{case_id}#opinion", 303)
        words = translator(language_of(request))
        return shared.pages.page(
            request,
            "opinion_blind.html",
            f=opinion_form(saved, words, blind=True),
            facts=result_view(saved.case, shared.service.predictor, words).facts,
            photos=saved.case.photos,
            saved=saved.saved.astimezone(),
            **_CHOICES,
        )

    @router.post("/opinion")
    async def give(case_id: str, request: Request) -> Response:
        account = shared.clinician(request)
        form = await shared.form(request)
        answer, version = _read_answer(form), _read_version(form)
        blind, informed = bool(form.first("blind")), bool(form.first("informed"))
        work = partial(shared.opinions.give, case_id, version, account, answer)
        if await run_in_threadpool(partial(work, blind=blind, informed=informed)):
            return RedirectResponse(f"/saved/{case_id}#opinion", 303)
        return await shared.changed(case_id, request, account, answer, blind=blind)

    return router


def _agreement(shared: FeedbackPages) -> APIRouter:
    router = APIRouter()

    @router.get("/agreement")
    async def show(request: Request, view: Annotated[str, Query()] = OWN) -> Response:
        account = shared.clinician(request)
        if view not in (OWN, *view_names()):
            raise AppError("field", field="view")
        workload, words = shared.service.workload, translator(language_of(request))
        async with workload.place():
            work = partial(figures, shared.archive.database, view, _RESAMPLING)
            found = await workload.run(work)
        ready = None
        if account.role is Role.ADMIN:
            ready = await run_in_threadpool(readiness, shared.archive)
        return shared.pages.page(
            request,
            "agreement.html",
            home=f"/agreement?view={view}",
            found=found,
            models=model_tables(found, words),
            doctors=doctor_rows(found, words),
            view=view,
            views=(OWN, *view_names()),
            level=words.percent(_RESAMPLING.level),
            ready=ready,
        )

    return router


def _handover(shared: FeedbackPages) -> APIRouter:
    router = APIRouter()

    @router.post("/feedback")
    async def hand_over(request: Request) -> Response:
        account = shared.guard.require(request, Role.ADMIN)
        await shared.form(request)
        workload = shared.service.workload
        # A file without a name in the archive's own folder: nothing of it stays, whatever happens.
        with clear_errors(), contextlib.ExitStack() as opened:
            packed = tempfile.TemporaryFile(dir=shared.archive.folder, prefix=".")  # noqa: SIM115
            opened.enter_context(packed)
            async with workload.place():
                await workload.run(partial(write_zip, shared.archive, packed, account))
            opened.pop_all()  # the answer closes it
        name = f"cutis-feedback-{datetime.now(UTC):%Y-%m-%d}.zip"
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(packed.seek(0, os.SEEK_END)),
        }
        return StreamingResponse(_pieces(packed), media_type="application/zip", headers=headers)

    return router


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    """A file from its start, which is closed then."""
    with file:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece


def _read_answer(form: Form) -> Answer:
    """What the form says; the button that confirms the model's answer goes before the list."""
    answer = Answer(
        diagnosis=form.first("confirm") or form.first("diagnosis") or "",
        confirmed_by=form.first("confirmed_by") or "",
        comment=plain_text(form.first("comment") or "") or None,
    )
    check_answer(answer)
    return answer


def _read_version(form: Form) -> int:
    given = form.first("version") or ""
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise AppError("field", field="version")
    return int(given)
