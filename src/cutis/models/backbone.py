"""What the training loop and the heads ask of every backbone."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Pretrained(NamedTuple):
    """Weights that `--weights imagenet` fetches."""

    repository: str  # on the Hugging Face hub
    licence: str  # as published with them


class Backbone(nn.Module, ABC):
    """The base of a classifier: (batch, 3, height, width) to a feature map (batch, channels, h, w).

    Attributes:
        channels: of the feature map.
        features: the layers in order; may be cut anywhere. A network that is no plain sequence is
            one element.
        pretrained: its published weights; None where there are none.
        widths: of a pruned backbone, the output channels of its convolutions as its class counts
            them; None: the architecture's own.
    """

    channels: int
    features: nn.Sequential
    pretrained: Pretrained | None = None
    widths: tuple[int, ...] | None = None

    def forward(self, pixels: Tensor) -> Tensor:
        feature_map: Tensor = self.features(pixels)
        return feature_map

    def chain(self) -> list[nn.Module]:
        """The features as modules that follow one another, as finely as they can be cut."""
        return list(self.features)

    def flattened(self, size: int) -> int:
        """Places of the feature map that the dense layers behind it read one by one.

        0, as almost everywhere: they read the mean over all places.

        Args:
            size: side of the square input, pixels.
        """
        return 0

    @abstractmethod
    def keras_layers(self) -> list[tuple[str, nn.Module | None]]:
        """Layer names as Keras numbers them, each with its module where it has parameters."""

    def train_from(self, index: int) -> None:
        """Freezes the layers before Keras index `index` and lets the rest train."""
        for position, (_, module) in enumerate(self.keras_layers()):
            if module is not None:
                module.requires_grad_(position >= index)


def follow_trainable_flags(model: nn.Module) -> None:
    """Puts frozen batch normalisations into inference mode and the others into training mode.

    As in Keras: a frozen layer neither uses nor updates batch statistics. Call it after
    `model.train()`.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.train(any(p.requires_grad for p in module.parameters()))


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    """Parameters; Keras also counts the running statistics, so they are included.

    With `trainable_only` the statistics and the frozen parameters are left out.
    """
    if trainable_only:
        return sum(p.numel() for p in module.parameters() if p.requires_grad)
    statistics = (b for name, b in module.named_buffers() if ".running_" in f".{name}")
    return sum(t.numel() for t in [*module.parameters(), *statistics])
