"""`/api/v1`: the same cases for programs, as JSON."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime

from cutis import __version__
from cutis.app.cases import LONGEST_NOTE, OLDEST, SEXES, SITES, SYMPTOMS, Case, CaseFacts, Judgement
from cutis.app.forms import PHOTOS
from cutis.app.intake import photo_kinds
from cutis.app.service import CaseService
from cutis.app.settings import MAX_PHOTOS
from cutis.records import NOTICE, Record
from cutis.runtime.bundle import BundleDiagnosis

PREFIX = "/api/v1"
SCHEMA = f"{PREFIX}/openapi.json"


class Limits(Record):
    """What one case may hold."""

    photos: int
    upload_mb: int  # of each photo
    megapixels: int  # likewise
    kinds: tuple[str, ...]
    lifetime_s: float  # seconds after its last use in which a case is forgotten


class ModelBody(Record):
    """The model that answers."""

    cutis_version: str
    architecture: str
    recipe: str
    network: str  # fp32, int8 or tflite
    engine: str
    diagnoses: tuple[BundleDiagnosis, ...]
    policy: bool  # false: it gives probabilities and no verdicts
    segmenter: bool  # false: there are no outlines and measures
    licence: str  # of the weights
    limits: Limits
    notice: str


class PhotoBody(Record):
    """One photo of a case; the addresses are paths on this server."""

    number: int
    width: int  # of the photo as it is kept, pixels
    height: int
    photo: str
    heat: str
    outline: str | None  # None: the model has no segmenter
    measures: str | None


class CaseBody(Record):
    """A case with its judgement."""

    id: str
    created: AwareDatetime
    photos: tuple[PhotoBody, ...]
    facts: CaseFacts
    judgement: Judgement
    notice: str


class ErrorDetail(Record):
    """What went wrong, and what to do; `code` does not depend on the language."""

    code: str
    message: str
    fix: str


class ErrorBody(Record):
    """The answer to a request that failed."""

    error: ErrorDetail


class Health(Record):
    """Whether the server runs, or is ready for a case."""

    status: str


CaseId = Annotated[str, Path(description="As `POST /cases` gave it.")]
Number = Annotated[int, Path(description="Of the photo in its case, from 1.")]

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [PHOTOS],
                    "properties": {
                        PHOTOS: {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MAX_PHOTOS,
                            "items": {"type": "string", "format": "binary"},
                        },
                        "age": {"type": "integer", "minimum": 0, "maximum": OLDEST},
                        "sex": {"type": "string", "enum": list(SEXES)},
                        "site": {"type": "string", "enum": list(SITES)},
                        "symptoms": {
                            "type": "array",
                            "items": {"type": "string", "enum": list(SYMPTOMS)},
                        },
                        "note": {"type": "string", "maxLength": LONGEST_NOTE},
                    },
                },
                "encoding": {"symptoms": {"style": "form", "explode": True}},
            }
        },
    }
}
_PNG: dict[str, Any] = {"content": {"image/png": {"schema": {"type": "string"}}}}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody} for status in (400, *statuses)}


_READ = _errors(404)
_LAYER = _errors(404, 422, 503)
_SENT = _errors(403, 408, 413, 415, 422, 503)


def api_router(service: CaseService) -> APIRouter:
    """The routes of `/api/v1`, and of health and readiness."""
    router = APIRouter()
    router.include_router(_health(service))
    router.include_router(_cases(service))
    router.include_router(_layers(service))
    return router


def _health(service: CaseService) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health", responses=_errors())
    async def health() -> Health:
        """The server runs."""
        return Health(status="ok")

    @router.get("/ready", responses={**_errors(), 503: {"model": Health}})
    async def ready(response: Response) -> Health:
        """The model is loaded and there is room for a case; 503 where all places are taken."""
        if not service.workload.is_full:
            return Health(status="ready")
        response.status_code = 503
        response.headers["Retry-After"] = str(service.workload.retry_after)
        return Health(status="busy")

    return router


def _cases(service: CaseService) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["cases"])

    @router.get("/model", responses=_errors())
    async def model() -> ModelBody:
        """The model, its diagnoses and the limits."""
        return _model(service)

    @router.post(
        "/cases", status_code=201, openapi_extra=_FORM, responses=_SENT, response_model=CaseBody
    )
    async def create_case(request: Request, response: Response) -> CaseBody:
        """Judge one to three photos of one spot together.

        The facts are recorded for the clinician; the model does not use them.
        """
        case = await service.create(request)
        response.headers["Location"] = f"{PREFIX}/cases/{case.id}"
        return _body(case, service)

    @router.get("/cases/{case_id}", responses=_READ)
    async def read_case(case_id: CaseId) -> CaseBody:
        """A case as it stands; its time begins anew."""
        return _body(service.case(case_id), service)

    @router.delete("/cases/{case_id}", status_code=204, responses=_errors(403, 404))
    async def delete_case(case_id: CaseId) -> None:
        """Forget a case at once."""
        service.delete(case_id)

    @router.post("/cases/{case_id}/photos", openapi_extra=_FORM, responses={**_SENT, **_READ})
    async def add_photos(case_id: CaseId, request: Request) -> CaseBody:
        """Add photos to a case and judge all of them together; facts are not changed."""
        return _body(await service.add_photos(case_id, request), service)

    return router


def _layers(service: CaseService) -> APIRouter:
    router = APIRouter(prefix=PREFIX + "/cases/{case_id}/photos/{number}", tags=["layers"])
    jpeg = {"content": {"image/jpeg": {"schema": {"type": "string"}}}}

    @router.get("/photo.jpg", response_class=Response, responses={200: jpeg, **_errors(404, 422)})
    async def photo(case_id: CaseId, number: Number) -> Response:
        """The photo as it is kept: smaller, and without what the camera wrote beside it."""
        return Response(service.photo(case_id, number).preview, media_type="image/jpeg")

    @router.get("/outline.png", response_class=Response, responses={200: _PNG, **_LAYER})
    async def outline(case_id: CaseId, number: Number) -> Response:
        """The lesion's outline, transparent elsewhere; of the photo's size."""
        return Response(await service.outline(case_id, number), media_type="image/png")

    @router.get("/heat.png", response_class=Response, responses={200: _PNG, **_LAYER})
    async def heat(
        case_id: CaseId,
        number: Number,
        diagnosis: Annotated[str | None, Query(description="Else the most probable one.")] = None,
    ) -> Response:
        """What a diagnosis hangs on in the photo, found by covering parts of it."""
        drawn = await service.heat_map(case_id, number, diagnosis)
        return Response(drawn, media_type="image/png")

    json = {"content": {"application/json": {"schema": {"type": "object"}}}}

    @router.get("/measures.json", response_class=Response, responses={200: json, **_LAYER})
    async def measures(case_id: CaseId, number: Number) -> Response:
        """Measures of the lesion. They describe it and do not say whether it is harmless."""
        measured = await service.measures(case_id, number)
        return Response(measured, media_type="application/json")

    return router


def _model(service: CaseService) -> ModelBody:
    predictor, settings = service.predictor, service.settings
    return ModelBody(
        cutis_version=__version__,
        architecture=predictor.model_info.architecture,
        recipe=predictor.model_info.provenance.recipe,
        network=predictor.model,
        engine=predictor.engine,
        diagnoses=predictor.info.diagnoses,
        policy=predictor.policy is not None,
        segmenter=service.segmenter is not None,
        licence=predictor.model_info.licence,
        limits=Limits(
            photos=MAX_PHOTOS,
            upload_mb=settings.max_upload_mb,
            megapixels=settings.max_megapixels,
            kinds=photo_kinds(),
            lifetime_s=settings.lifetime_s,
        ),
        notice=NOTICE,
    )


def _body(case: Case, service: CaseService) -> CaseBody:
    outlined = service.segmenter is not None
    photos = []
    for number, photo in enumerate(case.photos, 1):
        place = f"{PREFIX}/cases/{case.id}/photos/{number}"
        photos.append(
            PhotoBody(
                number=number,
                width=photo.width,
                height=photo.height,
                photo=f"{place}/photo.jpg",
                heat=f"{place}/heat.png",
                outline=f"{place}/outline.png" if outlined else None,
                measures=f"{place}/measures.json" if outlined else None,
            )
        )
    return CaseBody(
        id=case.id,
        created=case.created,
        photos=tuple(photos),
        facts=case.facts,
        judgement=case.judgement,
        notice=NOTICE,
    )
