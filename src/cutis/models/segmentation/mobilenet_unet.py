"""A U-Net for phones: MobileNetV2 as the encoder and a light decoder."""

import torch
from torch import Tensor, nn

from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.models.segmentation.base import Segmenter
from cutis.models.segmentation.blocks import initialise, initialise_answer

# the last blocks of the encoder at strides 2, 4, 8 and 16, and the channels that they give
_SKIPS = {1: 16, 3: 24, 6: 32, 13: 96}
# channels of the decoder's steps at these strides, as multiples of the finest's
_WIDTHS = (1, 2, 4, 6)


class MobileNetUNet(Segmenter):
    """MobileNetV2 up to its 320 channels at stride 32, then four steps of separable convolutions.

    The logits are computed at stride 2 and enlarged linearly: the outline of a lesion is smooth,
    and the finest step would cost as much as all the others together. There are only operators
    with a plain int8 form: convolutions, ReLU6, concatenation, enlargement to the nearest pixel.

    Args:
        filters: of the decoder's finest step.
    """

    stride = 32
    encoder: MobileNetV2

    def __init__(self, filters: int = 16) -> None:
        super().__init__()
        self.encoder = MobileNetV2(last=False)
        widths = [filters * factor for factor in _WIDTHS]
        inputs = [*widths[1:], self.encoder.channels]
        self.decoder = nn.ModuleList(
            _Step(*sizes)
            for sizes in reversed([*zip(inputs, _SKIPS.values(), widths, strict=True)])
        )
        self.answer = nn.Conv2d(filters, 1, 1)
        self.enlarged = nn.Upsample(scale_factor=2, mode="bilinear")
        self.decoder.apply(initialise)
        initialise_answer(self.answer)

    def logits(self, pixels: Tensor) -> Tensor:
        features = pixels
        skips = []
        for index, block in enumerate(self.encoder.features):
            features = block(features)
            if index in _SKIPS:
                skips.append(features)
        for step, skip in zip(self.decoder, reversed(skips), strict=True):
            features = step(features, skip)
        logits: Tensor = self.enlarged(self.answer(features))
        return logits


class _Step(nn.Module):
    """Reduce, enlarge twice, join with a skip, and two separable convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        # a 1x1 convolution gives the same before and after enlarging, and costs a quarter before
        self.reduced = nn.Sequential(*_normalised(nn.Conv2d(inputs, outputs, 1, bias=False)))
        self.enlarged = nn.Upsample(scale_factor=2, mode="nearest")
        self.joined = nn.Sequential(
            *_separable(outputs + skip, outputs), *_separable(outputs, outputs)
        )

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(batch, inputs, h, w) and (batch, skip, 2h, 2w) to (batch, outputs, 2h, 2w)."""
        enlarged = self.enlarged(self.reduced(features))
        joined: Tensor = self.joined(torch.cat([enlarged, skip], dim=1))
        return joined


def _separable(inputs: int, outputs: int) -> list[nn.Module]:
    """A 3x3 convolution of single channels, then a 1x1 over them."""
    return [
        *_normalised(nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)),
        *_normalised(nn.Conv2d(inputs, outputs, 1, bias=False)),
    ]


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6(inplace=True)]
