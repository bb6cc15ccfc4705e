"""A language model behind an OpenAI-compatible address: a local server, or somebody else's."""

import asyncio
import ipaddress
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2

from cutis.app.security import is_loopback
from cutis.errors import InputError

MOST_BYTES = 2_000_000
"""Of an answer as it comes; the words in it are far fewer."""
MOST_LETTERS = 6000
"""Of an answer's words; what comes after is not read."""

_LONGEST_REST = 300.0  # seconds that an endpoint may ask us to stay away
_SHORT_REST = 10.0  # where it does not say how long
_PATH = "/chat/completions"
_LINE_END = re.compile(rb"\r\n|\n|\r(?!$)")  # a carriage return at the end may be half of one
_TOO_MANY = 429

Message = Mapping[str, str]
"""One of the conversation: "role" and "content"."""


class EndpointError(Exception):
    """The endpoint gave no whole answer; the text is one word for the log, with nothing private."""


class Endpoint:
    """Asks for one answer at a time, and reads it as it comes.

    Args:
        url: with or without the path `/chat/completions`; http within one's own network alone.
        model: its name there.
        key: sent as a bearer token and shown nowhere.
        proxies: whether the environment's proxies may be used (`HTTPS_PROXY`, …).
        connect_s: seconds until the connection stands.
        silence_s: seconds between two pieces.
        total_s: seconds until the answer has ended.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        *,
        proxies: bool = False,
        connect_s: float = 5.0,
        silence_s: float = 20.0,
        total_s: float = 60.0,
    ) -> None:
        self._url = _checked_url(url)
        self._model = model
        self._headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",  # else a small answer could unfold into a huge one
            **_authorization(key),
        }
        self._proxies = proxies
        self._timeout = httpx2.Timeout(silence_s, connect=connect_s)
        self._total_s = total_s
        self._rest_until = 0.0
        if not model.strip():
            raise InputError("the chat endpoint needs a model's name", fix="add --chat-model NAME")

    @property
    def host(self) -> str:
        """Where the text goes: name and port, for people."""
        return urlsplit(self._url).netloc

    @property
    def is_local(self) -> bool:
        """Whether it is this computer."""
        return is_loopback(urlsplit(self._url).hostname or "")

    async def stream(self, messages: Sequence[Message]) -> AsyncGenerator[str, None]:
        """The words of one answer, in pieces, at most MOST_LETTERS; EndpointError if it fails."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._rest_until:
            raise EndpointError("resting")
        left, deadline = MOST_LETTERS, loop.time() + self._total_s
        try:
            async with aclosing(self._pieces(messages)) as pieces:
                while left > 0:
                    # Around the waiting alone: around `yield` it would cancel the reader's task.
                    async with asyncio.timeout_at(deadline):
                        piece = await anext(pieces, None)
                    if piece is None:
                        return
                    if loop.time() >= deadline:
                        raise TimeoutError
                    yield piece[:left]
                    left -= len(piece)
        except TimeoutError as error:
            raise EndpointError("too slow") from error
        except httpx2.TimeoutException as error:
            raise EndpointError("silent") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise EndpointError("broken connection") from error

    async def _pieces(self, messages: Sequence[Message]) -> AsyncGenerator[str, None]:
        body = {"model": self._model, "messages": list(messages), "stream": True}
        async with (
            httpx2.AsyncClient(
                timeout=self._timeout, follow_redirects=False, trust_env=self._proxies
            ) as client,
            client.stream("POST", self._url, json=body, headers=self._headers) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                self._refused(answer)
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            read = _events if kind == "text/event-stream" else _whole
            async with aclosing(read(answer)) as events:
                async for event in events:
                    if words := _words(event):
                        yield words

    def _refused(self, answer: httpx2.Response) -> None:
        if answer.status_code == _TOO_MANY:
            seconds = _SHORT_REST
            with suppress(ValueError):  # a date, or nothing
                seconds = float(answer.headers.get("retry-after", ""))
            rest = min(max(seconds, 1.0), _LONGEST_REST)
            self._rest_until = asyncio.get_running_loop().time() + rest
        raise EndpointError(f"status {answer.status_code}")


async def _events(answer: httpx2.Response) -> AsyncGenerator[Any, None]:
    """The events' data of a stream (HTML standard, section 9.2), until `[DONE]`."""
    data: list[bytes] = []
    ended = False
    async with aclosing(_lines(answer)) as lines:
        async for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                text, data = b"\n".join(data), []
                if text.strip() == b"[DONE]":
                    return
                event = _parsed(text)
                ended = ended or _is_last(event)
                yield event
    if not ended:  # some servers leave `[DONE]` out, but none the reason why it ended
        raise EndpointError("cut off")


async def _lines(answer: httpx2.Response) -> AsyncGenerator[bytes, None]:
    rest = b""
    async with aclosing(_bounded(answer)) as chunks:
        async for chunk in chunks:
            *lines, rest = _LINE_END.split(rest + chunk)
            for line in lines:
                yield line
    yield rest.removesuffix(b"\r")
    yield b""


async def _whole(answer: httpx2.Response) -> AsyncGenerator[Any, None]:
    """The one event of a server that does not stream."""
    async with aclosing(_bounded(answer)) as chunks:
        yield _parsed(b"".join([chunk async for chunk in chunks]))


async def _bounded(answer: httpx2.Response) -> AsyncGenerator[bytes, None]:
    come = 0
    async for chunk in answer.aiter_bytes():
        come += len(chunk)
        if come > MOST_BYTES:
            raise EndpointError("too long")
        yield chunk


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # wrong JSON, and wrong UTF-8
        raise EndpointError("garbage") from error


def _choice(event: Any) -> Mapping[str, Any]:
    """The first choice of an event; empty for one without, such as the count of tokens."""
    match event:
        case {"error": _}:
            raise EndpointError("error in the stream")
        case {"choices": [{} as choice, *_]}:
            found: Mapping[str, Any] = choice
            return found
        case {"choices": []}:
            return {}
    raise EndpointError("garbage")


def _words(event: Any) -> str:
    match _choice(event):
        case {"delta": {"content": str(words)}} | {"message": {"content": str(words)}}:
            return words
    return ""


def _is_last(event: Any) -> bool:
    return bool(_choice(event).get("finish_reason"))


def _checked_url(url: str) -> str:
    """The whole address of the endpoint; InputError for one that cannot be used."""
    shown = url[:200]
    wanted = "http://127.0.0.1:8080/v1, or https://… of a service"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError("the chat's URL makes no sense", where=shown, expected=wanted) from error
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "the chat's URL holds a name or a password", fix="set CUTIS_CHAT_KEY in the environment"
        )
    if parts.scheme not in ("http", "https") or not host or not url.isprintable():
        raise InputError("the chat's URL is not a web address", where=shown, expected=wanted)
    if parts.scheme == "http" and not _is_near(host):
        raise InputError(
            "what people ask would travel unencrypted", where=shown,
            fix="use https://…, or the address in numbers of a computer in your own network",
        )  # fmt: skip
    if parts.query or parts.fragment:
        raise InputError("the chat's URL ends with ?… or #…", fix="leave that out", expected=wanted)
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix(_PATH)}{_PATH}"


def _is_near(host: str) -> bool:
    """Whether a host is this computer, or one in its own network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:  # a name
        return is_loopback(host)


def _authorization(key: str | None) -> dict[str, str]:
    if not key:
        return {}
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InputError(
            "the chat's key holds signs that no key has", where="CUTIS_CHAT_KEY",
            fix="copy the key again, without spaces and line breaks",
        )  # fmt: skip
    return {"Authorization": f"Bearer {key}"}
