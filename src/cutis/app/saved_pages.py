"""The pages of saved cases, and of the audit log."""

import copy
import unicodedata
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
from cutis.app.spelling import one_spelling
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
        if self.opened.store.get(case_id) == saved.case:
            return
        self.opened.store.add(saved.case)
        try:
            await self.case(case_id, request)  # a deletion may have come before it was put there
        except AppError:
            self.opened.store.remove(case_id)
            raise

    async def save(self, case_id: str, form: Form, account: Account, language: str) -> None:
        """Moves a case from memory to the archive, as its form says."""
        consents = {name for name in (SAVE, TRAIN) if form.first(name) == "yes"}
        if SAVE not in consents:
            raise AppError("consent")
        patient = clean_patient(form.first(PATIENT) or "")
        case = self._service.case(case_id)
        save = partial(
            self.archive.save,
            case,
            account,
            patient=patient,
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
        try:
            await run_in_threadpool(self.archive.delete, case_id, account)
        finally:  # it may be gone although the database's answer was lost
            self.opened.store.remove(case_id)
            self._service.store.remove(case_id)


def clean_patient(text: str) -> str | None:
    """A patient's code as it is kept, in one spelling; None for an empty one.

    Raises AppError `patient` for a long one, and for one of several lines.
    """
    plain = plain_text(text)
    # joiners and marks of direction are not seen, and not everybody types them
    seen = (sign for sign in one_spelling(plain) if unicodedata.category(sign) != "Cf")
    code = " ".join("".join(seen).split())
    if len(code) > LONGEST_PATIENT or "\n" in plain:
        raise AppError("patient", limit=LONGEST_PATIENT)
    return code or None


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
