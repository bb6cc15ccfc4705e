"""How often people may ask: an endpoint costs money, and one person must not use it all up."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from cutis.app.errors import AppError

_WINDOW_S = 60.0
_RUNNING_WAIT = 10  # seconds that somebody is asked to wait while all places are taken


class Pace:
    """Counts questions of the last minute, and those being answered.

    Args:
        of_case: questions a minute about one case.
        of_all: questions a minute about all cases together.
        at_once: questions answered at the same time; of one case only one.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        of_case: int = 6,
        of_all: int = 60,
        at_once: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_case = of_case
        self._of_all = of_all
        self._at_once = at_once
        self._clock = clock
        self._asked: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()
        self._running: set[str] = set()

    def admit(self, key: str) -> None:
        """Counts a question about a case and takes a place for it, which `release` gives back.

        Raises AppError `chat_busy` where it is one too many; then no place is taken.
        """
        now = self._clock()
        self._forget(now)
        if key in self._running or len(self._running) >= self._at_once:
            raise AppError("chat_busy", retry_after=_RUNNING_WAIT)
        mine = self._asked.get(key, deque())
        for times, most in ((mine, self._of_case), (self._all, self._of_all)):
            if len(times) >= most:
                wait = math.ceil(times[0] + _WINDOW_S - now)
                raise AppError("chat_busy", retry_after=max(1, wait))
        mine.append(now)
        self._all.append(now)
        self._asked[key] = mine
        self._running.add(key)

    def release(self, key: str) -> None:
        """Frees the place of a case whose question is answered."""
        self._running.discard(key)

    def _forget(self, now: float) -> None:
        for key, times in [*self._asked.items(), ("", self._all)]:
            while times and times[0] <= now - _WINDOW_S:
                times.popleft()
            if not times:
                self._asked.pop(key, None)
