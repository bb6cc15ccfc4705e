"""The app put together, and the server that runs it."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from cutis import __version__
from cutis.app import judging
from cutis.app import layers as drawing
from cutis.app.account_pages import AccountPages, account_router
from cutis.app.accounts.guard import Guard, Identify
from cutis.app.accounts.people import People
from cutis.app.api import SCHEMA, api_router
from cutis.app.archive.archive import Archive
from cutis.app.chat.chat import Chat
from cutis.app.chat_pages import add_chat
from cutis.app.drug_store.provider import DrugStore
from cutis.app.drug_store_pages import add_drug_store
from cutis.app.errors import AppError
from cutis.app.feedback_pages import add_feedback
from cutis.app.i18n import translator
from cutis.app.language import language_of
from cutis.app.result_page import ResultPage
from cutis.app.saved_pages import SavedPages, saved_router
from cutis.app.security import API, Csrf, Gate, Render
from cutis.app.service import CaseService, Judge, Layers
from cutis.app.settings import Settings
from cutis.app.web import Pages, Static, web_router
from cutis.errors import InputError
from cutis.records import NOTICE
from cutis.runtime import Predictor, Segmenter

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

_SWEEP_S = 30.0  # between two looks for cases whose time is over
_TIDY_S = 3600.0  # between two looks for photos that no saved case uses
_TRIED_PORTS = 50
_LAST_PORT = 65535

# FastAPI reports requests, addresses included, where OpenTelemetry is installed and set up.
_NO_TELEMETRY: "TelemetryConfig" = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}


def create_app(
    predictor: Predictor,
    segmenter: Segmenter | None,
    settings: Settings,
    *,
    judge: Judge = judging.judge,
    layers: Layers = drawing,
    archive: Archive | None = None,
    chat: Chat | None = None,
    drug_store: DrugStore | None = None,
) -> FastAPI:
    """The app around a loaded bundle.

    Args:
        segmenter: outlines lesions; None for a bundle without one.
        judge: answers the photos of a case.
        layers: draws what lies over a photo, and measures it.
        archive: where cases may be saved, and who has an account; None keeps cases in memory only.
        chat: answers questions about a case; None answers from Cutis's own texts by search.
        drug_store: offers care from a pharmacy; None shows nothing of it.
    """
    service = CaseService(predictor, segmenter, settings, judge, layers)
    app = FastAPI(
        title="Cutis",
        description=NOTICE,
        version=__version__,
        openapi_url=SCHEMA,
        docs_url=None,  # these pages would come from a CDN
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.state.service = service
    app.state.csrf = Csrf()
    app.state.pages = Pages(service, app.state.csrf)
    app.state.archive = archive
    app.state.chat = chat or Chat(capacity=settings.capacity, lifetime_s=settings.lifetime_s)
    app.state.drug_store = drug_store
    app.state.guard = Guard(archive)
    app.state.result = ResultPage(service, app.state.pages, app.state.guard)
    app.include_router(api_router(service))
    app.include_router(web_router(service, app.state.pages, app.state.result))
    if archive is not None:
        _add_archive(app, archive)
    _add_extras(app)
    app.mount("/static", Static())
    _install_errors(app, render_error)
    app.add_middleware(Gate, settings=settings, render=render_error, uploads=_takes_photos)
    return app


def _add_archive(app: FastAPI, archive: Archive) -> None:
    """What there is only where cases are saved: their pages, accounts, the doctor's loop."""
    service, guard = app.state.service, app.state.guard
    saved = SavedPages(service, archive, guard)
    app.state.saved = saved
    app.include_router(saved_router(service, app.state.pages, app.state.result, saved, guard))
    people = People(archive)
    app.state.people = people
    account_pages = AccountPages(people, guard, app.state.pages, service.settings)
    app.state.account_pages = account_pages
    app.include_router(account_router(account_pages))
    app.add_middleware(Identify, sessions=people.sessions)
    add_feedback(app, archive)


def _add_extras(app: FastAPI) -> None:
    """What stands on the page of every case: the chat and the drug store."""
    add_drug_store(app, app.state.drug_store)
    add_chat(app, app.state.chat)


def render_error(request: Request, error: AppError) -> Response:
    """The answer of an error in the reader's language: JSON of the API, else a page."""
    if request.url.path.startswith(API):
        body = error.body(translator(language_of(request)))
        return JSONResponse(body, error.status_code, error.headers)
    pages: Pages = request.app.state.pages
    return pages.error(request, error)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: CaseService = app.state.service

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            service.store.sweep()
            app.state.chat.conversations.sweep()
            if app.state.archive is not None:
                app.state.saved.opened.store.sweep()

    sweeping = asyncio.create_task(sweep())
    async with _tidying(app.state.archive):
        yield
    sweeping.cancel()
    service.workload.close()
    if app.state.archive is not None:
        app.state.account_pages.close()


@contextlib.asynccontextmanager
async def _tidying(archive: Archive | None) -> AsyncIterator[None]:
    """Now and then deletes what deletions and saves that failed have left on the disk."""
    ended = asyncio.Event()

    async def tidy() -> None:
        while archive is not None and not ended.is_set():
            try:
                await asyncio.wait_for(ended.wait(), _TIDY_S)
            except TimeoutError:
                with contextlib.suppress(AppError):  # the next time
                    await run_in_threadpool(archive.sweep)

    task = asyncio.create_task(tidy())
    yield
    ended.set()
    await task  # a thread that has begun would else outlive the archive


def _takes_photos(method: str, path: str) -> bool:
    return method == "POST" and path.endswith(("/cases", "/photos"))


def _install_errors(app: FastAPI, render: Render) -> None:
    """Every error of the routes and of the framework as one of ours."""

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return render(request, AppError.of_framework(error))

    async def of_values(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        place = error.errors()[0]["loc"]
        return render(request, AppError("field", field=str(place[-1])[:40]))

    async def of_app(request: Request, error: Exception) -> Response:
        assert isinstance(error, AppError)
        return render(request, error)

    app.add_exception_handler(AppError, of_app)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(RequestValidationError, of_values)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free.

    Raises InputError for a port that is taken, naming a free one, and for an address that is not
    this computer's.
    """
    try:
        return _listening(host, port)
    except socket.gaierror as error:
        raise InputError(
            "there is no such address", where=host, expected="127.0.0.1, or 0.0.0.0 for all"
        ) from error
    except OSError as error:
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                "the port is taken, perhaps by another Cutis", where=where, fix=_other(host, port)
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise InputError(
                "no permission for this port", where=where, fix="choose one above 1023: --port 8600"
            ) from error
        raise InputError(
            f"the app cannot listen here ({error.strerror})",
            where=where,
            fix="choose another --host",
        ) from error


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serves until Ctrl-C, and then returns."""
    with contextlib.suppress(KeyboardInterrupt):
        make_server(app).run(sockets=[listening])


def make_server(app: FastAPI) -> uvicorn.Server:
    """A server that writes nothing private: warnings and errors alone, without addresses."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # it would hold the cases' addresses
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


def _listening(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # a port that was just given up is free; elsewhere it means more
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(socket.SOMAXCONN)
    except OSError:
        listening.close()
        raise
    return listening


def _other(host: str, port: int) -> str:
    """What to do where a port is taken: the next that is free."""
    for other in range(port + 1, min(port + _TRIED_PORTS, _LAST_PORT) + 1):
        with contextlib.suppress(OSError):
            _listening(host, other).close()
            return f"choose a free one: --port {other}"
    return "choose another --port"
