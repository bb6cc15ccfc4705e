"""`cutis app`: starts, answers, warns, and ends quietly."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cutis.cli import run_app

# `cutis app` with a predictor that nobody asks, so that it starts at once
_START = """
import sys, types
class Predictor:
    segmenter = None
    info = types.SimpleNamespace(segmenter=None)
    @classmethod
    def load(cls, bundle, engine): return cls()
import cutis.runtime
cutis.runtime.Predictor = Predictor
from cutis.cli import run
sys.exit(run(sys.argv[1:]))
"""


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The verb in a process of its own, and the address that it printed."""
    command = [sys.executable, "-c", _START, "app", "--port", "0", "--no-browser", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def answers(address: str) -> bytes:
    with urllib.request.urlopen(f"{address}health", timeout=10) as opened:
        read: bytes = opened.read()
    return read


def test_it_serves_until_it_is_interrupted() -> None:
    with started() as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        assert answers(address) == b'{"status":"ok"}'
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert out.endswith(f"stopped; the cases of {address} that were not saved are forgotten\n")


def test_a_network_gets_a_warning() -> None:
    with started("--host", "0.0.0.0") as (process, address):
        assert answers(address) == b'{"status":"ok"}'
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert err.startswith("warning: every device in the network can open the app.")
    assert err.count("\n") == 1


def test_an_archive_is_opened_and_its_first_account_is_made_over_one_address(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "archive"
    with started("--archive", str(folder)) as (process, address):
        assert answers(address) == b'{"status":"ok"}'
        assert process.stdout is not None
        assert process.stdout.readline() == "Ctrl-C ends the app.\n"
        setup = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert re.fullmatch(rf"Make the first account, an admin: {address}setup\?token=\S+\n", setup)
    assert (process.returncode, err) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == ["archive.json", "cutis.sqlite3"]


def test_a_folder_that_is_no_archive_is_refused(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    said = refused("app", "--port", 0, "--no-browser", "--archive", tmp_path)
    assert "the folder holds something else" in said


def test_a_taken_port_is_refused_before_anything_is_loaded(refused: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("app", "--port", port, "--model", "nowhere", "--no-browser")
    assert "the port is taken" in said
    assert re.search(r"to do: choose a free one: --port \d+\n", said)


def test_what_is_refused(refused: Any, tmp_path: Path) -> None:
    said = refused("app", "--port", 0, "--model", tmp_path / "nowhere")
    assert "there is no such bundle" in said
    assert "65535" in refused("app", "--port", 99999)
    assert "no such address" in refused("app", "--port", 0, "--host", "no-such-host.invalid")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8600/"),
        ("0.0.0.0", "http://127.0.0.1:8600/"),
        ("::", "http://[::1]:8600/"),
        ("::1", "http://[::1]:8600/"),
        ("192.168.1.5", "http://192.168.1.5:8600/"),
    ],
)
def test_the_address_is_one_to_open(host: str, address: str) -> None:
    assert run_app._address(host, 8600) == address


def test_the_browser_is_opened_unless_it_is_not_wanted(
    cutis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("threading.Thread", _AtOnce)
    monkeypatch.setattr("cutis.app.create_app", lambda *_, **__: None)
    monkeypatch.setattr("cutis.app.serve", lambda *_: None)
    monkeypatch.setattr("cutis.runtime.Predictor.load", lambda *_, **__: _NoModel())
    done = cutis("app", "--port", 0)
    assert done.code == 0
    assert opened == [done.out.splitlines()[0]]
    assert cutis("app", "--port", 0, "--no-browser").code == 0
    assert len(opened) == 1


class _NoModel:
    """A predictor without a segmenter."""

    segmenter = None
    info = type("Info", (), {"segmenter": None})


class _AtOnce:
    """A thread that works before it returns."""

    def __init__(self, target: Any, args: Any, daemon: bool) -> None:
        self.start = lambda: target(*args)
