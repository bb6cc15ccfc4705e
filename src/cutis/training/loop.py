"""The training loop of every task: stages of epochs over decoded photos, resumable after each."""

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from cutis.data.batches import batch_slices
from cutis.errors import InputError, RecipeError
from cutis.models.backbone import follow_trainable_flags
from cutis.recipes import AnyRecipe
from cutis.recipes.schema import TrainingStage
from cutis.storage import commit_files
from cutis.training.backend import EVALUATION_BATCH, Backend
from cutis.training.stages import Rate, make_optimiser
from cutis.training.task import Model, StageTask, Task
from cutis.training.workers import is_divided, share

History = list[dict[str, float | int | str]]
"""Figures by epoch; the columns of `history.csv`."""

_Tensors = tuple[Tensor, ...] | list[Tensor]


_LAG_SECONDS = 120  # for which a network drive may show an older state


@dataclass
class Progress:
    """What must survive an interruption, apart from the weights and the optimiser."""

    stage: int = 0
    epoch: int = 0  # finished epochs of this stage
    best: float = -np.inf
    since_best: int = 0
    best_weights: dict[str, Tensor] | None = None
    history: History = field(default_factory=list)


class Trainer(Generic[Model]):
    """Trains a network in place through all stages of a recipe.

    After every epoch the whole state goes to the file `checkpoint` and `after_epoch` gets the
    history so far. When the file exists already, training goes on behind its last epoch and ends
    with the weights of an uninterrupted run. Of the backend's workers each runs this loop, and the
    leader alone writes.
    """

    def __init__(
        self,
        model: Model,
        recipe: AnyRecipe,
        task: Task[Model],
        backend: Backend,
        checkpoint: Path,
        after_epoch: Callable[[History], None],
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.task = task
        self.backend = backend
        self.checkpoint = checkpoint
        self.after_epoch = after_epoch
        self.progress = Progress()

    def fit(self) -> History:
        """Runs what is left of the stages and returns the figures of every epoch.

        Raises RecipeError when the loss is not a number any more, InputError for a checkpoint
        that cannot be read.
        """
        self.backend.place(self.model)
        saved = self._saved()
        if saved is not None:
            self.progress = Progress(**saved["progress"])
        photos = {
            _name(number, stage): self.task.epoch_photos(number)
            for number, stage in enumerate(self.recipe.stage)
        }
        with tqdm(
            total=self._photos_from(0),
            initial=sum(photos[str(row["stage"])] for row in self.progress.history),
            desc="training",
            unit="photo",
            disable=None,
        ) as bar:
            while self.progress.stage < len(self.recipe.stage):
                self._fit_stage(saved, bar)
                saved = None
        return self.progress.history

    def _saved(self) -> dict[str, Any] | None:
        """The checkpoint that the leader sees; a network drive may show another worker an older."""
        until = time.monotonic() + _LAG_SECONDS
        saved = _read(self.checkpoint, self.backend.device)
        leaders = self.backend.workers.told(_epoch_of(saved))
        while _epoch_of(saved) != leaders:
            if time.monotonic() > until:
                raise InputError(
                    "this computer sees another state of the run than the first worker",
                    where=self.checkpoint,
                    fix="mount the folder without a cache, then give the same command again",
                )
            time.sleep(1)
            saved = _read(self.checkpoint, self.backend.device)
        return saved

    def _fit_stage(self, saved: dict[str, Any] | None, bar: "tqdm[Any]") -> None:
        progress, stage = self.progress, self.recipe.stage[self.progress.stage]
        started = time.monotonic()
        self.task.apply_trainable(self.model, progress.stage)
        optimiser = make_optimiser(self.model, stage)
        photos = self.task.epoch_photos(progress.stage)
        steps = len(batch_slices(photos, stage.batch_size))
        rate = Rate(optimiser, stage, steps)
        average = _average(self.model, self.recipe.moving_average, self.task.quick_average)
        judged = cast(Model, average.module) if average is not None else self.model
        parts: dict[str, Any] = {"model": self.model, "optimiser": optimiser, "rate": rate}
        parts |= {"average": average} if average is not None else {}
        if saved is not None:
            for name, part in parts.items():
                part.load_state_dict(saved[name])
        task = self.task.begin(self.model, progress.stage)
        with self.backend.workers.joined(task.network(self.model)) as network:
            while progress.epoch < stage.epochs and not _stopped(stage, progress):
                figures = self._train_epoch(task, network, optimiser, rate, average, bar)
                figures |= task.validate(judged)
                if not np.isfinite(figures["validation_loss"]):
                    raise self._diverged(figures["learning_rate"])
                figures["seconds"] = time.monotonic() - started
                figures["images_per_second"] = photos / figures["seconds"]
                started = time.monotonic()
                self._note_epoch(stage, figures, judged)
                rate.after_epoch(_higher_is_better(figures, self.recipe.monitor))
                self._keep(parts)
                shown = self.task.shown
                bar.set_postfix_str(f"{shown} {figures[f'validation_{shown}']:.3f}")
        self._end_stage(judged)
        bar.total = bar.n + self._photos_from(progress.stage)

    def _photos_from(self, stage: int) -> int:
        """Photos that the stages from this one on are to see."""
        stages = enumerate(self.recipe.stage)
        return sum(s.epochs * self.task.epoch_photos(n) for n, s in stages if n >= stage)

    def _train_epoch(
        self,
        task: StageTask[Model],
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        rate: Rate,
        average: AveragedModel | None,
        bar: "tqdm[Any]",
    ) -> dict[str, float]:
        self._seed_epoch()
        self.model.train()
        follow_trainable_flags(self.model)
        workers = self.backend.workers
        first_rate = optimiser.param_groups[0]["lr"]
        # summed on the device: asking for a number at every step would wait for it
        total_loss, total_score = torch.zeros(2, device=self.backend.device)
        stage = self.recipe.stage[self.progress.stage]
        seen = self.task.epoch_photos(self.progress.stage)
        batches = batch_slices(seen, stage.batch_size)
        pieces = task.training(self.progress.epoch)
        for batch, (inputs, targets) in zip(batches, pieces, strict=True):
            loss, output = task.loss(network, inputs, targets)
            loss = loss * share(workers, task.weight(targets))
            optimiser.zero_grad(set_to_none=True)
            # times the workers, for their gradients are averaged
            (loss * workers.count).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.after_step()
            if average is not None:
                average.update_parameters(self.model)
            photos = batch.stop - batch.start
            total_loss += loss.detach() * photos
            computed = 1 if is_divided(workers, batch) else workers.count  # times
            total_score += task.score(output, targets) / computed
            bar.update(photos)
        total_loss, total_score = workers.total(torch.stack([total_loss, total_score]))
        if not torch.isfinite(total_loss):
            raise self._diverged(optimiser.param_groups[0]["lr"])
        return {
            "learning_rate": first_rate,
            "train_loss": total_loss.item() / seen,
            f"train_{self.task.scored}": total_score.item() / seen,
        }

    def _seed_epoch(self) -> None:
        """Seeds what the network draws: each worker drops out other units, for other photos."""
        workers = self.backend.workers
        seed: tuple[int, ...] = (self.recipe.seed, self.progress.stage, self.progress.epoch)
        if workers.number:
            seed = (*seed, workers.number)
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))

    def _keep(self, parts: dict[str, Any]) -> None:
        if self.backend.workers.number == 0:
            _save(self.checkpoint, self.progress, parts)
            self.after_epoch(self.progress.history)

    def _diverged(self, learning_rate: float) -> RecipeError:
        return RecipeError(
            f"the loss is not a number any more (stage {self.progress.stage + 1}, epoch "
            f"{self.progress.epoch + 1}, learning rate {learning_rate:.2g})",
            expected="a finite loss",
            fix="lower the stage's learning_rate, or set precision=float32",
        )

    def _note_epoch(
        self, stage: TrainingStage, figures: dict[str, float], judged: nn.Module
    ) -> None:
        progress = self.progress
        progress.epoch += 1
        progress.since_best += 1
        figure = _higher_is_better(figures, self.recipe.monitor)
        if figure > progress.best:
            progress.best, progress.since_best = figure, 0
            if self.recipe.keep == "best":
                progress.best_weights = {k: v.clone() for k, v in judged.state_dict().items()}
        name = _name(progress.stage, stage)
        progress.history.append({"epoch": len(progress.history) + 1, "stage": name, **figures})

    def _end_stage(self, judged: nn.Module) -> None:
        """The model takes the weights that the stage hands on: its best epoch's or its last."""
        progress = self.progress
        weights = progress.best_weights if self.recipe.keep == "best" else judged.state_dict()
        if weights is not None:
            self.model.load_state_dict(weights)
        progress.stage += 1
        progress.epoch, progress.since_best = 0, 0
        progress.best, progress.best_weights = -np.inf, None


@torch.inference_mode()
def logits_of(
    model: nn.Module, pixels: NDArray[np.uint8], chosen: NDArray[np.int64], backend: Backend
) -> Tensor:
    """Logits (photos, diagnoses) of the chosen photos, float32 on the CPU."""
    model.eval()
    logits = []
    for part in batch_slices(len(chosen), EVALUATION_BATCH):
        with backend.autocast():
            logits.append(model(backend.normalised(pixels[chosen[part]])).float().cpu())
    return torch.cat(logits)


def _average(model: nn.Module, decay: float, quick: bool) -> AveragedModel | None:
    if not decay:
        return None

    def quickly(averaged: _Tensors, current: _Tensors, steps: Tensor | int) -> None:
        least = min(decay, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(least)(averaged, current, steps)  # type: ignore[no-untyped-call]

    averaging = quickly if quick else get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)


def _higher_is_better(figures: dict[str, float], monitor: str) -> float:
    return -figures[monitor] if monitor == "validation_loss" else figures[monitor]


def _name(number: int, stage: TrainingStage) -> str:
    return stage.name or str(number + 1)


def _stopped(stage: TrainingStage, progress: Progress) -> bool:
    stopping = stage.early_stopping
    return stopping is not None and progress.since_best >= stopping.patience


def _save(checkpoint: Path, progress: Progress, parts: dict[str, Any]) -> None:
    state = {name: part.state_dict() for name, part in parts.items() if part is not None}

    def write(path: Path) -> None:
        # given a path, torch writes by itself and a full disk is not an OSError any more
        with path.open("wb") as file:
            torch.save({"progress": vars(progress)} | state, file)

    commit_files(checkpoint.parent, {checkpoint.name: write})


def _epoch_of(saved: dict[str, Any] | None) -> tuple[int, int, int] | None:
    """What tells one checkpoint of a run from another."""
    if saved is None:
        return None
    progress = saved["progress"]
    return progress["stage"], progress["epoch"], len(progress["history"])


def _read(checkpoint: Path, device: torch.device) -> dict[str, Any] | None:
    """None where there is no checkpoint."""
    if not checkpoint.is_file():
        return None
    try:
        saved: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            "the checkpoint of the run is damaged",
            where=checkpoint,
            fix="delete this file; the same command then trains from the first epoch",
        ) from error
    return saved
