"""The task to tell diagnoses apart."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cutis.metrics.scores import confusion_matrix, overall_scores
from cutis.models.registry import Classifier
from cutis.recipes.schema import Recipe
from cutis.training.backend import Backend
from cutis.training.feature_cache import FeatureCache
from cutis.training.frozen import FrozenPart
from cutis.training.stages import apply_trainable, class_weights, make_loss
from cutis.training.supply import Supply, TrainingData


class Classification:
    """Photos and diagnoses for the training loop; see `cutis.training.task.Task`.

    With a `cache` the layers that a stage does not train are computed once and not in every epoch.
    """

    scored = "accuracy"
    shown = "balanced_accuracy"
    drawn: tuple[str, ...] = ("accuracy", "balanced_accuracy")
    quick_average = False

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        backend: Backend,
        cache: FeatureCache | None = None,
    ) -> None:
        self._recipe = recipe
        self._data = data
        self._backend = backend
        self._cache = cache

    def epoch_photos(self, stage: int) -> int:
        return self._data.epoch_photos(self._recipe.stage[stage])

    def apply_trainable(self, model: Classifier, stage: int) -> None:
        apply_trainable(model, self._recipe.stage[stage])

    def begin(self, model: Classifier, stage: int) -> "_Stage":
        frozen = FrozenPart(model, self._backend)
        supply = Supply(self._data, self._recipe, stage, frozen, self._cache)
        return _Stage(self._data, self._recipe, stage, supply)


class _Stage:
    def __init__(self, data: TrainingData, recipe: Recipe, stage: int, supply: Supply) -> None:
        self._labels = data.labels[data.validation]
        self._supply = supply
        self._loss = make_loss(recipe.stage[stage], data.train_counts())
        self._weights = class_weights(recipe.stage[stage], data.train_counts())
        self._diagnoses = len(data.diagnoses)

    def network(self, model: Classifier) -> nn.Module:
        return self._supply.frozen.rest(model)

    def training(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self._supply.training(epoch)

    def loss(self, network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with self._supply.autocast():
            logits = network(inputs)
        return self._loss(logits, targets), logits

    def weight(self, targets: Tensor) -> Tensor:
        if self._weights is None:
            return torch.tensor(float(len(targets)), device=targets.device)
        return self._weights.to(targets.device)[targets].sum()

    def score(self, output: Tensor, targets: Tensor) -> Tensor:
        return (output.argmax(1) == targets).sum()

    @torch.no_grad()  # in inference mode a compiled frozen part would be compiled once more
    def validate(self, model: Classifier) -> dict[str, float]:
        network = self.network(model).eval()
        own = torch.zeros(len(self._labels), self._diagnoses)
        with self._supply.autocast():
            for part, inputs in self._supply.validation():
                own[part] = network(inputs).float().cpu()
        logits = self._supply.frozen.backend.workers.total(own)
        answers, weights = logits.argmax(1).numpy(), np.ones((1, len(self._labels)))
        counts = confusion_matrix(self._labels, answers, logits.shape[1], weights)
        scores = overall_scores(counts)
        names = ("accuracy", "balanced_accuracy", "precision_macro")
        loss = functional.cross_entropy(logits, torch.from_numpy(self._labels))
        return {
            "validation_loss": loss.item(),
            **{f"validation_{name}": float(scores[name][0]) for name in names},
        }
