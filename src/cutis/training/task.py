"""What the training loop asks of a task: to tell diagnoses apart, or to find the lesion."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)
_Model = TypeVar("_Model", bound=nn.Module, contravariant=True)


class Task(Protocol[_Model]):
    """Data and aim of a whole training; stages are numbered from 0 as in the recipe.

    Attributes:
        scored: what `StageTask.score` sums up; `history.csv` has it as `train_NAME`.
        shown: the figure of `StageTask.validate`, without `validation_`, at the progress bar.
        drawn: figures of training and validation in the picture of the curves, beside the loss.
        quick_average: whether the moving average of the weights forgets soon where it started:
            its decay after n steps is (1 + n) / (10 + n), and no more than the recipe's.
    """

    scored: str
    shown: str
    drawn: tuple[str, ...]
    quick_average: bool

    def epoch_photos(self, stage: int) -> int:
        """Training photos in an epoch of a stage, repeated ones included."""

    def apply_trainable(self, model: _Model, stage: int) -> None:
        """Freezes and releases layers as the stage says."""

    def begin(self, model: _Model, stage: int) -> "StageTask[_Model]":
        """Called when the model has the weights that the stage goes on from."""


class StageTask(Protocol[_Model]):
    """The task within one stage; tensors are on the backend's device."""

    def network(self, model: _Model) -> nn.Module:
        """The layers of `model`, or of an average of it, that are computed in every step."""

    def training(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs of `network` and targets of the training photos, batches in order.

        Of every batch the backend's workers get a piece each.
        """

    def loss(self, network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss of a batch, and the network's output."""

    def weight(self, targets: Tensor) -> Tensor:
        """What these photos' mean loss weighs in a mean over more photos, a single number."""

    def score(self, output: Tensor, targets: Tensor) -> Tensor:
        """Sum over the photos of a batch of a figure between 0 and 1."""

    def validate(self, model: _Model) -> dict[str, float]:
        """Figures on the validation photos by name, `validation_loss` among them."""
