"""What stands between the network and the app: addresses, origins, sizes, headers, tokens, logs."""

import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
import socket
import time
import traceback
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutis.app.errors import AppError, request_too_large
from cutis.app.settings import Settings

API = "/api/"
"""Paths that begin so belong to programs: JSON, no cookies."""

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""
NO_STORE = "no-store"
"""`Cache-Control` of every answer that does not set its own, so that no photo stays in a cache."""

SESSION_COOKIE = "cutis_session"
"""Holds the token of who has logged in; see `accounts.sessions`."""

_COOKIE = "cutis_csrf"
_NONCE = re.compile(r"[\w-]{22}", re.ASCII)  # 128 bits
_SAFE = ("GET", "HEAD", "OPTIONS")
_METHODS = (*_SAFE, "POST", "PUT", "PATCH", "DELETE")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::", "")

Render = Callable[[Request, AppError], Response]
"""Makes the answer of an error: a page, or the JSON of the API."""

logger = logging.getLogger("cutis.app")


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches a server that listens on `host`."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


class Csrf:
    """Tokens of forms: a random cookie, and its HMAC under a secret of this process in the form.

    Another site can send the cookie along but cannot read the token (double submit, signed). The
    cookie is SameSite=Strict besides. The session's cookie is signed with it, so that a token from
    before a log-in is worth nothing after it.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def token(self, request: Request) -> str:
        """The token for a form on a page; the page's answer then sets the cookie if needed."""
        nonce = request.cookies.get(_COOKIE, "")
        if not _NONCE.fullmatch(nonce):
            nonce = getattr(request.state, "csrf_nonce", None) or secrets.token_urlsafe(16)
            request.state.csrf_nonce = nonce
        return self._sign(nonce, request)

    def check(self, request: Request, token: str | None) -> None:
        """Raises AppError `session` for a token that does not belong to the cookie."""
        nonce = request.cookies.get(_COOKIE, "")
        given = (token or "").encode("utf-8", "replace")
        right = hmac.compare_digest(self._sign(nonce, request).encode(), given)
        if not right or not _NONCE.fullmatch(nonce):
            raise AppError("session")

    def _sign(self, nonce: str, request: Request) -> str:
        # a nonce that is right has no space in it, so the two cannot run into each other
        bound = f"{nonce} {request.cookies.get(SESSION_COOKIE, '')}".encode("utf-8", "replace")
        return hmac.new(self._secret, bound, hashlib.sha256).hexdigest()


class Gate:
    """The outermost middleware: refuses early, bounds bodies, sets headers, logs without secrets.

    Args:
        app: what lies behind.
        settings: the limits.
        render: makes the answers of what is refused here.
        uploads: whether a request may carry photos, by method and path.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, render: Render, uploads: Callable[[str, str], bool]
    ) -> None:
        self._app = app
        self._settings = settings
        self._render = render
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection; an error that nobody foresaw becomes a plain 500."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        uploads = self._uploads(scope["method"], scope["path"])
        limit = self._settings.form_bytes if uploads else self._settings.body_bytes
        exchange = _Exchange(scope, receive, send, limit)
        request = Request(scope)
        try:
            check_host(request, self._settings.host)
            check_origin(request)
            exchange.check_length()
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except AppError as error:
            await self._refuse(exchange, request, error)
        except Exception as error:
            # The text of an error may hold what a person sent; its kind and place do not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = type(error).__name__
            logger.error("%s in %s, line %s", kind, place.name, place.lineno)
            await self._refuse(exchange, request, AppError("internal"))
        finally:
            exchange.log()

    async def _refuse(self, exchange: "_Exchange", request: Request, error: AppError) -> None:
        if not exchange.started:
            answer = self._render(request, error)
            await answer(exchange.scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its answer: counts what comes in, adds to what goes out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self.scope = scope
        self.started = False
        self._receive = receive
        self._send = send
        self._limit = limit
        self._read = 0
        self._status = 0
        self._start = time.perf_counter()
        self._headers = Request(scope).headers

    def check_length(self) -> None:
        """Refuses by the length that the request announces."""
        if declared_length(self._headers.get("content-length")) > self._limit:
            raise request_too_large(self._limit)

    async def receive(self) -> Message:
        """The next piece of the request, as long as all are within the limit."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._limit:
                raise request_too_large(self._limit)
        return message

    async def send(self, message: Message) -> None:
        """The next piece of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", NO_STORE)
            nonce = self.scope.get("state", {}).get("csrf_nonce")
            if nonce is not None:
                cookie = f"{_COOKIE}={nonce}; Path=/; HttpOnly; SameSite=Strict"
                headers.append("Set-Cookie", cookie)
        await self._send(message)

    def log(self) -> None:
        """One line without address, query, names or case ids: the route's pattern stands there."""
        route = getattr(self.scope.get("route"), "path", "-")
        milliseconds = 1000 * (time.perf_counter() - self._start)
        method = self.scope["method"] if self.scope["method"] in _METHODS else "-"
        logger.info("%s %s %s %.0f ms", method, route, self._status, milliseconds)


def declared_length(value: str | None) -> int:
    """Of a Content-Length header; 0 for none, and for one that is no number."""
    return int(value) if value is not None and value.isdecimal() and len(value) < 20 else 0


def check_host(request: Request, bound: str) -> None:
    """Refuses names that are not this server's, by which another site could reach it.

    A page of another site may give its own name the address 127.0.0.1 and then read what the app
    answers (DNS rebinding). An address in digits cannot be given away like that. Raises AppError.
    """
    name = _host_name(request.headers.get("host", ""))
    if name in _LOCAL_NAMES or name == bound.lower():
        return
    if not is_loopback(bound):
        own = socket.gethostname().lower()
        by_number = bound in _EVERYWHERE and _address(name) is not None
        if by_number or name in (own, f"{own}.local"):
            return
    raise AppError("bad_request")


def check_origin(request: Request) -> None:
    """Refuses what another site makes a browser send. Raises AppError `forbidden`.

    A browser tells `Sec-Fetch-Site` on localhost and over TLS, else `Origin`; under our referrer
    policy that is "null" for forms, which have their token. Programs send neither.
    """
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise AppError("forbidden")
    elif origin == "null":
        if request.url.path.startswith(API):
            raise AppError("forbidden")
    elif origin is not None and _netloc(origin) != request.headers.get("host", "").lower():
        raise AppError("forbidden")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty for nonsense."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
