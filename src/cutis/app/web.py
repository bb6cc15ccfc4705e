"""The pages: forms and results as HTML in the reader's language.

They work without JavaScript; `static/app.js` adds to them.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.params import Depends
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from cutis import __version__
from cutis.app.api import SCHEMA
from cutis.app.cases import LONGEST_NOTE, OLDEST, SEXES, SITES, SYMPTOMS
from cutis.app.errors import AppError
from cutis.app.forms import CSRF_FIELD, PHOTOS, Form, read_form
from cutis.app.i18n import Translator, languages, translator
from cutis.app.intake import photo_kinds
from cutis.app.language import COOKIE, PARAMETER, language_of
from cutis.app.security import Csrf
from cutis.app.service import CaseService
from cutis.app.settings import MAX_PHOTOS
from cutis.app.views import measure_rows
from cutis.runtime.bundle import MODEL_FILES

if TYPE_CHECKING:
    from cutis.app.result_page import ResultPage

_FOLDER = Path(__file__).parent
_YEAR_S = 365 * 24 * 3600
CARD = "/about/MODEL_CARD.md"
_SCRIPT_TEXTS = ("script", "hint", "camera")  # groups that app.js fills
_TYPES = {".css": "text/css", ".js": "text/javascript", ".woff2": "font/woff2"}


class Static(StaticFiles):
    """The folder `static`: asked for anew each time but not sent again while unchanged."""

    def __init__(self) -> None:
        super().__init__(directory=_FOLDER / "static")

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, of a type that does not depend on the system's tables."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        kind = _TYPES.get(Path(path).suffix)
        if kind is not None and "content-type" in response.headers:
            response.headers["Content-Type"] = f"{kind}; charset=utf-8"
        return response


class Pages:
    """Renders templates with what all pages show.

    Args:
        service: the cases, the model and the limits.
        csrf: makes and checks the tokens of forms.
    """

    def __init__(self, service: CaseService, csrf: Csrf) -> None:
        self._service = service
        self._csrf = csrf
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(
        self, request: Request, template: str, *, home: str | None = None, **shown: Any
    ) -> HTMLResponse:
        """A page in the reader's language; `?lang=` is kept in a cookie.

        Args:
            home: where the language switch leads, by default the page itself.
        """
        words = translator(language_of(request))
        content = self._templates.get_template(template).render(
            t=words,
            path=home or request.url.path,
            current=request.url.path,
            languages=[(code, translator(code)) for code in languages()],
            version=__version__,
            licence=self._service.predictor.model_info.licence,
            account=getattr(request.state, "account", None),
            archived=request.app.state.archive is not None,
            hidden_token=partial(self._hidden_token, request),
            **shown,
        )
        response = HTMLResponse(content, headers={"Vary": "Accept-Language, Cookie"})
        if request.query_params.get(PARAMETER) in languages():
            response.set_cookie(
                COOKIE, words.language, max_age=_YEAR_S, httponly=True, samesite="lax"
            )
        return response

    def _hidden_token(self, request: Request) -> Markup:
        """The field that every form needs, for a template to ask for."""
        field = Markup('<input type="hidden" name="{}" value="{}">')
        return field.format(CSRF_FIELD, self._csrf.token(request))

    def form(self, request: Request) -> dict[str, Any]:
        """What the form with photos shows, in every place where it stands."""
        words = translator(language_of(request))
        settings = self._service.settings
        groups = [words.texts(group) for group in _SCRIPT_TEXTS]
        texts = {key: text for group in groups for key, text in group.items()}
        size, pixels = settings.max_upload_mb, settings.max_megapixels
        return {
            "csrf_field": CSRF_FIELD,
            "csrf_token": self._csrf.token(request),
            "photos_field": PHOTOS,
            "heic": "HEIC" in photo_kinds(),
            "accept": ",".join(f"image/{kind.lower()}" for kind in photo_kinds()),
            "limits": {
                "size": words.text("unit.mb", value=size),
                "pixels": words.text("unit.megapixels", value=pixels),
                "bytes": settings.photo_bytes,
                "note": LONGEST_NOTE,
                "age": OLDEST,
                "photos": MAX_PHOTOS,
            },
            "minutes": self.minutes,
            "texts": json.dumps({**texts, "digits": "".join(map(words.number, range(10)))}),
        }

    def error(self, request: Request, error: AppError) -> Response:
        """The page of an error; it leads back to its case if that is still there."""
        words = translator(language_of(request))
        message, fix = error.words(words)
        steps = request.url.path.split("/")
        back = "/"
        if len(steps) > 3 and steps[1] in ("cases", "saved"):
            known = steps[1] == "saved" or self._service.store.get(steps[2]) is not None
            back = "/".join(steps[:3]) if known else back
        page = self.page(
            request, "error.html", home=back, message=message, fix=fix, status=error.status_code
        )
        page.status_code = error.status_code
        page.headers.update(error.headers or {})
        return page

    @property
    def minutes(self) -> int:
        """In which an unused case is deleted."""
        return max(1, round(self._service.settings.lifetime_s / 60))

    def check(self, request: Request) -> Callable[[Form], None]:
        """Raises AppError `session` for a form without the token of its reader."""

        def of_form(form: Form) -> None:
            self._csrf.check(request, form.first(CSRF_FIELD))

        return of_form


def web_router(service: CaseService, pages: Pages, result: "ResultPage") -> APIRouter:
    """The routes of the pages."""
    router = APIRouter(include_in_schema=False)
    router.include_router(_texts(service, pages))
    router.include_router(_cases(service, pages, result))
    router.include_router(layer_router(service, pages, "/cases"))
    return router


def _texts(service: CaseService, pages: Pages) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    async def start(request: Request) -> Response:
        return pages.page(
            request,
            "start.html",
            deleted="deleted" in request.query_params,
            diagnoses=service.predictor.info.diagnoses,
            sexes=SEXES,
            sites=SITES,
            symptoms=SYMPTOMS,
            left=MAX_PHOTOS,
            **pages.form(request),
        )

    @router.get("/help")
    async def advice(request: Request) -> Response:
        return pages.page(request, "help.html")

    @router.get("/about")
    async def about(request: Request) -> Response:
        predictor = service.predictor
        return pages.page(
            request,
            "about.html",
            info=predictor.info,
            model=predictor.model_info,
            network=f"{predictor.model}, {predictor.engine}",
            sha256=predictor.info.files.get(MODEL_FILES.get(predictor.model, "")),
            segmenter=service.segmenter.info if service.segmenter else None,
            policy=predictor.policy,
            minutes=pages.minutes,
            schema=SCHEMA,
            card=CARD if predictor.card else None,
        )

    @router.get(CARD)
    async def card() -> Response:
        return Response(service.predictor.card, media_type="text/plain; charset=utf-8")

    return router


def _cases(service: CaseService, pages: Pages, result: "ResultPage") -> APIRouter:
    router = APIRouter()

    @router.post("/cases")
    async def create(request: Request) -> Response:
        case = await service.create(request, pages.check(request))
        return RedirectResponse(f"/cases/{case.id}", 303)

    @router.get("/cases/{case_id}")
    async def show(case_id: str, request: Request) -> Response:
        if service.store.get(case_id) is None and request.app.state.guard.current(request):
            return RedirectResponse(f"/saved/{quote(case_id)}", 303)  # it may have been saved
        return await result.show(request, service.case(case_id))

    @router.post("/cases/{case_id}/photos")
    async def add(case_id: str, request: Request) -> Response:
        case = await service.add_photos(case_id, request, pages.check(request))
        return RedirectResponse(f"/cases/{case.id}", 303)

    @router.post("/cases/{case_id}/delete")
    async def delete(case_id: str, request: Request) -> Response:
        form = await read_form(request, service.settings)
        pages.check(request)(form)
        service.delete(case_id)
        return RedirectResponse("/?deleted=1", 303)

    return router


def layer_router(
    service: CaseService, pages: Pages, at: str, dependencies: Sequence[Depends] = ()
) -> APIRouter:
    """The photos of cases and what lies over them.

    Args:
        at: where the cases are, "/cases" or "/saved".
        dependencies: of every route.
    """
    router = APIRouter(
        prefix=f"{at}/{{case_id}}/photos", dependencies=dependencies, include_in_schema=False
    )
    png = partial(Response, media_type="image/png")

    @router.get("/{number}.jpg")
    async def photo(case_id: str, number: int) -> Response:
        return Response(service.photo(case_id, number).preview, media_type="image/jpeg")

    @router.get("/{number}/outline.png")
    async def outline(case_id: str, number: int) -> Response:
        return png(await service.outline(case_id, number))

    @router.get("/{number}/heat.png")
    async def heat(
        case_id: str, number: int, diagnosis: Annotated[str | None, Query()] = None
    ) -> Response:
        return png(await service.heat_map(case_id, number, diagnosis))

    @router.get("/{number}/measures")
    async def measures(case_id: str, number: int, request: Request) -> Response:
        words: Translator = translator(language_of(request))
        measured = json.loads(await service.measures(case_id, number))
        rows = measure_rows(measured, words)
        back = f"{at}/{case_id}"
        return pages.page(request, "measures.html", rows=rows, at_case=back, number=number)

    return router
