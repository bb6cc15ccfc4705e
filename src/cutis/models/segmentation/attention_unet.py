"""Attention U-Net as sene-2024 has it; what it leaves open is of Oktay et al. 2018 (1804.03999)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from cutis.models.segmentation.base import Segmenter
from cutis.models.segmentation.blocks import (
    double_convolution,
    encoder_maps,
    initialise,
    initialise_answer,
)

_BLOCKS = 5
_DROPOUT = 0.1


class AttentionGate(nn.Module):
    """Weakens a skip connection where the coarser map behind it sees no lesion.

    The gating signal passes a 3x3 convolution, the skip a 3x3 convolution of stride 2, each with
    ReLU; their sum passes ReLU and a 1x1 convolution with a sigmoid. That is one weight between 0
    and 1 a place, enlarged to the size of the skip, which is multiplied with it and then
    normalised. Weights are enlarged linearly (Oktay et al., figure 2).

    Args:
        gating: channels of the coarser map.
        skip: channels of the skip; also of the maps within (*open* in the paper).
    """

    def __init__(self, gating: int, skip: int) -> None:
        super().__init__()
        self.gating = nn.Sequential(nn.Conv2d(gating, skip, 3, padding=1), nn.ReLU(inplace=True))
        self.skip = nn.Sequential(
            nn.Conv2d(skip, skip, 3, stride=2, padding=1), nn.ReLU(inplace=True)
        )
        self.joined = nn.ReLU(inplace=True)
        self.weight = nn.Conv2d(skip, 1, 1)
        self.enlarged = nn.Upsample(scale_factor=2, mode="bilinear")
        self.norm = nn.BatchNorm2d(skip)

    def forward(self, gating: Tensor, skip: Tensor) -> Tensor:
        """(batch, gating, h, w) and (batch, skip, 2h, 2w) to (batch, skip, 2h, 2w)."""
        gated: Tensor = self.norm(self.coefficients(gating, skip) * skip)
        return gated

    def coefficients(self, gating: Tensor, skip: Tensor) -> Tensor:
        """The weights of the places, (batch, 1, 2h, 2w)."""
        joined = self.joined(self.gating(gating) + self.skip(skip))
        weights: Tensor = self.enlarged(torch.sigmoid(self.weight(joined)))
        return weights


class AttentionUNet(Segmenter):
    """U-Net whose skip connections pass attention gates.

    Args:
        filters: of the first block; doubled at each of the four that follow.
        normalised: batch normalisation in every block as well, as Oktay et al. have it. The paper
            has it in the gates only, and learns so too.
    """

    stride = 2 ** (_BLOCKS - 1)

    def __init__(self, filters: int = 32, *, normalised: bool = False) -> None:
        super().__init__()
        widths = [filters * 2**block for block in range(_BLOCKS)]
        self.down = nn.ModuleList(
            double_convolution(inputs, outputs, dropout=_DROPOUT, normalised=normalised)
            for inputs, outputs in pairwise([3, *widths])
        )
        self.pool = nn.MaxPool2d(2)
        steps = list(pairwise(reversed(widths)))
        gates = [AttentionGate(coarse, fine) for coarse, fine in steps]
        self.gates = nn.ModuleList(gates)
        self.enlarged = nn.Upsample(scale_factor=2, mode="nearest")
        self.up = nn.ModuleList(
            double_convolution(coarse + fine, fine, normalised=normalised) for coarse, fine in steps
        )
        self.answer = nn.Conv2d(filters, 1, 1)
        self.apply(initialise)
        initialise_answer(self.answer)
        for gate in gates:
            initialise_answer(gate.weight)

    def logits(self, pixels: Tensor) -> Tensor:
        *skips, features = encoder_maps(self.down, self.pool, pixels)
        for gate, block, skip in zip(self.gates, self.up, reversed(skips), strict=True):
            gated = gate(features, skip)
            features = block(torch.cat([self.enlarged(features), gated], dim=1))
        logits: Tensor = self.answer(features)
        return logits
