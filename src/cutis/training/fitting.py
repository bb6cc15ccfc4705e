"""A training whose curves and checkpoint stand in a run folder."""

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from cutis.recipes import AnyRecipe
from cutis.storage import write_file
from cutis.training.backend import Backend
from cutis.training.curves import draw_curves
from cutis.training.loop import History, Trainer
from cutis.training.run import CHECKPOINT, HISTORY, history_csv
from cutis.training.task import Model, Task


def fit(
    model: Model,
    recipe: AnyRecipe,
    task: Task[Model],
    backend: Backend,
    out: Path,
    log: logging.Logger,
    watch: Callable[[History], None] | None,
) -> None:
    """Trains a network in place, or goes on with it; after every epoch `watch` gets the figures.

    Of the backend's workers the leader alone writes.
    """

    def after_epoch(history: History) -> None:
        write_file(out / HISTORY, history_csv(history))
        log.info("%s", history[-1])
        if watch is not None:
            watch(history)

    history = Trainer(model, recipe, task, backend, out / CHECKPOINT, after_epoch).fit()
    if backend.workers.number == 0:
        # a run that was killed after its last checkpoint has not noted the last epoch yet
        write_file(out / HISTORY, history_csv(history))
        draw_curves(pd.DataFrame(history), out / "history.png", task.drawn)
