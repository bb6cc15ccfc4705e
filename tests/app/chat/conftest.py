"""A language model that does whatever a test tells it to, on a free port of this computer."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cutis.app.chat.endpoint import Endpoint
from cutis.app.i18n import translator
from cutis.app.views import Bar, Result
from cutis.taxonomy import diagnosis

KEY = "sk-secret-0123456789"
Respond = Callable[[BaseHTTPRequestHandler], None]


def event(text: str, finish: str | None = None) -> bytes:
    """One event of a stream with a piece of an answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


@dataclass
class Fake:
    """The model: what it received, and how it answers.

    `says` is its whole answer, in pieces of seven letters; `respond` writes anything else. It obeys
    whoever speaks last: `{question}` in `says` is replaced by the last message it was sent.
    """

    url: str = ""
    says: str = "Melanoma can spread [2]."
    respond: Respond | None = None
    received: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.raw.append(body)
        self.received.append(json.loads(body))
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        if self.respond is not None:
            self.respond(handler)
            return
        said = self.says.replace("{question}", self.received[-1]["messages"][-1]["content"])
        pieces = [said[k : k + 7] for k in range(0, len(said), 7)]
        stream(handler, [*map(event, pieces), event("", "stop"), DONE])


def start(
    handler: BaseHTTPRequestHandler,
    status: int = 200,
    kind: str = "text/event-stream",
    **headers: str,
) -> None:
    """The head of an answer that ends with the connection."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def stream(handler: BaseHTTPRequestHandler, pieces: Iterable[bytes], pause_s: float = 0.0) -> None:
    """A stream with a pause after each piece."""
    start(handler)
    for piece in pieces:
        handler.wfile.write(piece)
        handler.wfile.flush()
        time.sleep(pause_s)


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_POST(self) -> None:
        try:
            self.server.fake.answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.server.fake.left.set()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: Fake

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def fake() -> Iterator[Fake]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.fake = Fake(url=f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def endpoint(fake: Fake) -> Endpoint:
    return Endpoint(fake.url, "tiny", KEY, connect_s=1, silence_s=1, total_s=3)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on."""
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def make_result(language: str = "en", **changes: Any) -> Result:
    """A result with melanoma and nevus in the set."""
    words = translator(language)
    bars = tuple(
        Bar(id, words.pick(diagnosis(id).name), words.percent(share), "0", possible)
        for id, share, possible in (
            ("melanoma", 0.6, True),
            ("melanocytic_nevus", 0.3, True),
            ("dermatofibroma", 0.1, False),
        )
    )
    made = Result(
        verdict=words.text("verdict.answer_with_caution"),
        verdict_key="answer_with_caution",
        answer=bars[0],
        reasons=(),
        bars=bars,
        possible=words.text("set.possible", count=2, names="…"),
        level=words.percent(0.9),
        meaning="…",
        urgency="weeks",
        alarming="",
        counted=1,
        urgent=True,
        emergency=False,
        grave="…",
        photos=(),
        heat=(),
        facts=(("note", "SECRET NOTE"),),
        explained=(),
    )
    return made._replace(**changes)
