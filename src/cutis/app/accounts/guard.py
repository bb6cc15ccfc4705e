"""Who asks, and whether the role allows it."""

import re
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cutis.app.accounts.accounts import Account, Role
from cutis.app.accounts.sessions import Sessions
from cutis.app.archive.archive import Archive
from cutis.app.errors import AppError
from cutis.app.security import API, SESSION_COOKIE

LOGIN, OWN_ACCOUNT = "/login", "/account"
"""Where somebody is sent who must log in, and who must choose a password first."""

_STATIC = "/static/"
_LOOKUPS = 40  # at once; more than the database has connections, so that the rest is told in time
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_OF_CASES = ("cases", "saved")
_PAGES = {"/feedback": "/agreement"}  # of forms that are sent elsewhere


class Guard:
    """Tells who has sent a request; everybody is a visitor where there is no archive.

    Attributes:
        archive: with the accounts; None for an app that keeps nothing.
    """

    def __init__(self, archive: Archive | None) -> None:
        self.archive = archive

    def current(self, request: Request) -> Account | None:
        """The account of whoever has logged in."""
        found: Account | None = getattr(request.state, "account", None)
        return found

    def require(self, request: Request, *roles: Role) -> Account:
        """The account, if it has one of the roles; any role will do where none is named.

        Raises AppError: `login` and `password_due`, whose answers lead to where that is done, and
        `not_allowed`.
        """
        account = self.current(request)
        if account is None:
            wanted = quote(_return_to(request), safe="")
            raise AppError("login", location=f"{LOGIN}?next={wanted}")
        if account.must_change_password and request.url.path != OWN_ACCOUNT:
            raise AppError("password_due", location=OWN_ACCOUNT)
        if roles and account.role not in roles:
            raise AppError("not_allowed")
        return account


class Identify:
    """The middleware that looks the session's token up, once a request, in a thread.

    Pages alone have sessions: the API takes no cookies and static files are everybody's. The
    threads are its own: while a database hangs, what needs none goes on.

    Args:
        app: what lies behind.
        sessions: the open log-ins.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions
        self._threads = CapacityLimiter(_LOOKUPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Puts the account, or None, into the request's state."""
        if scope["type"] == "http" and not scope["path"].startswith((API, _STATIC)):
            request = Request(scope)
            token = request.cookies.get(SESSION_COOKIE, "")
            if _TOKEN.fullmatch(token):
                request.state.account = await to_thread.run_sync(
                    self._sessions.account, token, limiter=self._threads
                )
        await self._app(scope, receive, send)


def _return_to(request: Request) -> str:
    """The page to come back to; a form that was refused is not sent again, its page is shown."""
    path = request.url.path
    if request.method in ("GET", "HEAD"):
        query = request.url.query
        return f"{path}?{query}" if query else path
    if path in _PAGES:
        return _PAGES[path]
    steps = path.split("/")
    return "/".join(steps[: 3 if steps[1] in _OF_CASES else 2])
