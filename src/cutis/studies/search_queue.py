"""The trials of a search on their way: drawn, trained by someone, and noted as they end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from cutis.studies.search_record import TRAINED
from cutis.studies.search_study import Study
from cutis.studies.search_trials import Bench, Drawn
from cutis.training.job import TrainingJob
from cutis.training.loop import History

_BARREN = 100  # draws in a row with nothing to train, after which the space counts as used up


class Trials:
    """Hands out the trials that are still to be trained, one by one or several at a time.

    Who takes one trains its job, asks `stops` after every epoch, and tells by `ended` how it ended.
    A trial that never ended is handed out again by the next search in the same folder.
    """

    def __init__(
        self, bench: Bench, study: Study, deadline: float | None, note: Callable[[], None]
    ) -> None:
        self._bench = bench
        self._study = study
        self._deadline = deadline
        self._note = note
        self._in_hand: dict[int, Drawn] = {}
        self._barren = 0
        self._trained = sum(record.outcome in TRAINED for record in study.records())

    @contextmanager
    def shown(self) -> Iterator[None]:
        """With a bar that counts the trials that have ended."""
        with tqdm(
            total=self._bench.space.trials,
            initial=self._trained,
            desc="search",
            unit="trial",
            disable=None,
        ) as self._bar:
            yield

    def next(self) -> tuple[int, TrainingJob] | None:
        """A trial's number and its training; None where no more are to be begun."""
        while self._trained + len(self._in_hand) < self._bench.space.trials:
            if self._barren >= _BARREN:
                break
            if self._deadline is not None and time.monotonic() > self._deadline:
                break
            trial = self._study.next_trial(self._in_hand)
            known = [record.values for record in self._study.records()]
            known += [other.values for other in self._in_hand.values()]
            drawn = self._bench.drawn(trial, known)
            if drawn.plan is None:
                self._bench.note(drawn, drawn.outcome, drawn.reason)
                self._barren += 1
                continue
            self._barren = 0
            self._in_hand[trial.number] = drawn
            return trial.number, self._bench.job(drawn, drawn.plan)
        return None

    def stops(self, number: int, history: History) -> bool:
        """Whether a trial lags behind, by the figures of all its epochs so far."""
        return self._bench.stops(self._in_hand[number], history)

    def ended(self, number: int, *, stopped: bool = False, reason: str = "") -> None:
        """Notes a trial that came to its end, was stopped, or broke off for a reason."""
        drawn = self._in_hand.pop(number)
        self._bench.note(drawn, "pruned" if stopped else "failed" if reason else "complete", reason)
        self._trained += 1
        self._bar.update()
        self._note()


class _Stopped(Exception):  # noqa: N818  (no error)
    """Ends the training of a trial that lags behind."""


def one_by_one(trials: Trials) -> None:
    """Trains the trials here, one after the other."""
    while (found := trials.next()) is not None:
        number, job = found

        def watch(history: History, number: int = number) -> None:
            if trials.stops(number, history):
                raise _Stopped

        try:
            reason = job.tried(watch)
        except _Stopped:
            trials.ended(number, stopped=True)
        else:
            trials.ended(number, reason=reason)
