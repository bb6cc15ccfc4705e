"""The parts of Ray Tune that a search puts its own in place of."""

from typing import TYPE_CHECKING, Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

if TYPE_CHECKING:
    from cutis.scale.searching import _Course as Course


class OurSearcher(Searcher):
    """Draws nothing itself: the search hands out its trials."""

    def __init__(self, course: "Course") -> None:
        super().__init__()
        self._course = course

    def suggest(self, trial_id: str) -> Any:
        told = self._course.begin(trial_id)
        return Searcher.FINISHED if told is None else told

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._course.end(trial_id, result, lost=error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is kept by the search."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class OurScheduler(FIFOScheduler):
    """Stops the trials that the search stops."""

    def __init__(self, course: "Course") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._course = course

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> Any:
        goes_on = self._course.goes_on(trial.trial_id, result)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP


class OurStopper(Stopper):
    """Ends everything where something is wrong."""

    def __init__(self, course: "Course") -> None:
        self._course = course

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._course.over


class OurClock(Callback):
    """Tells the search in every step of Tune, some ten a second, whether its trials run."""

    def __init__(self, course: "Course") -> None:
        self._course = course

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        states = {trial.status for trial in trials}
        self._course.seen(stalled=Trial.PENDING in states and Trial.RUNNING not in states)
