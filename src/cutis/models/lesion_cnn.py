"""The classifier of sene-2024: three plain blocks in front of dense layers."""

from itertools import pairwise

from torch import nn

from cutis.models.backbone import Backbone
from cutis.models.segmentation.blocks import double_convolution, initialise

# *open* in the paper: as few as its segmenter has at first, doubled like those
_FILTERS = (32, 64, 128)


class LesionCnn(Backbone):
    """Three blocks of two 3x3 convolutions with ReLU and max pooling; the side shrinks 8 times.

    Weights are He-normal. The map is flattened before the dense layers: a classifier with this
    backbone takes one input size, and at 224 pixels its first dense layer of 64 units has 6.4 M
    weights. The paper's dense layers are `hidden = [64, 64, 16, 16]`.
    """

    def __init__(self, filters: tuple[int, ...] = _FILTERS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((3, *filters)):
            layers += [*double_convolution(inputs, outputs), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers).apply(initialise)
        self.channels = filters[-1]
        self.blocks = len(filters)

    def flattened(self, size: int) -> int:
        return int((size // 2**self.blocks) ** 2)

    def keras_layers(self) -> list[tuple[str, nn.Module | None]]:
        """As Keras numbers the layers of such a network; an activation belongs to its layer."""
        layers: list[tuple[str, nn.Module | None]] = [("input_1", None)]
        convolutions = [layer for layer in self.features if isinstance(layer, nn.Conv2d)]
        for block in range(self.blocks):
            for number in (1, 2):
                name = f"block{block + 1}_conv{number}"
                layers.append((name, convolutions[2 * block + number - 1]))
            layers.append((f"block{block + 1}_pool", None))
        return layers
