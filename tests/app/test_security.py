"""Addresses, origins, sizes, headers, tokens, and what stands in the log."""

import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from cutis.app.forms import CSRF_FIELD, read_form
from cutis.app.security import CONTENT_SECURITY_POLICY, Csrf, is_loopback
from cutis.app.settings import Settings
from cutis.errors import InputError

from .conftest import HOST, MakeApp

CASES = "/api/v1/cases"


def ask(app: FastAPI, address: str, **headers: str) -> int:
    return TestClient(app, base_url=HOST).get("/health", headers={"Host": address}).status_code


def test_every_answer_has_the_headers(client: TestClient, photo: bytes) -> None:
    answers = [
        client.get("/health"),
        client.get("/nothing"),
        client.put("/health"),
        client.post(CASES, content=b"x"),
        client.post(CASES, files={"photos": ("a", photo)}),
        client.get("/health", headers={"Host": "evil.example"}),
        client.get("/api/v1/openapi.json"),
    ]
    for answer in answers:
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["permissions-policy"].startswith("camera=(self)")
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "set-cookie" not in answer.headers
    assert {answer.status_code for answer in answers} == {200, 201, 400, 404, 405, 415}


def test_the_policy_lets_nothing_from_elsewhere_in() -> None:
    rules = dict(rule.split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"


@pytest.mark.parametrize(
    ("bound", "address", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8600", 200),
        ("127.0.0.1", "localhost", 200),
        ("127.0.0.1", "LOCALHOST:1", 200),
        ("127.0.0.1", "[::1]:8600", 200),
        ("127.0.0.1", "evil.example", 400),
        ("127.0.0.1", "evil.example:8600", 400),
        ("127.0.0.1", "127.0.0.1.evil.example", 400),
        ("127.0.0.1", "192.168.1.5", 400),
        ("127.0.0.1", "", 400),
        ("127.0.0.1", "[", 400),
        ("127.0.0.1", "127.0.0.1@evil.example", 400),
        ("192.168.1.5", "192.168.1.5:8600", 200),
        ("192.168.1.5", "192.168.1.6:8600", 400),
        ("0.0.0.0", "192.168.1.6:8600", 200),
        ("0.0.0.0", "evil.example", 400),
        ("::", "[fe80::1]:8600", 200),
        ("clinic.example", "clinic.example", 200),
    ],
)
def test_only_its_own_names_reach_the_app(
    make_app: MakeApp, bound: str, address: str, status: int
) -> None:
    assert ask(make_app(host=bound), address) == status


def test_the_name_of_the_machine_counts_in_a_network(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Clinic-PC")
    assert ask(make_app(host="0.0.0.0"), "clinic-pc.local:8600") == 200
    assert ask(make_app(host="127.0.0.1"), "clinic-pc.local:8600") == 400


def test_loopback_is_told_from_the_network() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost")] == [
        True
    ] * 4
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.5", "pc", ""))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Origin": HOST}, 415),
        ({"Sec-Fetch-Site": "same-origin"}, 415),
        ({"Sec-Fetch-Site": "none", "Origin": "null"}, 415),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8601"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": HOST}, 403),
    ],
)
def test_other_sites_cannot_send(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.post(CASES, headers=headers).status_code == status
    read = client.get("/health", headers=headers)  # reading is the browser's to refuse
    assert read.status_code == 200


def test_a_link_from_elsewhere_opens_the_app(client: TestClient) -> None:
    assert client.get("/health", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.fixture
def pages(make_app: MakeApp) -> Iterator[TestClient]:
    """The app with a page that has a form."""
    app = make_app()
    csrf: Csrf = app.state.csrf

    @app.get("/form")
    def form(request: Request) -> str:
        assert csrf.token(request) == csrf.token(request)
        return csrf.token(request)

    @app.post("/form")
    async def sent(request: Request) -> str:
        read = await read_form(request, Settings())
        csrf.check(request, read.first(CSRF_FIELD))
        return "taken"

    with TestClient(app, base_url=HOST) as opened:
        yield opened


def test_a_form_needs_the_token_of_its_page(pages: TestClient) -> None:
    page = pages.get("/form")
    cookie = page.headers["set-cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    token = page.json()
    assert token not in cookie
    assert pages.post("/form", data={CSRF_FIELD: token}).json() == "taken"
    # forms from a page under "no-referrer" come from the origin "null"
    sent = pages.post("/form", data={CSRF_FIELD: token}, headers={"Origin": "null"})
    assert sent.json() == "taken"
    again = pages.get("/form")
    assert "set-cookie" not in again.headers
    assert again.json() == token


@pytest.mark.parametrize("token", ["", "0" * 64, "é", "\u06f1" * 64])
def test_other_tokens_are_refused(pages: TestClient, token: str) -> None:
    pages.get("/form")
    refused = pages.post("/form", data={CSRF_FIELD: token})
    assert (refused.status_code, "no longer valid" in refused.text) == (403, True)
    assert pages.post("/form", data={"other": "x"}).status_code == 403


def test_a_token_belongs_to_one_cookie_and_one_process(
    pages: TestClient, make_app: MakeApp
) -> None:
    token = pages.get("/form").json()
    cookies = {"Cookie": "cutis_csrf=" + "A" * 22}
    pages.cookies.clear()
    assert pages.post("/form", data={CSRF_FIELD: token}).status_code == 403
    assert pages.post("/form", data={CSRF_FIELD: token}, headers=cookies).status_code == 403
    forged = pages.get("/form", headers={"Cookie": "cutis_csrf=<script>"})
    assert "set-cookie" in forged.headers
    request = Request({"type": "http", "headers": [(b"cookie", b"cutis_csrf=" + b"A" * 22)]})
    assert Csrf().token(request) != Csrf().token(request)


def chunks(count: int, size: int = 100_000) -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="photos"\r\n\r\n'
    for _ in range(count):
        yield b"x" * size


def test_bodies_are_bounded_with_and_without_a_length(make_app: MakeApp) -> None:
    """The length that a request announces, and one that is only found while it arrives."""
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with TestClient(make_app(max_upload_mb=1), base_url=HOST) as client:
        for body in (b"x" * 4_000_000, chunks(40)):
            refused = client.post(CASES, content=body, headers=kind)
            assert refused.status_code == 413
            assert refused.json()["error"]["code"] in ("request_too_large", "too_large")
        text = {"Content-Type": "application/x-www-form-urlencoded"}
        assert client.post(CASES, content=chunks(40), headers=text).status_code == 413
        part = client.post(CASES, content=chunks(11), headers=kind)
        assert part.json()["error"]["code"] == "too_large"
        other = client.post("/health", content=b"x" * 70_000)
        assert other.status_code == 413
        assert client.post("/health", content=b"x" * 60_000).status_code == 405


def test_a_length_that_lies_changes_nothing(client: TestClient) -> None:
    for length in ("-1", "x", "9" * 30, "٣"):
        headers = {"Content-Length": length.encode()}
        sent = client.post(CASES, content=b"x", headers=headers)  # type: ignore[arg-type]
        assert sent.status_code in (413, 415)


def test_the_log_holds_nothing_private(
    client: TestClient, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "SECRET"
    with caplog.at_level(logging.INFO, "cutis.app"):
        sent = client.post(
            f"{CASES}?{secret}=1",
            files={"photos": (f"{secret}.jpg", photo)},
            data={"note": secret, "age": "45"},
            headers={"User-Agent": secret, "Cookie": f"a={secret}"},
        )
        case = sent.json()["id"]
        client.get(f"{CASES}/{case}")
        client.get(f"{CASES}/{case}/photos/1/heat.png?diagnosis={secret}")
        client.get(f"/{secret}")
        client.request(f"{secret}", "/health")
    lines = [record.getMessage() for record in caplog.records if record.name == "cutis.app"]
    assert len(lines) == 5
    assert lines[0].startswith(f"POST {CASES} 201 ")
    assert lines[1].startswith(f"GET {CASES}/{{case_id}} 200 ")
    assert lines[3].startswith("GET - 404 ")
    for line in lines:
        assert secret not in line
        assert case not in line


@pytest.mark.parametrize(
    "limits", [{"workers": 0}, {"queue": -1}, {"capacity": 0}, {"uploads_mb": 59}, {"upload_s": 0}]
)
def test_limits_that_nothing_could_meet_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(limits))):
        Settings(**limits)
