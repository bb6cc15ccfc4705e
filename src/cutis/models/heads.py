"""Classification heads: from the last feature map to one logit a diagnosis."""

import torch
from torch import Tensor, nn

from cutis.models.attention import ATTENTION


class ClassifierHead(nn.Module):
    """Attention, global average pooling or flattening, dense layers with ReLU, dropout, answer.

    Args:
        channels: of the feature map.
        diagnoses: number of logits.
        hidden: sizes of the dense layers between pooling and answer.
        dropout: share of values dropped before the answer layer.
        sigmoid: for two diagnoses, one output unit z instead of two. The logits are then (0, z),
            whose softmax is the sigmoid of z and whose cross-entropy is the binary one.
        attention: a name of ATTENTION: the block that weights the feature map before pooling.
        places: of the feature map, where it is flattened and not pooled; 0 pools. The map must
            then have this many places.

    Dense layers start with Glorot-uniform weights and zero bias, as Keras's do; behind a flattened
    map those with ReLU start with He-normal ones.
    """

    def __init__(
        self,
        channels: int,
        diagnoses: int,
        *,
        hidden: tuple[int, ...] = (),
        dropout: float = 0.0,
        sigmoid: bool = False,
        attention: str = "none",
        places: int = 0,
    ) -> None:
        super().__init__()
        if sigmoid and diagnoses != 2:
            raise ValueError(f"a sigmoid head answers two diagnoses, not {diagnoses}")
        self.sigmoid = sigmoid
        block = ATTENTION[attention]
        self.attention = None if block is None else block(channels)
        self.places = places
        channels *= places or 1
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
        for layer in layers if places else ():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    @property
    def pooled_input(self) -> bool:
        """Whether a map that is pooled already, (batch, channels, 1, 1), gives the same logits."""
        return self.attention is None and not self.places

    def forward(self, features: Tensor) -> Tensor:
        return self.with_pooled(features)[0]

    def with_pooled(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the feature map averaged over its places, (batch, channels)."""
        if self.attention is not None:
            features = self.attention(features)
        pooled = features.mean(dim=(2, 3))
        logits: Tensor = self.answer(self.layers(features.flatten(1) if self.places else pooled))
        if self.sigmoid:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits, pooled
