"""Classifiers on frozen features: the recipe's head, and a look-up of the nearest photo."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis.data.batches import batch_slices
from cutis.models.heads import ClassifierHead
from cutis.recipes.schema import Recipe
from cutis.studies.siblings import Index
from cutis.training.stages import Loss, make_loss

STRENGTHS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Of the L2 penalty on standardised features, beside the mean loss; each starts where the one
before ended."""

_STEPS = 300  # of L-BFGS for each strength, at most
_EPOCHS = 40  # of a head with hidden layers
_BATCH = 64
_RATE = 1e-3

Floats32 = NDArray[np.float32]


def head_logits(
    recipe: Recipe,
    classes: int,
    features: Floats32,
    labels: NDArray[np.int64],
    train: Index,
    validation: Index,
    asked: Index,
) -> Floats32:
    """Logits (asked photos, classes) of the recipe's head, trained with its last stage's loss.

    A head without hidden layers is a multinomial logistic regression: L-BFGS on all photos at
    once, from zeros, with L2 of falling strength until the validation loss rises. One with hidden
    layers trains by Adam with the recipe's dropout, and the epoch with the lowest validation loss
    counts. Both start from the recipe's seed. The features are standardised over the training
    photos. Balanced sampling and over-sampling become their expectation, class weights. An
    attention block is left out: it needs the feature map.
    """
    torch.manual_seed(recipe.seed)
    stage = recipe.stage[-1]
    if stage.imbalance in ("balanced_sampling", "over_sampling"):
        stage = stage.model_copy(update={"imbalance": "class_weights"})
    loss_of = make_loss(stage, np.bincount(labels[train], minlength=classes))
    mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
    scaled = torch.from_numpy((features - mean) / np.where(deviation > 0, deviation, 1))
    head = ClassifierHead(
        features.shape[1],
        classes,
        hidden=recipe.model.hidden,
        dropout=recipe.model.dropout,
        sigmoid=recipe.model.sigmoid,
    )
    target = torch.from_numpy(labels)
    seen = (scaled[train], target[train])
    judged = (scaled[validation], target[validation])
    if recipe.model.hidden:
        _fit_by_epochs(head, seen, judged, loss_of, recipe.seed)
    else:
        _fit_convex(head, seen, judged, loss_of)
    with torch.inference_mode():
        return _answers(head.eval(), scaled[asked]).numpy()


def nearest_answers(
    features: Floats32, labels: NDArray[np.int64], train: Index, test: Index
) -> NDArray[np.int64]:
    """The diagnosis of the training photo whose features have the highest cosine similarity."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    direction = features / np.where(length > 0, length, 1)
    known = direction[train]
    slices = batch_slices(len(test), _BATCH)
    nearest = [np.argmax(direction[test[part]] @ known.T, axis=1) for part in slices]
    answers: NDArray[np.int64] = labels[train[np.concatenate(nearest)]]
    return answers


def _answers(head: ClassifierHead, features: Tensor) -> Tensor:
    logits: Tensor = head(features[:, :, None, None])
    return logits


def _fit_convex(
    head: ClassifierHead,
    seen: tuple[Tensor, Tensor],
    judged: tuple[Tensor, Tensor],
    loss_of: Loss,
) -> None:
    head.eval()  # L2 takes the place of dropout
    torch.nn.init.zeros_(head.answer.weight)
    lowest, best = np.inf, head.state_dict()
    for strength in STRENGTHS:
        optimiser = torch.optim.LBFGS(
            head.parameters(), max_iter=_STEPS, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
        )

        def closure(optimiser: torch.optim.LBFGS = optimiser, strength: float = strength) -> Tensor:
            optimiser.zero_grad()
            penalty = strength / 2 * head.answer.weight.square().sum()
            value = loss_of(_answers(head, seen[0]), seen[1]) + penalty
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        loss = _loss(head, judged, loss_of)
        if loss >= lowest:
            break
        lowest, best = loss, copy.deepcopy(head.state_dict())
    head.load_state_dict(best)


def _fit_by_epochs(
    head: ClassifierHead,
    seen: tuple[Tensor, Tensor],
    judged: tuple[Tensor, Tensor],
    loss_of: Loss,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(head.parameters(), lr=_RATE)
    lowest, best = np.inf, head.state_dict()
    for _ in range(_EPOCHS):
        head.train()
        order = rng.permutation(len(seen[1]))
        for part in batch_slices(len(order), _BATCH):
            batch = order[part]
            loss = loss_of(_answers(head, seen[0][batch]), seen[1][batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        judgement = _loss(head.eval(), judged, loss_of)
        if judgement < lowest:
            lowest, best = judgement, copy.deepcopy(head.state_dict())
    head.load_state_dict(best)


@torch.inference_mode()
def _loss(head: ClassifierHead, judged: tuple[Tensor, Tensor], loss_of: Loss) -> float:
    return loss_of(_answers(head, judged[0]), judged[1]).item()
