"""One trial of a search: draw a point, train it, note how it ended, clear up behind it."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import tomlkit

from cutis.data.catalog import Catalog
from cutis.data.splits import Split
from cutis.errors import InputError
from cutis.recipes import Recipe, load_recipe, takes_whole_numbers
from cutis.recipes.search_space import Parameter, Search, label
from cutis.studies.search_record import Outcome, TrialRecord
from cutis.studies.search_study import RECORD
from cutis.training.job import TrainingJob
from cutis.training.lesion_masks import open_segmenter
from cutis.training.loop import History
from cutis.training.run import HISTORY, LOG, RECIPE
from cutis.training.train import start_of

TRIALS = "trials"
_KEPT = {RECIPE, HISTORY, "history.png", LOG}
_STATES: dict[Outcome, optuna.trial.TrialState] = {
    "complete": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    # what is invalid must look bad to the sampler, and what was drawn twice must not
    "invalid": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
    "repeated": optuna.trial.TrialState.FAIL,
}


@dataclass(frozen=True)
class Drawn:
    """A trial whose point is drawn.

    Attributes:
        plan: the recipe to train; None where there is nothing to train, by `outcome`.
        told: the epochs that the pruner knows.
    """

    trial: optuna.Trial
    values: dict[str, Any]
    plan: Recipe | None
    told: set[int]
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Bench:
    """What all trials of a search share."""

    recipe: str | Path
    overrides: tuple[str, ...]
    plan: Recipe
    space: Search
    catalog: Catalog
    parts: Split
    out: Path
    weights: str
    segmenter: Path | None = None

    def settings(self, values: Mapping[str, Any]) -> list[str]:
        """The settings of the command line, and those of a point of the space."""
        return [*self.overrides, *(f"{key}={_toml(value)}" for key, value in values.items())]

    def recipe_of(self, trial: TrialRecord) -> Recipe:
        """The recipe with a trial's values put in."""
        return load_recipe(self.recipe, self.settings(trial.values))

    def segmenter_for(self, plan: Recipe) -> Path | None:
        """The segmenter, where the recipe of a trial needs it."""
        return None if plan.input.lesion == "none" else self.segmenter

    def folder(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.out / TRIALS / f"{number:04d}"

    def drawn(self, trial: optuna.Trial, known: Iterable[dict[str, Any]]) -> "Drawn":
        """Draws the trial's point, and checks whether it can and shall be trained.

        Args:
            known: the points of the trials before it.
        """
        values = self.space.drawn(partial(_suggest, trial))
        told = set(trial.study.trials[trial.number].intermediate_values)
        plan, reason = self._checked(values)
        if values in known:
            return Drawn(trial, values, None, told, "repeated", reason)
        return Drawn(trial, values, plan, told, "invalid", reason)

    def job(self, drawn: "Drawn", plan: Recipe) -> TrainingJob:
        """The training of a point."""
        out, segmenter = self.folder(drawn.trial.number), self.segmenter_for(plan)
        return TrainingJob(plan, self.catalog.folder, out, self.parts.name, self.weights, segmenter)

    def stops(self, drawn: "Drawn", history: History) -> bool:
        """Tells the pruner all epochs that it does not know, and gives what it says.

        After its last epoch a trial is compared too, for those to come, but complete all the same.
        """
        plan = drawn.plan
        if self.space.pruning is None or plan is None:
            return False
        last = sum(stage.epochs for stage in plan.stage)
        for row in history:
            epoch = int(row["epoch"])
            if epoch not in drawn.told:
                drawn.told.add(epoch)
                drawn.trial.report(float(row[plan.monitor]), epoch)
                if drawn.trial.should_prune() and epoch < last:
                    return True
        return False

    def note(self, drawn: "Drawn", outcome: Outcome, reason: str) -> None:
        """Tells the study how a trial ended."""
        trial, plan = drawn.trial, drawn.plan
        history = _history(self.folder(trial.number))
        figure = None if history is None or plan is None else figure_of(history, plan)
        record = TrialRecord(
            number=trial.number,
            outcome=outcome,
            values=drawn.values,
            figure=figure,
            epochs=0 if history is None else len(history),
            seconds=0.0 if history is None else round(float(history["seconds"].sum()), 3),
            reason=reason,
        )
        trial.set_user_attr(RECORD, record.model_dump(mode="json"))
        objective = figure if outcome == "complete" else None
        trial.study.tell(trial.number, objective, state=_STATES[outcome])

    def _checked(self, values: dict[str, Any]) -> tuple[Recipe | None, str]:
        """The recipe of a point, or else why it cannot be trained."""
        try:
            plan = load_recipe(self.recipe, self.settings(values))
            start_of(plan, self.catalog, self.parts, self.weights)
            open_segmenter(plan.input.lesion, self.segmenter_for(plan))
        except InputError as error:
            return None, error.problem
        return plan, ""

    def clear_up(self, best: TrialRecord | None, done: list[TrialRecord]) -> None:
        """Leaves of all runs but the best one the recipe, the curves and the log."""
        for trial in done:
            folder = self.folder(trial.number)
            if trial == best or not folder.is_dir():
                continue
            for file in folder.iterdir():
                if file.is_dir():
                    shutil.rmtree(file)
                elif file.name not in _KEPT:
                    file.unlink()


def figure_of(history: pd.DataFrame, recipe: Recipe) -> float:
    """The monitored figure of the epoch whose weights the last stage hands on."""
    figures = history.loc[history["stage"] == history["stage"].iloc[-1], recipe.monitor]
    if recipe.keep == "last":
        return float(figures.iloc[-1])
    return float(figures.min() if recipe.monitor == "validation_loss" else figures.max())


def _history(run: Path) -> pd.DataFrame | None:
    path = run / HISTORY
    return pd.read_csv(path) if path.is_file() else None


def _suggest(trial: optuna.Trial, key: str, parameter: Parameter) -> Any:
    if parameter.choices is not None:
        # the storage knows text and numbers only
        chosen = trial.suggest_categorical(key, [label(choice) for choice in parameter.choices])
        return next(choice for choice in parameter.choices if label(choice) == chosen)
    low, high, step = parameter.ends()
    if takes_whole_numbers(key):
        return trial.suggest_int(key, int(low), int(high), step=int(step or 1), log=parameter.log)
    return trial.suggest_float(key, low, high, step=step, log=parameter.log)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    return tomlkit.item(value).as_string()
