"""The pages of saved cases, and of the audit log."""

import copy
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from cutis.app.accounts.accounts import Account, Role
from cutis.app.accounts.guard import Guard
from cutis.app.archive.archive import Archive, SavedCase
from cutis.app.archive.schema import LONGEST_PATIENT
from cutis.app.cases import CaseStore
from cutis.app.errors import AppError
from cutis.app.forms import Form, plain_text, read_form
from cutis.app.i18n import translator
from cutis.app.language import language_of
from cutis.app.result_page import ResultPage, bundle_name, may_delete, may_see
from cutis.app.saved_views import audit_view, listing_view
from cutis.app.service import CaseService
from cutis.app.web import Pages, layer_router

SAVE, TRAIN, PATIENT = "save", "train", "patient"
"""Fields of the form that saves a case: two consents, each "yes" or absent, and a code."""

_MEMORY_SHARE = 4  # of the memory for cases, one part is for what is drawn on saved ones
_LAST_PAGE = 1_000_000

Page = Annotated[int, Query(ge=1, le=_LAST_PAGE)]


class SavedPages:
    """What the routes of saved cases do.

    Attributes:
        archive: the cases.
        opened: as the service of cases in memory, for saved cases that somebody looks at.
    """

    def __init__(self, service: CaseService, archive: Archive, guard: Guard) -> None:
        settings = service.settings
        self.archive = archive
        self.opened = copy.copy(service)
        self.opened.store = CaseStore(
            settings.capacity, settings.lifetime_s, max(1, settings.memory_mb // _MEMORY_SHARE)
        )
        self._service = service
        self._guard = guard

    async def case(self, case_id: str, request: Request) -> SavedCase:
        """A saved case for somebody who may see it; AppError for everybody else."""
        account = self._guard.require(request)
        saved = await run_in_threadpool(self.archive.case, case_id)
        if saved is None or not may_see(saved, account):  # the same for both: nothing is told
            raise AppError("saved_not_found")
        return saved

    async def open(self, case_id: str, request: Request) -> None:
        """Puts a saved case where its layers are drawn, for who may see it."""
        saved = await self.case(case_id, request)
        if self.opened.store.get(case_id) != saved.case:
            self.opened.store.add(saved.case)

    async def save(self, case_id: str, form: Form, account: Account, language: str) -> None:
        """Moves a case from memory to the archive, as its form says."""
        consents = {name for name in (SAVE, TRAIN) if form.first(name) == "yes"}
        if SAVE not in consents:
            raise AppError("consent")
        patient = plain_text(form.first(PATIENT) or "")
        if len(patient) > LONGEST_PATIENT or "\n" in patient:
            raise AppError("patient", limit=LONGEST_PATIENT)
        case = self._service.case(case_id)
        save = partial(
            self.archive.save,
            case,
            account,
            patient=patient or None,
            may_train=TRAIN in consents,
            bundle=bundle_name(self._service.predictor),
            language=language,
        )
        await run_in_threadpool(save)
        if self._service.store.get(case_id) is case:  # nobody has added a photo in the meantime
            self._service.store.remove(case_id)

    async def delete(self, case_id: str, request: Request) -> None:
        """Deletes a case with all it left, here and on the disk."""
        saved = await self.case(case_id, request)
        account = self._guard.require(request)
        if not may_delete(saved, account):
            raise AppError("not_allowed")
        await run_in_threadpool(self.archive.delete, case_id, account)
        self.opened.store.remove(case_id)
        self._service.store.remove(case_id)


def saved_router(
    service: CaseService, pages: Pages, result: ResultPage, saved: SavedPages, guard: Guard
) -> APIRouter:
    """The routes of saved cases."""
    router = APIRouter(include_in_schema=False)

    @router.post("/cases/{case_id}/save")
    async def save(case_id: str, request: Request) -> Response:
        account = guard.require(request)
        form = await read_form(request, service.settings)
        pages.check(request)(form)
        await saved.save(case_id, form, account, language_of(request))
        return RedirectResponse(f"/saved/{case_id}", 303)

    @router.get("/saved")
    async def listing(request: Request, page: Page = 1) -> Response:
        account = guard.require(request)
        own = account.id if account.role is Role.REPORTER else None
        found = await run_in_threadpool(saved.archive.listing, reporter_id=own, page=page)
        words = translator(language_of(request))
        return pages.page(
            request,
            "saved_cases.html",
            own=own is not None,
            deleted="deleted" in request.query_params,
            cases=listing_view(found, service.predictor, words),
            listing=found,
        )

    @router.get("/saved/{case_id}")
    async def show(case_id: str, request: Request) -> Response:
        found = await saved.case(case_id, request)
        return await result.show(request, found.case, found)

    @router.post("/saved/{case_id}/delete")
    async def delete(case_id: str, request: Request) -> Response:
        guard.require(request)
        pages.check(request)(await read_form(request, service.settings))
        await saved.delete(case_id, request)
        return RedirectResponse("/saved?deleted=1", 303)

    @router.get("/audit")
    async def audit(request: Request, page: Page = 1) -> Response:
        guard.require(request, Role.ADMIN)
        lines, last = await run_in_threadpool(saved.archive.audit, page)
        words = translator(language_of(request))
        return pages.page(
            request,
            "saved_audit.html",
            lines=audit_view(lines, words),
            number=min(page, last),
            last=last,
        )

    router.include_router(layer_router(saved.opened, pages, "/saved", [Depends(saved.open)]))
    return router
