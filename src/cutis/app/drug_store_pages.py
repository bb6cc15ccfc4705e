"""The drug store on the pages: beside a result, and what it holds. Without one there is neither."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from cutis.app.archive.archive import Archive
from cutis.app.drug_store.provider import DrugStore
from cutis.app.drug_store.rules import YOUNGEST, self_care_diagnoses
from cutis.app.drug_store.shelf import item, shelf
from cutis.app.errors import AppError
from cutis.app.feedback.opinions import Opinion, Opinions, hidden_from, latest
from cutis.app.i18n import translator
from cutis.app.language import language_of
from cutis.app.result_page import ResultPage, Shown
from cutis.app.service import CaseService
from cutis.app.web import Pages

PAGE_SIZE = 50
"""Products on one page of the catalogue."""


def add_drug_store(app: FastAPI, store: DrugStore | None) -> None:
    """Puts the products on the page of every result, and adds `/drug-store`."""
    service: CaseService = app.state.service
    result: ResultPage = app.state.result
    archive: Archive | None = app.state.archive

    async def opinions_on(shown: Shown) -> tuple[Opinion, ...]:
        if shown.saved is None or archive is None:
            return ()
        opinions = Opinions(archive.database)
        return latest(await run_in_threadpool(opinions.of_case, shown.case.id))

    async def slot(request: Request, shown: Shown) -> Mapping[str, object]:
        if store is None:
            return {"shelf": None}
        case, words = shown.case, translator(language_of(request))
        described = service.predictor.info.diagnoses
        given = await opinions_on(shown)
        if hidden_from(shown.account, given):
            return {"shelf": None}  # it would tell what they say
        said = [opinion.answer.diagnosis for opinion in given]
        return {"shelf": await shelf(store, case.judgement, case.facts, described, words, said)}

    result.slots.append(slot)
    if store is not None:
        app.include_router(_catalogue(app.state.pages, store))


def _catalogue(pages: Pages, store: DrugStore) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    allowed = tuple(product for product in store.listing if self_care_diagnoses(product))
    last = max(1, -(-len(allowed) // PAGE_SIZE))

    @router.get("/drug-store")
    async def catalogue(request: Request, page: Annotated[int, Query()] = 1) -> Response:
        if not 1 <= page <= last:
            raise AppError("not_found")
        words = translator(language_of(request))
        start = (page - 1) * PAGE_SIZE
        return pages.page(
            request,
            "drug_store_page.html",
            items=[item(product, words) for product in allowed[start : start + PAGE_SIZE]],
            allowed=len(allowed),
            held=len(store.listing),
            host=store.host,
            number=page,
            last=last,
            youngest=YOUNGEST,
        )

    return router
