"""A pharmacy's web API, played by a local server that answers well and badly."""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cutis.app.drug_store.provider import StoreError
from cutis.app.drug_store.web import KEPT, LARGEST_ANSWER, MOST_PRODUCTS, PAUSE, WebStore
from cutis.errors import InputError

BOTH = {"en": "Plaster", "fa": "چسب زخم"}
PRODUCT: dict[str, Any] = {
    "id": "plaster",
    "name": BOTH,
    "form": "bandage",
    "over_the_counter": True,
    "diagnoses": ["wart"],
    "contraindications": BOTH,
    "link": "https://shop.example/plaster",
}
LIMIT = 0.4  # seconds, of these tests


class Pharmacy:
    """A server whose answer is set by each test."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.status, self.headers = 200, {"Content-Type": "application/json"}
        self.body = json.dumps({"products": [PRODUCT]}).encode()
        self.act: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.released = threading.Event()
        pharmacy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pharmacy.asked.append((self.path, dict(self.headers)))
                if pharmacy.act is not None:
                    pharmacy.act(self)
                    return
                self.send_response(pharmacy.status)
                for name, value in pharmacy.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(pharmacy.body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/products"

    def products(self, *given: object) -> None:
        self.body = json.dumps({"products": given}).encode()


@pytest.fixture
def pharmacy() -> Iterator[Pharmacy]:
    made = Pharmacy()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.released.set()
    made.server.shutdown()
    made.server.server_close()
    thread.join()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(store: WebStore, diagnosis: str = "wart", language: str = "fa") -> list[str]:
    found = asyncio.run(store.products(diagnosis, language))
    return [product.id for product in found]


def test_the_pharmacy_is_told_diagnosis_and_language_and_nothing_else(pharmacy: Pharmacy) -> None:
    store = WebStore(pharmacy.url)
    assert ask(store) == ["plaster"]
    ((path, headers),) = pharmacy.asked
    assert urlsplit(path).path == "/products"
    assert parse_qs(urlsplit(path).query) == {"diagnosis": ["wart"], "language": ["fa"]}
    known = {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert {name.lower() for name in headers} == known
    assert store.listing == ()
    assert store.host == "127.0.0.1"


def test_an_answer_is_kept_for_a_while(pharmacy: Pharmacy) -> None:
    clock = Clock()
    store = WebStore(pharmacy.url, clock=clock)
    ask(store)
    clock.now += KEPT - 1
    ask(store)
    assert len(pharmacy.asked) == 1
    ask(store, "skin_tag")
    ask(store, language="en")
    assert len(pharmacy.asked) == 3
    clock.now += 2
    ask(store)
    assert len(pharmacy.asked) == 4


def test_products_that_break_a_rule_are_left_out_one_by_one(
    pharmacy: Pharmacy, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: list[object] = [
        {**PRODUCT, "id": str(n), **change}
        for n, change in enumerate(
            (
                {"link": "javascript:alert(1)"},
                {"link": "https://a:b@shop.example/"},
                {"diagnoses": ["nonsense"]},
                {"diagnoses": []},
                {"over_the_counter": "yes"},
                {"name": {"en": "only"}},
                {"name": "Plaster"},
                {"name": {**BOTH, "de": "Pflaster"}},
                {"contraindications": {"en": "", "fa": ""}},
                {"form": "elixir"},
                {"price": 3},
                {"name": {"en": "\ud800", "fa": "x"}},
            )
        )
    ]
    pharmacy.products(*wrong, 7, None, "x", PRODUCT, {**PRODUCT, "form": "gel"})
    store = WebStore(pharmacy.url)
    (product,) = asyncio.run(store.products("wart", "en"))
    assert product.form == "bandage"  # the first of two with one id
    assert len(caplog.records) == len(wrong) + 3


def test_no_more_products_than_a_page_can_hold(pharmacy: Pharmacy) -> None:
    pharmacy.products(*({**PRODUCT, "id": str(n)} for n in range(MOST_PRODUCTS + 5)))
    assert len(ask(WebStore(pharmacy.url))) == MOST_PRODUCTS


@pytest.mark.parametrize("status", [204, 301, 302, 400, 403, 404, 429, 500, 503])
def test_every_other_status_is_an_error_and_no_redirect_is_followed(
    pharmacy: Pharmacy, status: int
) -> None:
    pharmacy.status, pharmacy.headers = status, {"Location": "/elsewhere", "Retry-After": "1"}
    pharmacy.body = b"" if status == 204 else pharmacy.body
    with pytest.raises(StoreError, match=str(status)):
        ask(WebStore(pharmacy.url))
    assert len(pharmacy.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not found</html>",
        b"\xff\xfe\x00garbage",
        b'{"products": ',
        b'{"products": {}}',
        b'{"items": []}',
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"products": ' + b"9" * 10_000 + b"}",
        b"x" * (LARGEST_ANSWER + 1),
        json.dumps({"products": ["x" * 1_000_000]}).encode(),
    ],
)
def test_garbage_is_an_error(pharmacy: Pharmacy, body: bytes) -> None:
    pharmacy.body = body
    with pytest.raises(StoreError):
        ask(WebStore(pharmacy.url))


def test_a_compressed_answer_is_not_unfolded(pharmacy: Pharmacy) -> None:
    pharmacy.headers["Content-Encoding"] = "gzip"
    pharmacy.body = gzip.compress(pharmacy.body)
    with pytest.raises(StoreError, match="compressed"):
        ask(WebStore(pharmacy.url))


def hang(pharmacy: Pharmacy) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda _: void(pharmacy.released.wait(10))


def drip(pharmacy: Pharmacy) -> Callable[[BaseHTTPRequestHandler], None]:
    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not pharmacy.released.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    return act


def cut_off(pharmacy: Pharmacy) -> Callable[[BaseHTTPRequestHandler], None]:
    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(b'{"products": []}')

    return act


def babble(pharmacy: Pharmacy) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: void(handler.wfile.write(b"\x00\x01 not HTTP\r\n\r\n"))


def void(_: object) -> None:
    return None


@pytest.mark.parametrize("behaviour", [hang, drip, cut_off, babble])
def test_a_server_that_hangs_or_breaks_off_is_given_up_in_time(
    pharmacy: Pharmacy, behaviour: Callable[[Pharmacy], Any]
) -> None:
    pharmacy.act = behaviour(pharmacy)
    start = time.perf_counter()
    with pytest.raises(StoreError):
        ask(WebStore(pharmacy.url, time_limit=LIMIT))
    assert time.perf_counter() - start < LIMIT + 1.5


def test_nobody_there_is_an_error(pharmacy: Pharmacy) -> None:
    pharmacy.server.server_close()
    with pytest.raises(StoreError):
        ask(WebStore(pharmacy.url, time_limit=LIMIT))


def test_after_a_failure_it_is_left_alone_for_a_while(pharmacy: Pharmacy) -> None:
    clock = Clock()
    store = WebStore(pharmacy.url, clock=clock)
    pharmacy.status = 503
    for diagnosis in ("wart", "milium"):
        with pytest.raises(StoreError):
            ask(store, diagnosis)
    assert len(pharmacy.asked) == 1
    pharmacy.status = 200
    clock.now += PAUSE + 1
    assert ask(store) == ["plaster"]


def test_what_was_answered_before_a_failure_is_still_shown(pharmacy: Pharmacy) -> None:
    store = WebStore(pharmacy.url)
    ask(store)
    pharmacy.status = 500
    with pytest.raises(StoreError):
        ask(store, "milium")
    assert ask(store) == ["plaster"]


def test_no_proxy_and_no_password_of_the_computer_is_used(
    pharmacy: Pharmacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(WebStore(pharmacy.url)) == ["plaster"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://pharmacy.example/products", "unencrypted"),
        ("ftp://pharmacy.example/", "refused"),
        ("file:///etc/passwd", "refused"),
        ("https://name:word@pharmacy.example/", "refused"),
        ("https://pharmacy.example/?key=1", "refused"),
        ("https://pharmacy.example/#x", "refused"),
        ("https://", "refused"),
        ("https://pharmacy.example/a b", "refused"),
        ("https://pharmacy.example/\n", "refused"),
        ("https://داروخانه.example/", "refused"),
        ("https://pharmacy.example:port/", "not an address"),
        ("https://[::1/", "not an address"),
    ],
)
def test_addresses_that_are_refused(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        WebStore(url)


def test_an_address_that_only_the_client_refuses_is_a_store_error() -> None:
    with pytest.raises(StoreError):
        ask(WebStore("https://pharmacy..example/", time_limit=LIMIT))
