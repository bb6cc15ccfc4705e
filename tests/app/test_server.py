"""The server itself: ports, uploads that go wrong on the wire, and cases that end with it."""

import http.client
import logging
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from cutis.app import server
from cutis.app.server import bind
from cutis.errors import InputError

from .conftest import DIAGNOSES, HOST, MakeApp, encoded, running

CASES = "/api/v1/cases"


def test_a_taken_port_names_a_free_one() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="the port is taken") as caught:
            bind("127.0.0.1", port)
    assert caught.value.where == f"127.0.0.1:{port}"
    suggested = int(str(caught.value.fix).rpartition(" ")[2])
    assert port < suggested <= port + 50
    bind("127.0.0.1", suggested).close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(InputError) as caught:
        bind(host, 0)
    assert host in str(caught.value.where)


def test_a_port_of_the_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(host: str, port: int) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(server, "_listening", forbidden)
    with pytest.raises(InputError, match="no permission for this port"):
        bind("127.0.0.1", 80)


def test_a_refused_upload_reads_its_answer(make_app: MakeApp) -> None:
    """The client sends all before it reads, as browsers do; the server must hear it out."""
    with running(make_app(max_upload_mb=1)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(
            "POST", CASES, b"x" * 8_000_000, {"Content-Type": "multipart/form-data; boundary=x"}
        )
        answer = connection.getresponse()
        assert answer.status == 413
        assert b"request_too_large" in answer.read()
        connection.close()


def test_a_client_that_asks_first_is_refused_before_it_sends(make_app: MakeApp) -> None:
    with running(make_app(max_upload_mb=1)) as port:
        head = f"POST {CASES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
            asking.sendall((head + "Expect: 100-continue\r\n\r\n").encode())
            assert asking.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_slow_upload_ends(make_app: MakeApp) -> None:
    with running(make_app(upload_s=1)) as port:
        head = f"POST {CASES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
            slow.sendall((head + kind).encode())
            start = time.monotonic()
            answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - start < 8


def test_a_client_that_leaves_is_no_error(
    make_app: MakeApp, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    with caplog.at_level(logging.WARNING), running(app) as port:
        head = f"POST {CASES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as leaving:
                leaving.sendall((head + kind).encode())
        url = f"http://127.0.0.1:{port}{CASES}"
        assert httpx2.post(url, files={"photos": ("a", photo)}).status_code == 201
        while app.state.service.workload._taken:
            time.sleep(0.01)
    assert caplog.records == []


def test_forgotten_cases_leave_the_memory_by_themselves(
    make_app: MakeApp, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_SWEEP_S", 0.05)
    app = make_app(lifetime_s=1)
    with TestClient(app, base_url=HOST) as client:
        assert client.post(CASES, files={"photos": ("a", photo)}).status_code == 201
        kept = app.state.service.store._kept
        assert len(kept) == 1
        end = time.monotonic() + 5
        while kept and time.monotonic() < end:
            time.sleep(0.02)
        assert not kept


def test_nothing_is_written_to_a_disk(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The framework's own reader of forms keeps files above 1 MB in the temporary folder."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a file was asked for")

    large = encoded("PNG", 700, 900)
    assert len(large) > 1_100_000
    with TestClient(make_app(), base_url=HOST) as client:
        monkeypatch.setattr("tempfile.TemporaryFile", forbidden)
        monkeypatch.setattr("tempfile._TemporaryFileWrapper", forbidden)
        monkeypatch.setattr("tempfile.mkstemp", forbidden)
        monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", forbidden)
        assert client.post(CASES, files={"photos": ("a", large)}).status_code == 201


def test_the_verb_serves_a_bundle(bundle: Path, photo: bytes) -> None:
    """The whole way: loading, judging, drawing, and the end."""
    command = [sys.executable, "-m", "cutis", "app", "--model", str(bundle), "--port", "0"]
    with subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        url = f"{address}api/v1/cases"
        sent = httpx2.post(url, files={"photos": ("a", photo)}, timeout=30)
        case = sent.json()
        layers = [
            httpx2.get(f"{url}/{case['id']}/photos/1/{name}", timeout=30).status_code
            for name in ("photo.jpg", "outline.png", "heat.png", "measures.json")
        ]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    assert sent.status_code == 201
    assert set(case["judgement"]["probabilities"]) == set(DIAGNOSES)
    assert case["judgement"]["verdict"] == "answer with caution"
    assert layers == [200] * 4


def test_the_app_needs_no_torch(bundle: Path) -> None:
    code = """
import sys
for name in ("torch", "onnx", "safetensors", "openvino", "ai_edge_litert", "timm", "httpx"):
    sys.modules[name] = None  # any import of it now fails
import importlib, pkgutil
from pathlib import Path
import cutis.app
from cutis.runtime import Predictor
for module in pkgutil.walk_packages(cutis.app.__path__, "cutis.app."):
    if not module.name.endswith("migrations.env"):  # Alembic alone can run it
        importlib.import_module(module.name)
cutis.app.create_app(
    Predictor.load(Path(sys.argv[1])), None,
    cutis.app.Settings(), judge=object(), layers=object(),
)
print("made")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "made\n", done.stderr
