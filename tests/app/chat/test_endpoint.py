"""The endpoint, and all that can go wrong with one."""

import asyncio
import json
import logging
import time
from contextlib import aclosing
from http.server import BaseHTTPRequestHandler

import httpx2
import pytest

from cutis.app.chat import endpoint as endpoints
from cutis.app.chat.endpoint import MOST_LETTERS, Endpoint, EndpointError
from cutis.errors import InputError

from .conftest import DONE, KEY, Fake, Respond, event, start, stream

ASKED = [{"role": "user", "content": "چه شد؟"}]


def told(endpoint: Endpoint) -> str:
    async def whole() -> str:
        return "".join([piece async for piece in endpoint.stream(ASKED)])

    return asyncio.run(whole())


def failure(endpoint: Endpoint) -> str:
    with pytest.raises(EndpointError) as caught:
        told(endpoint)
    assert KEY not in repr(caught.value)
    return str(caught.value)


def sends(*pieces: bytes) -> Respond:
    return lambda handler: stream(handler, pieces)


def plain(
    body: bytes, status: int = 200, kind: str = "application/json", **headers: str
) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        start(handler, status, kind, **headers)
        handler.wfile.write(body)

    return respond


def test_an_answer_comes_in_pieces(fake: Fake, endpoint: Endpoint) -> None:
    fake.says = "ملانوم ممکن است پخش شود [2]."
    assert told(endpoint) == fake.says
    assert fake.received == [{"model": "tiny", "messages": ASKED, "stream": True}]
    assert fake.headers[0]["authorization"] == f"Bearer {KEY}"


def test_signs_cut_in_two_come_whole(fake: Fake, endpoint: Endpoint) -> None:
    data = event("پوست", "stop") + DONE
    fake.respond = lambda handler: stream(handler, [data[k : k + 1] for k in range(len(data))])
    assert told(endpoint) == "پوست"


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_lines_end_as_the_standard_allows(fake: Fake, endpoint: Endpoint, end: bytes) -> None:
    lines = (b": hello\n\nevent: x\n" + event("a") + event("b", "stop") + DONE).replace(b"\n", end)
    fake.respond = sends(lines[:30], lines[30:])
    assert told(endpoint) == "ab"


def test_a_stream_without_done_is_whole_if_it_says_why_it_ends(
    fake: Fake, endpoint: Endpoint
) -> None:
    fake.respond = sends(event("a"), event("b", "length"))
    assert told(endpoint) == "ab"


def test_a_server_that_does_not_stream_answers_too(fake: Fake, endpoint: Endpoint) -> None:
    body = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}
    fake.respond = plain(json.dumps(body).encode())
    assert told(endpoint) == "whole"


def test_events_without_words_are_passed_over(fake: Fake, endpoint: Endpoint) -> None:
    usage = b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n'
    role = b'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n\n'
    fake.respond = sends(role, event("a", "stop"), usage, DONE)
    assert told(endpoint) == "a"


@pytest.mark.parametrize(
    ("pieces", "word"),
    [
        ([event("a"), b"data: {broken\n\n"], "garbage"),
        ([b"data: 17\n\n"], "garbage"),
        ([b'data: {"choices": ["x"]}\n\n'], "garbage"),
        ([b'data: {"choices": {}}\n\n'], "garbage"),
        ([b"data: " + b"[" * 50_000 + b"\n\n"], "garbage"),
        ([event("پوست").decode().encode("cp1256")], "garbage"),
        ([event("a").decode().encode("utf-16")], "cut off"),
        ([b"\x00\xff\xfe<html>"], "cut off"),
        ([], "cut off"),
        ([event("a")], "cut off"),
        ([event("a", "stop")[:-9]], "garbage"),
        ([event("a"), b'data: {"error": {"message": "no"}}\n\n'], "error in the stream"),
    ],
)
def test_garbage_is_no_answer(
    fake: Fake, endpoint: Endpoint, pieces: list[bytes], word: str
) -> None:
    fake.respond = sends(*pieces)
    assert failure(endpoint) == word


@pytest.mark.parametrize("body", [b"<html>hello", b"", b"\xff", b"[]", b'{"choices": null}'])
def test_a_page_is_no_answer(fake: Fake, endpoint: Endpoint, body: bytes) -> None:
    fake.respond = plain(body, kind="text/html")
    assert failure(endpoint) == "garbage"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503, 204])
def test_an_error_is_no_answer(fake: Fake, endpoint: Endpoint, status: int) -> None:
    fake.respond = plain(KEY.encode(), status)
    assert failure(endpoint) == f"status {status}"
    failure(endpoint)
    assert len(fake.received) == 2  # it may be asked again


def test_a_redirect_is_not_followed(fake: Fake, endpoint: Endpoint) -> None:
    fake.respond = plain(b"", 307, Location=f"{fake.url}/elsewhere")
    assert failure(endpoint) == "status 307"
    assert len(fake.received) == 1


@pytest.mark.parametrize("wait", ["30", "soon", "-5", "1e999"])
def test_after_429_it_is_left_alone(fake: Fake, endpoint: Endpoint, wait: str) -> None:
    fake.respond = plain(b"", 429, Retry_After=wait)
    assert failure(endpoint) == "status 429"
    assert failure(endpoint) == "resting"
    assert len(fake.received) == 1


def test_after_its_rest_it_is_asked_again(
    fake: Fake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_LONGEST_REST", 0.05)
    fake.respond = plain(b"", 429, Retry_After="3600")
    failure(endpoint)
    time.sleep(0.1)
    fake.respond = None
    assert told(endpoint) == fake.says


def test_a_megabyte_is_cut(fake: Fake, endpoint: Endpoint) -> None:
    fake.respond = lambda handler: stream(handler, [event("word " * 200)] * 1000)
    assert len(told(endpoint)) == MOST_LETTERS
    assert fake.left.wait(5)  # and the connection is closed


def test_megabytes_without_words_are_given_up(
    fake: Fake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "MOST_BYTES", 50_000)
    fake.respond = lambda handler: stream(handler, [b": " + b"x" * 1000 + b"\n\n"] * 1000)
    assert failure(endpoint) == "too long"
    fake.respond = lambda handler: stream(handler, [b"data: " + b"x" * 100_000])
    assert failure(endpoint) == "too long"


def test_one_that_hangs_is_given_up(fake: Fake) -> None:
    fake.respond = lambda handler: time.sleep(1)
    began = time.monotonic()
    assert failure(Endpoint(fake.url, "m", silence_s=0.2)) == "silent"
    assert time.monotonic() - began < 0.9


def test_one_that_drips_is_given_up(fake: Fake) -> None:
    fake.respond = lambda handler: stream(handler, [event("a")] * 30, 0.05)
    began = time.monotonic()
    assert failure(Endpoint(fake.url, "m", silence_s=0.5, total_s=0.3)) == "too slow"
    assert time.monotonic() - began < 1


def test_a_reader_that_is_slow_itself_is_not_cancelled(fake: Fake) -> None:
    fake.respond = lambda handler: stream(handler, [event("a")] * 3)
    endpoint = Endpoint(fake.url, "m", total_s=0.3)

    async def read() -> str:
        async with aclosing(endpoint.stream(ASKED)) as pieces:
            await anext(pieces)
            await asyncio.sleep(0.5)  # nothing may end this but its own time
            with pytest.raises(EndpointError) as caught:
                await anext(pieces)
        return str(caught.value)

    assert asyncio.run(read()) == "too slow"


def test_a_cut_connection_is_no_answer(fake: Fake, endpoint: Endpoint) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        start(handler, Content_Length="1000")
        handler.wfile.write(event("a", "stop"))

    fake.respond = respond
    assert failure(endpoint) == "broken connection"


def test_nobody_there_is_no_answer(closed_port: int) -> None:
    assert failure(Endpoint(f"http://127.0.0.1:{closed_port}", "m")) == "broken connection"


def test_the_environments_proxy_is_used_only_when_asked(
    fake: Fake, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert told(Endpoint(fake.url, "m")) == fake.says
    assert failure(Endpoint(fake.url, "m", proxies=True)) == "broken connection"


def test_the_key_stands_in_no_log(
    fake: Fake, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told(endpoint)
    fake.respond = plain(b"", 401)
    failure(endpoint)
    assert caplog.records
    assert KEY not in caplog.text
    assert KEY not in repr(endpoint) + repr(httpx2.Headers(endpoint._headers))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host/v1",
        "file:///etc/passwd",
        "http://",
        "http://[bad",
        "http://host:99999999",
        "https://name:hunter2@host/v1",
        "https://host/v1?key=1",
        "https://host/v1#x",
        "https://ho\nst/v1",
        "http://llm.example/v1",
        "http://8.8.8.8/v1",
        "http://localhost.example/v1",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        Endpoint(url, "m")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["a b", "a\nb", "کلید", "a\r\nX-Evil: 1"])
def test_a_key_with_strange_signs_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InputError) as caught:
        Endpoint("https://host/v1", "m", key)
    assert key not in str(caught.value)


def test_a_model_needs_a_name() -> None:
    with pytest.raises(InputError, match="model"):
        Endpoint("https://host/v1", " ")


@pytest.mark.parametrize(
    ("url", "host", "local"),
    [
        ("http://127.0.0.1:8080/v1", "127.0.0.1:8080", True),
        ("http://localhost/v1/chat/completions", "localhost", True),
        ("http://[::1]:1/v1/", "[::1]:1", True),
        ("https://llm.example/v1", "llm.example", False),
        ("http://192.168.1.5:8080/v1", "192.168.1.5:8080", False),
        ("https://localhost.example/v1", "localhost.example", False),
    ],
)
def test_says_where_the_text_goes(url: str, host: str, local: bool) -> None:
    found = Endpoint(url, "m")
    assert (found.host, found.is_local) == (host, local)
    assert found._url.endswith("/chat/completions")
    assert found._url.count("/chat/completions") == 1
