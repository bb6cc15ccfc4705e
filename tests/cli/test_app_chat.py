"""`cutis app --chat-url`: what is wrong is said before anything starts, and never the key."""

from typing import Any

import pytest

from cutis.app.chat import Chat
from cutis.cli import run

KEY = "sk-secret-0123456789"
URL = "https://llm.example/v1"


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(["app", "--no-browser", "--port", "0", *options]) == 2
    shown = capsys.readouterr()
    assert KEY not in shown.err + shown.out
    return shown.err


def test_an_endpoint_needs_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--chat-model" in refused(capsys, "--chat-url", URL)


def test_a_model_needs_an_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--chat-url" in refused(capsys, "--chat-model", "tiny")


def test_an_address_without_encryption_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "--chat-url", "http://llm.example/v1", "--chat-model", "tiny")
    assert "unencrypted" in message


def test_a_key_with_a_line_break_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTIS_CHAT_KEY", f"{KEY}\nX-Evil: 1")
    message = refused(capsys, "--chat-url", URL, "--chat-model", "tiny")
    assert "CUTIS_CHAT_KEY" in message


@pytest.mark.parametrize("proxies", [False, True])
def test_the_endpoint_reaches_the_app(proxies: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from cutis.cli.run_app import run_app

    given: dict[str, Any] = {}

    def created(*_: object, **parts: object) -> None:
        given.update(parts)
        raise RuntimeError("enough")

    class Nothing:
        segmenter = None
        info = type("Info", (), {"segmenter": None})

    monkeypatch.setenv("CUTIS_CHAT_KEY", KEY)
    monkeypatch.setattr("cutis.app.create_app", created)
    monkeypatch.setattr("cutis.runtime.Predictor.load", lambda *_, **__: Nothing)
    with pytest.raises(RuntimeError, match="enough"):
        run_app(port=0, browser=False, chat_url=URL, chat_model="tiny", chat_proxy=proxies)
    chat = given["chat"]
    assert isinstance(chat, Chat)
    assert chat.endpoint is not None
    assert chat.endpoint.host == "llm.example"
    assert chat.endpoint._headers["Authorization"] == f"Bearer {KEY}"
    assert chat.endpoint._proxies is proxies
