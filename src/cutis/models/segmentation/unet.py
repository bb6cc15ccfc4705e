"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597)."""

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
_DROPOUT = 0.5


class UNet(Segmenter):
    """Five blocks down, four up, with the finer map beside the enlarged one.

    Convolutions are padded, so that the mask has the photo's size; the paper's are not, and its
    mask is smaller. Each is normalised over the batch, which the paper, of the same year, does not
    know; the weights count the same but for that. Dropout stands behind the coarsest block ("at
    the end of the contracting path"); its share is *open*.

    Args:
        filters: of the first block; doubled at each of the four that follow.
    """

    stride = 2 ** (_BLOCKS - 1)

    def __init__(self, filters: int = 64) -> None:
        super().__init__()
        widths = [filters * 2**block for block in range(_BLOCKS)]
        self.down = nn.ModuleList(
            double_convolution(inputs, outputs, normalised=True)
            for inputs, outputs in pairwise([3, *widths])
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(_DROPOUT)
        steps = list(pairwise(reversed(widths)))
        self.enlarged = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in steps
        )
        self.up = nn.ModuleList(
            double_convolution(2 * fine, fine, normalised=True) for _, fine in steps
        )
        self.answer = nn.Conv2d(filters, 1, 1)
        self.apply(initialise)
        initialise_answer(self.answer)

    def logits(self, pixels: Tensor) -> Tensor:
        *skips, features = encoder_maps(self.down, self.pool, pixels)
        features = self.dropout(features)
        for enlarge, block, skip in zip(self.enlarged, self.up, reversed(skips), strict=True):
            features = block(torch.cat([skip, enlarge(features)], dim=1))
        logits: Tensor = self.answer(features)
        return logits
