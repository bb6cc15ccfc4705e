"""A plain small network that learns from random weights on few photos, for the demo."""

from torch import nn

from cutis.models.backbone import Backbone

# channels as multiples of the width, stride
_LAYERS = ((1, 2), (1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2))


class SmallCnn(Backbone):
    """Seven 3x3 convolutions with batch normalisation and ReLU; the side shrinks 16 times."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for factor, stride in _LAYERS:
            outputs = width * factor
            layers.append(
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(inplace=True),
                )
            )
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.channels = inputs

    def keras_layers(self) -> list[tuple[str, nn.Module | None]]:
        layers: list[tuple[str, nn.Module | None]] = [("input_1", None)]
        for number, block in enumerate(self.features, start=1):
            convolution, normalisation, _ = block.children()
            layers += [(f"conv{number}", convolution), (f"conv{number}_bn", normalisation)]
            layers.append((f"conv{number}_relu", None))
        return layers
