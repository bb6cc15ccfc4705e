"""Classification heads: from the last feature map to one logit a diagnosis."""

import torch
from torch import Tensor, nn


class ClassifierHead(nn.Module):
    """Global average pooling, hidden dense layers with ReLU, dropout, and the answer layer.

    Args:
        channels: of the feature map.
        diagnoses: number of logits.
        hidden: sizes of the dense layers between pooling and answer.
        dropout: share of values dropped before the answer layer.
        sigmoid: for two diagnoses, one output unit z instead of two. The logits are then (0, z),
            whose softmax is the sigmoid of z and whose cross-entropy is the binary one.

    Dense layers start with Glorot-uniform weights and zero bias, as Keras's do.
    """

    def __init__(
        self,
        channels: int,
        diagnoses: int,
        *,
        hidden: tuple[int, ...] = (),
        dropout: float = 0.0,
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        if sigmoid and diagnoses != 2:
            raise ValueError(f"a sigmoid head answers two diagnoses, not {diagnoses}")
        self.sigmoid = sigmoid
        layers: list[nn.Module] = []
        for units in hidden:
            layers += [nn.Linear(channels, units), nn.ReLU(inplace=True)]
            channels = units
        self.answer = nn.Linear(channels, 1 if sigmoid else diagnoses)
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout))
        for layer in [*layers, self.answer]:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.answer(self.layers(features.mean(dim=(2, 3))))
        return torch.cat([torch.zeros_like(logits), logits], dim=1) if self.sigmoid else logits
