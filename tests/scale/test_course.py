"""What a search's errors do to its trials under way: Tune must not try an ended one again."""

import json
from typing import Any

import pytest

from cutis.errors import InputError
from cutis.scale import searching
from cutis.scale.searching import _Course

FULL = InputError("the disk is full")


class Job:
    def anywhere(self) -> "Job":
        return self


class Search:
    """Hands out two trials; fails where it is told to."""

    def __init__(self, fails: str) -> None:
        self.fails, self.left, self.told = fails, [1, 0], []

    def _fail(self, where: str) -> None:
        if where == self.fails:
            raise FULL

    def next(self) -> tuple[int, Any] | None:
        self._fail("next")
        return (self.left.pop(), Job()) if self.left else None

    def stops(self, number: int, history: Any) -> bool:
        self._fail("stops")
        return False

    def ended(self, number: int, *, stopped: bool = False, reason: str = "") -> None:
        self._fail("ended")
        self.told.append((number, reason))


def reported() -> dict[str, str]:
    return {"history": json.dumps([{"epoch": 1}])}


@pytest.mark.parametrize("fails", ["next", "stops", "ended"])
def test_an_error_of_the_search_ends_the_course(fails: str) -> None:
    course = _Course(Search(fails), "here")
    if course.begin("a") is not None:
        course.goes_on("a", reported())
        course.end("a", {"reason": "done"}, lost=False)
    assert course.error is FULL
    assert course.over
    assert course.begin("b") is None


def test_a_trial_that_is_over_is_not_asked_about_again() -> None:
    course = _Course(search := Search(""), "here")
    assert course.begin("a") is not None
    assert course.goes_on("a", reported())
    course.end("a", {"reason": "done"}, lost=False)
    assert not course.goes_on("a", reported())
    course.end("a", {"reason": "done"}, lost=True)
    assert (search.told, course.lost, course.error) == ([(0, "done")], set(), None)


def test_trials_that_wait_too_long_end_the_course(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(searching.time, "monotonic", lambda: now[0])
    course = _Course(Search(""), "here")
    for seconds, stalled in ((0, True), (250, True), (299, False), (301, True), (600, True)):
        now[0] = seconds
        course.seen(stalled=stalled)
        assert not course.over, seconds
    now[0] = 602
    course.seen(stalled=True)
    assert isinstance(course.error, InputError)
    assert (course.error.problem, course.error.where) == ("the cluster makes no progress", "here")
    assert course.begin("a") is None
