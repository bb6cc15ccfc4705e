"""The page of a case's result, in memory or saved, and what others put into it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from cutis import __version__
from cutis.app.accounts.accounts import Account, Role
from cutis.app.accounts.guard import Guard
from cutis.app.archive.archive import SavedCase
from cutis.app.archive.schema import LONGEST_PATIENT
from cutis.app.cases import Case
from cutis.app.i18n import translator
from cutis.app.language import language_of
from cutis.app.service import CaseService
from cutis.app.settings import MAX_PHOTOS
from cutis.app.views import result_view
from cutis.app.web import Pages
from cutis.runtime import Predictor
from cutis.runtime.bundle import MODEL_FILES


class Shown(NamedTuple):
    """A case on its page."""

    case: Case
    at: str  # "/cases/ID" or "/saved/ID"
    saved: SavedCase | None  # None: a case in memory
    account: Account | None  # who looks at it; None: a visitor


Slot = Callable[[Request, Shown], Awaitable[Mapping[str, object]]]
"""Gives what one of the templates that result.html includes needs, by name."""


class ResultPage:
    """Renders `result.html`.

    Attributes:
        slots: asked for each page, in turn.
    """

    def __init__(self, service: CaseService, pages: Pages, guard: Guard) -> None:
        self.slots: list[Slot] = []
        self._service = service
        self._pages = pages
        self._guard = guard

    async def show(self, request: Request, case: Case, saved: SavedCase | None = None) -> Response:
        """The page in the reader's language."""
        at = f"/cases/{case.id}" if saved is None else f"/saved/{case.id}"
        shown = Shown(case, at, saved, self._guard.current(request))
        more: dict[str, Any] = {}
        for slot in self.slots:
            more.update(await slot(request, shown))
        service = self._service
        words = translator(language_of(request))
        other_network = saved is not None and judged_by_another(saved, service.predictor)
        provenance = service.predictor.model_info.provenance
        model = f"{provenance.recipe}, {service.predictor.model}, Cutis {__version__}"
        return self._pages.page(
            request,
            "result.html",
            case=case,
            at_case=at,
            saved=saved,
            may_delete=saved is None or may_delete(saved, shown.account),
            other_network=other_network,
            longest_patient=LONGEST_PATIENT,
            model=saved.bundle if saved else model,
            outlined=service.segmenter is not None,
            r=result_view(case, service.predictor, words, other_network=other_network),
            left=MAX_PHOTOS - len(case.photos),
            created=case.created.astimezone(),
            **self._pages.form(request),
            **more,
        )


def bundle_name(predictor: Predictor) -> str:
    """What answers, as saved cases name it: recipe, network and the SHA-256 of its file."""
    network = predictor.model
    sha256 = predictor.info.files.get(MODEL_FILES.get(network, ""), "")
    return f"{predictor.model_info.provenance.recipe} {network} {sha256}".strip()


def judged_by_another(saved: SavedCase, predictor: Predictor) -> bool:
    """Whether another network than the predictor's has judged a saved case."""
    return saved.bundle != bundle_name(predictor)


def may_see(saved: SavedCase, account: Account) -> bool:
    """A reporter sees the own cases, a clinician all."""
    return account.role is not Role.REPORTER or saved.reporter.id == account.id


def may_delete(saved: SavedCase, account: Account | None) -> bool:
    """Who has saved a case deletes it, or an admin."""
    if account is None:
        return False
    return account.role is Role.ADMIN or saved.reporter.id == account.id
