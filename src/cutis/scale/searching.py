"""`search` on a cluster: Ray Tune trains several trials at once, and trains a lost one again.

The draws, the pruning, the study and the page stay those of one machine. Tune asks for the next
trial where one of its own searchers would draw it, and asks whether a trial lags behind where one
of its own schedulers would decide: so a search can go on here that began on one machine, and the
other way round.
"""

import contextlib
import json
import logging
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

from cutis.errors import CutisError, InputError
from cutis.scale.cluster import Cluster, connected, variables
from cutis.scale.failures import STALL_SECONDS, no_progress
from cutis.scale.places import Places, require_seen, room
from cutis.scale.waiting import waited
from cutis.training.job import TrainingJob
from cutis.training.loop import History

if TYPE_CHECKING:
    from ray.tune import Tuner

T = TypeVar("T")

_asking = threading.Lock()  # beside the course, which Tune pickles

FAILURES = 3
"""Losses of its worker that a trial survives."""

_HISTORY, _REASON, _ERROR = "history", "reason", "error"
"""What a trial tells: after an epoch, at its end, and where it cannot be trained at all."""

_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


class Trials(Protocol):
    """What a search hands out; `cutis.studies.search_queue.Trials`."""

    def next(self) -> tuple[int, TrainingJob] | None: ...

    def stops(self, number: int, history: History) -> bool: ...

    def ended(self, number: int, *, stopped: bool = False, reason: str = "") -> None: ...


@contextlib.contextmanager
def training_on(address: str, workers: int | None = None) -> Iterator[Callable[[Trials], None]]:
    """What `cutis.studies.search.search` takes as `run`, for folders that all nodes see.

    Args:
        address: as `cutis.scale.cluster.connected` takes it, which raises as this does.
        workers: trials at once; None: one a GPU, or where there is none, one a processor.

    Running raises InputError for more workers than there is room for, where no trial finds a free
    processor for STALL_SECONDS, where trials were lost again and again, and what a trial raises
    that lies not in its settings; the search can then go on.
    """
    with variables(_QUIET), connected(address) as cluster:
        now = room()
        places = now.wanted(now.most if workers is None else workers, address)
        yield partial(_run, cluster, places)


def _run(cluster: Cluster, places: Places, trials: Trials) -> None:
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    course = _Course(trials, cluster.address)
    with tempfile.TemporaryDirectory(prefix="cutis-tune-", ignore_cleanup_errors=True) as state:
        try:
            waited(_tuner(course, places, state).fit, cluster.address)
        finally:
            course.leave()
    if course.error is not None:
        raise course.error
    if course.lost:
        raise InputError(
            f"the worker of a trial was lost {FAILURES + 1} times: trial {min(course.lost):04d}",
            where=cluster.address,
            fix="look at `ray status` and at the nodes' memory, then run the same command again",
        )


def _tuner(course: "_Course", places: Places, state: str) -> "Tuner":
    from ray import tune

    from cutis.scale.tune_parts import OurClock, OurScheduler, OurSearcher, OurStopper

    return tune.Tuner(
        tune.with_resources(partial(_try, places.threads), places.resources),
        tune_config=tune.TuneConfig(
            search_alg=OurSearcher(course),
            scheduler=OurScheduler(course),
            num_samples=-1,
            max_concurrent_trials=places.count,
            reuse_actors=True,  # a new process loads PyTorch for seconds
            trial_dirname_creator=str,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=state,
            stop=OurStopper(course),
            callbacks=[OurClock(course)],
            failure_config=tune.FailureConfig(max_failures=FAILURES),
            verbose=0,
        ),
    )


def _try(threads: int, told: dict[str, Any]) -> None:
    """What a worker does with a trial."""
    from ray import tune

    torch.set_num_threads(threads)
    job: TrainingJob = told["job"]
    try:
        require_seen(job.data)
        require_seen(job.out.parents[1])  # of the search
        reason = job.tried(lambda history: tune.report({_HISTORY: json.dumps(history)}))
    except CutisError as error:
        tune.report({_ERROR: error})
    except MemoryError:
        raise  # another try may find room
    except Exception:
        # A fault of ours comes again with every try; only a lost process is worth one.
        tune.report({_ERROR: RuntimeError(traceback.format_exc())})
    else:
        tune.report({_REASON: reason})


class _Course:
    """The trials under way, by the names that Tune gives them."""

    def __init__(self, trials: Trials, address: str) -> None:
        self._trials = trials
        self._address = address
        self._stalled_since: float | None = None
        self._numbers: dict[str, int] = {}
        self._stopped: set[int] = set()
        self._left = False
        self.error: Exception | None = None
        self.lost: set[int] = set()

    @property
    def over(self) -> bool:
        """Whether nothing more is to be trained: something is wrong, or the search was left."""
        return self._left or self.error is not None or bool(self.lost)

    def leave(self) -> None:
        """After this the search is asked nothing more, though Tune's thread may work on."""
        with _asking:
            self._left = True

    def seen(self, *, stalled: bool) -> None:
        """Is told all the time; ends the search where its trials wait too long and none runs."""
        if not stalled:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = time.monotonic()
        elif time.monotonic() - self._stalled_since > STALL_SECONDS:
            self.error = self.error or no_progress(self._address)

    def begin(self, name: str) -> dict[str, Any] | None:
        """What the worker of a new trial is told; None where none is left."""
        found = None if self.over else self._kept(self._trials.next, None)
        if found is None:
            return None
        self._numbers[name], job = found
        return {"number": found[0], "job": job.anywhere()}

    def goes_on(self, name: str, result: dict[str, Any]) -> bool:
        """Whether a trial goes on after what it has told."""
        number = self._numbers.get(name)
        if number is None:
            return False
        self.error = self.error or result.get(_ERROR)
        if _HISTORY in result:
            history = json.loads(result[_HISTORY])
            if self._kept(lambda: self._trials.stops(number, history), True):
                self._stopped.add(number)
        return number not in self._stopped

    def end(self, name: str, result: dict[str, Any] | None, *, lost: bool) -> None:
        """A trial is over."""
        number = self._numbers.pop(name, None)
        if number is None:
            return
        if lost:
            self.lost.add(number)
        elif number in self._stopped:
            self._kept(lambda: self._trials.ended(number, stopped=True), None)
        elif result is not None and _REASON in result:
            self._kept(lambda: self._trials.ended(number, reason=result[_REASON]), None)

    def _kept(self, ask: Callable[[], T], otherwise: T) -> T:
        """What the search answers; an error ends the course. Tune would try the trial again."""
        with _asking:
            if self._left:
                return otherwise
            try:
                return ask()
            except Exception as error:
                self.error = self.error or error
                return otherwise
