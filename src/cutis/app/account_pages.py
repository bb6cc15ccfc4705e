"""The pages of accounts: log-in and log-out, one's own password, and what admins manage."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from cutis.app.accounts.accounts import LONGEST_NAME, SHORTEST_NAME, Account, Role
from cutis.app.accounts.guard import LOGIN, OWN_ACCOUNT, Guard
from cutis.app.accounts.passwords import HASHES_AT_ONCE, LONGEST, SHORTEST
from cutis.app.accounts.people import Opened, People
from cutis.app.accounts.sessions import IDLE
from cutis.app.accounts.sessions import LONGEST as LONGEST_SESSION
from cutis.app.accounts.setup import SETUP
from cutis.app.errors import AppError
from cutis.app.forms import Form, read_form
from cutis.app.overload import Workload
from cutis.app.security import SESSION_COOKIE
from cutis.app.settings import Settings
from cutis.app.web import Pages

_DEVICE = "cutis_device"
_DEVICE_S = 180 * 24 * 3600
_WAITING = 32  # log-ins that may wait for a place to hash; more are told to come again
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,500}")

AccountId = Annotated[int, Path(ge=1, le=2**31 - 1)]  # what a column of PostgreSQL takes
Result = TypeVar("Result")


class AccountPages:
    """Runs what people do in few threads, and renders what comes of it.

    Args:
        people: what is done.
        guard: tells who asks.
        pages: renders, and checks forms.
        settings: the limits of forms.
    """

    def __init__(self, people: People, guard: Guard, pages: Pages, settings: Settings) -> None:
        self.people = people
        self.guard = guard
        self._pages = pages
        self._settings = settings
        self._work = Workload(replace(settings, workers=HASHES_AT_ONCE, queue=_WAITING))

    async def run(self, work: Callable[[], Result]) -> Result:
        """Does what may hash a password in a thread; AppError `busy` where too many wait."""
        async with self._work.place():
            return await self._work.run(work)

    async def form(self, request: Request) -> Form:
        """A form with the token of its reader."""
        form = await read_form(request, self._settings)
        self._pages.check(request)(form)
        return form

    def page(
        self, request: Request, template: str, error: AppError | None = None, **shown: Any
    ) -> Response:
        """A page; with the error in it, and its status, where the form was refused."""
        limits = {"name": (SHORTEST_NAME, LONGEST_NAME), "password": (SHORTEST, LONGEST)}
        page = self._pages.page(request, template, error=error, limits=limits, **shown)
        if error is not None:
            page.status_code = error.status_code
            page.headers.update(error.headers or {})
        return page

    def close(self) -> None:
        """Ends the threads."""
        self._work.close()


def account_router(pages: AccountPages) -> APIRouter:
    """The routes of `/login`, `/logout`, `/account`, `/accounts` and `/setup`."""
    router = APIRouter(include_in_schema=False)
    router.include_router(_log_in(pages, pages.people))
    router.include_router(_setup(pages, pages.people))
    router.include_router(_own(pages, pages.people))
    router.include_router(_managed(pages, pages.people))
    return router


def _log_in(pages: AccountPages, people: People) -> APIRouter:
    router = APIRouter()

    async def page(
        request: Request, wanted: str, error: AppError | None = None, name: str = ""
    ) -> Response:
        return pages.page(
            request,
            "login.html",
            error,
            home=f"{LOGIN}?next={quote(wanted)}",
            wanted=wanted,
            name=name,
            ended="ended" in request.query_params,
            first=not await run_in_threadpool(people.accounts.exist),
            idle=int(IDLE.total_seconds() / 60),
            hours=int(LONGEST_SESSION.total_seconds() / 3600),
        )

    @router.get(LOGIN)
    async def ask(request: Request, wanted: str = Query("/", alias="next")) -> Response:
        if pages.guard.current(request) is not None:
            return RedirectResponse(own_path(wanted), 303)
        return await page(request, own_path(wanted))

    @router.post(LOGIN)
    async def log_in(request: Request) -> Response:
        form = await pages.form(request)
        wanted, name = own_path(form.first("next") or ""), form.first("name") or ""
        password = form.first("password") or ""
        session, device = (request.cookies.get(key, "") for key in (SESSION_COOKIE, _DEVICE))
        work = partial(people.log_in, name, password, address_of(request), session, device)
        try:
            opened = await pages.run(work)
        except AppError as error:
            return await page(request, wanted, error, name[:LONGEST_NAME])
        place = OWN_ACCOUNT if opened.account.must_change_password else wanted
        return _signed_in(request, opened, place)

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        await pages.form(request)
        account = pages.guard.current(request)
        if account is not None:
            token = request.cookies[SESSION_COOKIE]
            await pages.run(partial(people.log_out, account, token))
        answer = RedirectResponse(f"{LOGIN}?ended=1", 303)
        answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
        return answer

    return router


def _setup(pages: AccountPages, people: People) -> APIRouter:
    router = APIRouter()

    def page(
        request: Request, token: str, error: AppError | None = None, name: str = ""
    ) -> Response:
        return pages.page(
            request,
            "account_setup.html",
            error,
            home=f"{SETUP}?token={token}",
            token=token,
            name=name,
        )

    @router.get(SETUP)
    async def ask(request: Request, token: str = "") -> Response:
        await run_in_threadpool(people.setup.check, token)
        return page(request, token)

    @router.post(SETUP)
    async def make(request: Request) -> Response:
        form = await pages.form(request)
        token, name = form.first("token") or "", form.first("name") or ""
        await run_in_threadpool(people.setup.check, token)
        try:
            password = _chosen(form)
            opened = await pages.run(partial(people.make_first, token, name, password))
        except AppError as error:
            if error.code == "setup_closed":
                raise
            return page(request, token, error, name[:LONGEST_NAME])
        return _signed_in(request, opened, "/accounts")

    return router


def _own(pages: AccountPages, people: People) -> APIRouter:
    router = APIRouter()

    def page(request: Request, account: Account, error: AppError | None = None) -> Response:
        return pages.page(
            request,
            "account.html",
            error,
            changed="changed" in request.query_params,
            due=account.must_change_password,
        )

    @router.get(OWN_ACCOUNT)
    async def show(request: Request) -> Response:
        return page(request, pages.guard.require(request))

    @router.post(OWN_ACCOUNT)
    async def change(request: Request) -> Response:
        account = pages.guard.require(request)
        form = await pages.form(request)
        old, address = form.first("old") or "", address_of(request)
        try:
            new = _chosen(form)
            opened = await pages.run(partial(people.change_password, account, old, new, address))
        except AppError as error:
            return page(request, account, error)
        return _signed_in(request, opened, f"{OWN_ACCOUNT}?changed=1")

    return router


def _managed(pages: AccountPages, people: People) -> APIRouter:
    router = APIRouter(prefix="/accounts")
    accounts = people.accounts

    async def page(
        request: Request, error: AppError | None = None, secret: tuple[str, str] | None = None
    ) -> Response:
        return pages.page(
            request,
            "accounts.html",
            error,
            home="/accounts",
            listed=await pages.run(people.accounts.all),
            roles=list(Role),
            secret=secret,
            done="done" in request.query_params,
        )

    async def change(request: Request, work: Callable[[Account, Form], object]) -> Response:
        """What all changes share; one that gives a secret shows it in the answer itself."""
        by = pages.guard.require(request, Role.ADMIN)
        form = await pages.form(request)
        try:
            made = await pages.run(lambda: work(by, form))
        except AppError as error:
            return await page(request, error)
        if isinstance(made, tuple):
            return await page(request, secret=made)
        return RedirectResponse("/accounts?done=1", 303)

    @router.get("")
    async def show(request: Request) -> Response:
        pages.guard.require(request, Role.ADMIN)
        return await page(request)

    @router.post("")
    async def add(request: Request) -> Response:
        return await change(
            request, lambda by, form: people.add(by, form.first("name") or "", _role(form))
        )

    @router.post("/{account_id}/role")
    async def set_role(account_id: AccountId, request: Request) -> Response:
        return await change(
            request, lambda by, form: accounts.set_role(account_id, _role(form), by=by)
        )

    @router.post("/{account_id}/password")
    async def reset(account_id: AccountId, request: Request) -> Response:
        return await change(request, lambda by, _: people.reset(by, account_id))

    @router.post("/{account_id}/disable")
    async def disable(account_id: AccountId, request: Request) -> Response:
        return await change(request, lambda by, _: accounts.set_active(account_id, False, by=by))

    @router.post("/{account_id}/enable")
    async def enable(account_id: AccountId, request: Request) -> Response:
        return await change(request, lambda by, _: accounts.set_active(account_id, True, by=by))

    return router


def own_path(wanted: str) -> str:
    """Where a log-in leads, if it is an address on this server; else the start page.

    `//evil.example` and `/\\evil.example` are other servers to a browser, and it drops tabs and
    line ends from an address before it reads it.
    """
    return wanted if _OWN_PATH.fullmatch(wanted) else "/"


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client is not None else ""


def _chosen(form: Form) -> str:
    new = form.first("new") or ""
    if new != (form.first("again") or ""):
        raise AppError("password_twice")
    return new


def _role(form: Form) -> Role:
    given = form.first("role")
    if given not in list(Role):
        raise AppError("field", field="role")
    return Role(given)


def _signed_in(request: Request, opened: Opened, place: str) -> Response:
    """Leads on with the session's cookie.

    It is SameSite=Lax: a link in a letter opens a saved case for who has logged in, and what
    changes something needs the form's token besides. It ends with the browser.
    """
    answer = RedirectResponse(place, 303)
    # A proxy before the server speaks https with the browser; who lies here harms nobody else.
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    cookie = partial(answer.set_cookie, httponly=True, secure=secure, samesite="lax")
    cookie(SESSION_COOKIE, opened.token)
    cookie(_DEVICE, opened.device, max_age=_DEVICE_S, path=LOGIN)
    return answer
