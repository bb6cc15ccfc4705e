"""A bounded queue before a pool of threads: what does not fit is refused at once.

A server that takes every request in ends with all of them late and its memory full.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from cutis.app.errors import AppError
from cutis.app.settings import MEGA, Settings

Result = TypeVar("Result")

_LONGEST_WAIT = 60  # seconds that a refused client is asked to wait at most
_UPLOADS_A_PLACE = 4  # on their way, for each place where the work waits
_WEIGHT = 0.1  # of the latest work in the running mean of seconds


class Workload:
    """Work in threads, and the places for what may wait for it. All methods are of one event loop.

    Uploads that are on their way are counted apart: slow ones must not hold the places of those
    that have arrived.
    """

    def __init__(self, settings: Settings) -> None:
        self._workers = settings.workers
        self._places = settings.workers + settings.queue
        self._bytes = settings.uploads_mb * MEGA
        self._most_uploads = _UPLOADS_A_PLACE * self._places
        self._taken = 0
        self._uploads = 0
        self._held = 0  # bytes of all uploads
        self._seconds = 1.0  # running mean of one piece of work
        self._pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="cutis-app")

    @property
    def is_full(self) -> bool:
        """No further work is taken at the moment."""
        return self._taken >= self._places

    @property
    def retry_after(self) -> int:
        """Seconds until there should be room again."""
        return min(_LONGEST_WAIT, max(1, math.ceil(self._taken * self._seconds / self._workers)))

    @asynccontextmanager
    async def upload(self) -> AsyncIterator[Callable[[int], None]]:
        """Room for an upload until it is judged; what it gives counts the bytes that come in.

        Raises AppError `busy` at once where its work would find no place, or too many uploads are
        on their way; and while it comes in, where the bytes of all are more than may be held.
        """
        if self.is_full or self._uploads >= self._most_uploads:
            raise self._busy()
        held = 0

        def count(size: int) -> None:
            nonlocal held
            if self._held + size > self._bytes:
                raise self._busy()
            held += size
            self._held += size

        self._uploads += 1
        try:
            yield count
        finally:
            self._uploads -= 1
            self._held -= held

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for one piece of work; AppError `busy` where all are taken."""
        if self.is_full:
            raise self._busy()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def run(self, work: Callable[[], Result]) -> Result:
        """Does some work in a thread, within a place."""

        def timed() -> tuple[Result, float]:
            start = time.perf_counter()
            return work(), time.perf_counter() - start

        result, seconds = await asyncio.get_running_loop().run_in_executor(self._pool, timed)
        self._seconds += _WEIGHT * (seconds - self._seconds)
        return result

    def _busy(self) -> AppError:
        return AppError("busy", retry_after=self.retry_after)

    def close(self) -> None:
        """Lets the running work end and drops what waits."""
        self._pool.shutdown(cancel_futures=True)
