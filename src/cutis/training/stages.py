"""What a stage of a recipe means in PyTorch: trainable layers, optimiser, schedule, loss."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer, lr_scheduler

from cutis.errors import RecipeError
from cutis.models.registry import Classifier
from cutis.recipes.schema import Stage, TrainingStage

Loss = Callable[[Tensor, Tensor], Tensor]


def apply_trainable(model: Classifier, stage: Stage) -> None:
    """Freezes and releases layers as the stage says; the head always trains."""
    layers = len(model.backbone.keras_layers())
    kind, _, number = stage.trainable.partition(" ")
    first = {"all": 0, "head": layers}.get(kind)
    if first is None:
        first = layers - int(number) if kind == "last" else int(number)
    if not 0 <= first <= layers:
        raise RecipeError(
            f"stage '{stage.name}' trains '{stage.trainable}', but the backbone has {layers} "
            "Keras layers",
            expected=f"'last N' with N up to {layers}, or 'from K' with K up to {layers}",
        )
    model.backbone.train_from(first)
    model.head.requires_grad_(True)
    if stage.views and not frozen_depth(model):
        raise RecipeError(
            f"stage '{stage.name}' keeps views of the photos, but no layer at the start of the "
            "network is frozen whose answers could be kept",
            fix="set views=0, or train fewer layers (trainable='head' or 'last N')",
        )


def frozen_depth(model: Classifier) -> int:
    """Modules of the backbone's chain before the first one in which something trains: the cut."""
    chain = model.backbone.chain()
    trains = [any(p.requires_grad for p in module.parameters()) for module in chain]
    return trains.index(True) if any(trains) else len(chain)


def make_optimiser(model: nn.Module, stage: TrainingStage) -> Optimizer:
    """The stage's optimiser over the trainable parameters; one-dimensional ones do not decay."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = stage.learning_rate
    if stage.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    # Keras's epsilon: the papers' rates were chosen with it
    kind = torch.optim.AdamW if stage.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, eps=1e-7, fused=True)


class Rate:
    """The learning rate's course: `after_step` and `after_epoch` move it on."""

    def __init__(self, optimiser: Optimizer, stage: TrainingStage, steps_per_epoch: int) -> None:
        schedule, steps = stage.schedule, stage.epochs * steps_per_epoch
        self._per_step: lr_scheduler.LRScheduler | None = None
        self._plateau: lr_scheduler.ReduceLROnPlateau | None = None
        if schedule.kind == "one-cycle":
            # torch divides by the length of the rise, steps * warmup - 1
            warmup = schedule.warmup if steps * schedule.warmup > 1 else 0.0
            self._per_step = lr_scheduler.OneCycleLR(
                optimiser, stage.learning_rate, steps, pct_start=warmup
            )
        elif schedule.kind == "cosine":
            self._per_step = lr_scheduler.CosineAnnealingLR(optimiser, steps, schedule.minimum)
        elif schedule.kind == "plateau":
            # as in Keras: the epoch that fills the patience lowers the rate, torch's the one after
            self._plateau = lr_scheduler.ReduceLROnPlateau(
                optimiser,
                mode="max",
                factor=schedule.factor,
                patience=max(0, schedule.patience - 1),
                threshold=1e-4,
                threshold_mode="abs",
                min_lr=schedule.minimum,
            )

    def after_step(self) -> None:
        if self._per_step is not None:
            self._per_step.step()

    def after_epoch(self, figure: float) -> None:
        """Takes the monitored figure, of which higher is better."""
        if self._plateau is not None:
            self._plateau.step(figure)

    def state_dict(self) -> dict[str, object]:
        scheduler = self._per_step or self._plateau
        return scheduler.state_dict() if scheduler is not None else {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        scheduler = self._per_step or self._plateau
        if scheduler is not None:
            scheduler.load_state_dict(state)


def log_prior(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logarithm of the diagnoses' shares in training, (diagnoses,)."""
    logarithms: NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
    return logarithms


def make_loss(stage: Stage, counts: NDArray[np.int64]) -> Loss:
    """Cross-entropy of logits against diagnosis indices, with the stage's remedy for rare ones.

    Class weights are inversely proportional to the counts, with a mean of one over the photos.
    Logit adjustment adds the log prior to the logits in training only, so that the bare logits
    answer as if all diagnoses were equally frequent (Menon et al. 2021, equation 10, tau = 1).
    """
    weight = class_weights(stage, counts)
    offset = torch.zeros(len(counts))
    if stage.imbalance == "logit_adjustment":
        offset = torch.from_numpy(log_prior(counts))

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits.float() + offset.to(logits.device),
            target,
            weight=None if weight is None else weight.to(logits.device),
            label_smoothing=stage.label_smoothing,
        )

    return loss


def class_weights(stage: Stage, counts: NDArray[np.int64]) -> Tensor | None:
    """By diagnosis, what its photos count in the stage's loss; None: all count the same."""
    if stage.imbalance != "class_weights":
        return None
    return torch.from_numpy((counts.sum() / (len(counts) * counts)).astype(np.float32))


def batch_norm_momentum(modules: Iterable[nn.Module], momentum: float) -> None:
    """Sets the share that the newest batch has in the running statistics."""
    for module in modules:
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
