"""The look-up of a session at each request: what is asked, and what it may hold up."""

import threading
from typing import Any

import anyio
import pytest
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from cutis.app.accounts import guard
from cutis.app.accounts.guard import Identify
from cutis.app.security import SESSION_COOKIE

TOKEN = "-_" + "a" * 41


class Asked:
    """Sessions that note what they are asked for, and answer when they are told to."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.answers = threading.Event()

    def account(self, token: str) -> None:
        self.tokens.append(token)
        self.answers.wait(20)


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers nothing."""


def scope(token: str) -> dict[str, Any]:
    cookie = f"{SESSION_COOKIE}={token}".encode("utf-8", "replace")
    return {"type": "http", "path": "/help", "method": "GET", "headers": [(b"cookie", cookie)]}


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_only_what_may_be_a_token_is_looked_up(asked: Asked) -> None:
    asked.answers.set()

    async def ask() -> None:
        identify = Identify(nothing, asked)  # type: ignore[arg-type]
        for token in ("", "x", TOKEN[:-1], TOKEN + "a", "a" * 42 + "=", "é" * 43, "a" * 4000):
            await identify(scope(token), None, None)  # type: ignore[arg-type]
        assert asked.tokens == []
        await identify(scope(TOKEN), None, None)  # type: ignore[arg-type]

    anyio.run(ask)
    assert asked.tokens == [TOKEN]


def test_a_database_that_hangs_leaves_other_threads_free(asked: Asked) -> None:
    async def ask() -> None:
        identify = Identify(nothing, asked)  # type: ignore[arg-type]
        async with anyio.create_task_group() as group:
            for _ in range(3 * guard._LOOKUPS):
                group.start_soon(identify, scope(TOKEN), None, None)
            try:
                while len(asked.tokens) < guard._LOOKUPS:
                    await anyio.sleep(0.01)
                with anyio.fail_after(5):
                    await run_in_threadpool(int)
            finally:
                asked.answers.set()

    anyio.run(ask)
    assert len(asked.tokens) == 3 * guard._LOOKUPS
