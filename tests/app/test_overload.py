"""Too many at once: bounded work and memory, 503 with Retry-After, and all well afterwards."""

import asyncio
import socket
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
PHOTO_FIELD = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\n'
OPEN = (
    b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\n--x\r\n\r\n"
)


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
    """Bytes count as they come in, whatever the request announces."""

    def stopped(part: bytes) -> Iterator[bytes]:
        yield part
        assert gated.let.wait(10)

    app = make_app(uploads_mb=61, max_upload_mb=20)
    with running(app) as port, ThreadPoolExecutor(2) as users:
        workload = app.state.service.workload
        url = f"http://127.0.0.1:{port}{CASES}"
        one = PHOTO_FIELD + bytes(19_000_000)
        held = [
            users.submit(httpx2.post, url, content=stopped(part), headers=FORM, timeout=20)
            for part in (one, one)
        ]
        while workload._held < 2 * len(one):
            time.sleep(0.01)
        refused = httpx2.post(url, content=iter([one, b"\r\n", one]), headers=FORM, timeout=20)
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        assert post(port, photo).status_code == 201  # a small one has room
        gated.let.set()
        assert [answer.result().status_code for answer in held] == [400, 400]
    assert workload._held == workload._uploads == 0


def test_uploads_that_stand_still_hold_no_place(make_app: MakeApp, photo: bytes) -> None:
    """Half-open uploads, more than there are places, and yet a whole one is judged at once."""
    app = make_app(workers=1, queue=1, stall_s=1.5)
    with running(app) as port:
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
        for one in idle:
            one.sendall(OPEN % CASES.encode())
        while app.state.service.workload._uploads < len(idle):
            time.sleep(0.01)
        assert post(port, photo).status_code == 201
        answers = [one.recv(4096) for one in idle]  # each is given up
        for one in idle:
            one.close()
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)


def test_a_slow_drip_buys_little_time(make_app: MakeApp) -> None:
    with running(make_app(stall_s=1)) as port, socket.create_connection(("127.0.0.1", port)) as one:
        one.settimeout(0.2)
        one.sendall(OPEN % CASES.encode())
        start, answer = time.monotonic(), b""
        while not answer and time.monotonic() < start + 8:
            try:
                one.sendall(b"1\r\nx\r\n")
                answer = one.recv(4096)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() < start + 4


def test_too_many_uploads_at_once_are_refused(make_app: MakeApp, photo: bytes) -> None:
    app = make_app(workers=1, queue=0)
    with running(app) as port:
        most = app.state.service.workload._most_uploads
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(most)]
        for one in idle:
            one.sendall(OPEN % CASES.encode())
        while app.state.service.workload._uploads < most:
            time.sleep(0.01)
        refused = post(port, photo)
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        for one in idle:
            one.close()
        while app.state.service.workload._uploads:
            time.sleep(0.01)
        assert post(port, photo).status_code == 201


def test_a_place_is_given_back_whatever_happens() -> None:
    async def work() -> None:
        workload = Workload(Settings(workers=1, queue=0))

        async def fail() -> None:
            async with workload.upload() as count, workload.place():
                count(10)
                await workload.run(lambda: 1 // 0)

        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await fail()
        async with workload.place():
            with pytest.raises(AppError, match="busy"):
                async with workload.place():
                    pass
            with pytest.raises(AppError, match="busy"):
                async with workload.upload():
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
