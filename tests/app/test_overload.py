"""Too many at once: bounded work and memory, 503 with Retry-After, and all well afterwards."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from cutis.app.cases import Judgement
from cutis.app.errors import AppError
from cutis.app.overload import Workload
from cutis.app.settings import Settings

from .conftest import MakeApp, encoded, judge, running

CASES = "/api/v1/cases"
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


class Gated:
    """A judge that works only when it is let, and counts how many work at once."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.begun = threading.Semaphore(0)
        self.at_once = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any, **options: Any) -> Judgement:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.begun.release()
        assert self.let.wait(10)
        with self._lock:
            self.at_once -= 1
        return judge(*arguments, **options)


@pytest.fixture
def gated() -> Iterator[Gated]:
    made = Gated()
    yield made
    made.let.set()


def post(port: int, photo: bytes) -> httpx2.Response:
    url = f"http://127.0.0.1:{port}{CASES}"
    return httpx2.post(url, files={"photos": ("a", photo)}, timeout=20)


def test_what_does_not_fit_is_refused_at_once(
    make_app: MakeApp, gated: Gated, photo: bytes
) -> None:
    app = make_app(judge=gated, workers=2, queue=3)
    with running(app) as port, ThreadPoolExecutor(5) as users:
        taken = [users.submit(post, port, photo) for _ in range(5)]
        for _ in range(2):
            assert gated.begun.acquire(timeout=10)
        workload = app.state.service.workload
        while not workload.is_full:
            time.sleep(0.01)
        refused = post(port, photo)
        assert refused.status_code == 503
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["error"]["code"] == "busy"
        assert refused.headers["retry-after"] in refused.json()["error"]["fix"]
        ready = httpx2.get(f"http://127.0.0.1:{port}/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": "busy"})
        assert int(ready.headers["retry-after"]) >= 1
        assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
        gated.let.set()
        assert [answer.result().status_code for answer in taken] == [201] * 5
        assert gated.most == 2
        assert post(port, photo).status_code == 201
        assert httpx2.get(f"http://127.0.0.1:{port}/ready").status_code == 200


def test_fifty_at_once_get_their_answers(make_app: MakeApp) -> None:
    with running(make_app(workers=2)) as port, ThreadPoolExecutor(50) as users:
        photos = [encoded(seed=number) for number in range(50)]
        answers = list(users.map(lambda photo: post(port, photo), photos))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 50


def test_uploads_are_bounded_together(make_app: MakeApp, gated: Gated, photo: bytes) -> None:
    """Two requests without a length may each become as large as a case can be."""

    def endless() -> Iterator[bytes]:
        yield b"--x\r\n"
        assert gated.let.wait(10)

    app = make_app(uploads_mb=100)
    with running(app) as port, ThreadPoolExecutor(1) as user:
        url = f"http://127.0.0.1:{port}{CASES}"
        first = user.submit(httpx2.post, url, content=endless(), headers=FORM, timeout=20)
        while app.state.service.workload._held == 0:
            time.sleep(0.01)
        second = httpx2.post(url, content=iter([b"--x--\r\n"]), headers=FORM)
        assert (second.status_code, "retry-after" in second.headers) == (503, True)
        assert post(port, photo).status_code == 201  # its length is known, and small
        gated.let.set()
        assert first.result().status_code == 400
    assert app.state.service.workload._held == 0


def test_a_place_is_given_back_whatever_happens() -> None:
    async def work() -> None:
        workload = Workload(Settings(workers=1, queue=0))
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with workload.place(10):
                    await workload.run(lambda: 1 // 0)
        async with workload.place(10):
            with pytest.raises(AppError, match="busy"):
                async with workload.place(10):
                    pass
        assert not workload.is_full
        assert workload._held == 0
        workload.close()

    asyncio.run(work())


def test_the_wait_grows_with_what_waits() -> None:
    async def work() -> list[int]:
        workload = Workload(Settings(workers=2, queue=200))
        waits = [workload.retry_after]
        for _ in range(150):
            await workload.place().__aenter__()
            waits.append(workload.retry_after)
        workload.close()
        return waits

    waits = asyncio.run(work())
    assert waits == sorted(waits)
    assert (waits[0], waits[20], waits[-1]) == (1, 10, 60)
