"""U-Net 3+ (Huang et al. 2020, arXiv:2004.08790): every step up sees all scales."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from cutis.models.segmentation.base import Segmenter
from cutis.models.segmentation.blocks import (
    convolution,
    double_convolution,
    encoder_maps,
    initialise,
    initialise_answer,
)

_BLOCKS = 5


class UNet3Plus(Segmenter):
    """U-Net's encoder; each of the four decoder maps is made of five maps, one of every scale.

    Finer maps of the encoder are pooled, coarser ones of the decoder enlarged linearly; each is
    brought to `filters` channels by a 3x3 convolution, and a further one runs over all five
    together. Two options of the paper are left out. Deep supervision: a segmenter has one output.
    The classification-guided module: it empties the mask of an image without an organ, and every
    photo here shows a lesion.

    Args:
        filters: of the first block, doubled at each of the four that follow, and of every map that
            enters the decoder.
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
        self.up = nn.ModuleList(
            _FullScale(widths, filters, level) for level in reversed(range(_BLOCKS - 1))
        )
        self.answer = nn.Conv2d(filters * _BLOCKS, 1, 3, padding=1)
        self.apply(initialise)
        initialise_answer(self.answer)

    def logits(self, pixels: Tensor) -> Tensor:
        maps = encoder_maps(self.down, self.pool, pixels)
        for level, step in zip(reversed(range(_BLOCKS - 1)), self.up, strict=True):
            # from here on finer steps see the decoder's map of this scale, not the encoder's
            maps[level] = step(maps)
        logits: Tensor = self.answer(maps[0])
        return logits


class _FullScale(nn.Module):
    """A decoder map at one level; level 0 is the finest.

    Args:
        widths: channels of the encoder's maps, from the finest.
        filters: channels of each of the five maps that are joined.
        level: of the map that is made.
    """

    def __init__(self, widths: list[int], filters: int, level: int) -> None:
        super().__init__()
        joined = filters * len(widths)
        coarsest = len(widths) - 1
        self.branches = nn.ModuleList()
        for other, width in enumerate(widths):
            decoded = level < other < coarsest
            self.branches.append(
                nn.Sequential(
                    _resized(level - other),
                    *convolution(joined if decoded else width, filters, normalised=True),
                )
            )
        self.joined = nn.Sequential(*convolution(joined, joined, normalised=True))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps of all levels, from the finest, to (batch, 5 filters, h, w) at this level."""
        branches = [branch(each) for branch, each in zip(self.branches, maps, strict=True)]
        joined: Tensor = self.joined(torch.cat(branches, dim=1))
        return joined


def _resized(halvings: int) -> nn.Module:
    """Halves the sides so many times, or doubles them where the number is negative."""
    if halvings > 0:
        return nn.MaxPool2d(2**halvings)
    if halvings < 0:
        return nn.Upsample(scale_factor=2**-halvings, mode="bilinear")
    return nn.Identity()
