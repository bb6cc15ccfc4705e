"""ENet (Paszke et al. 2016, arXiv:1606.02147)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cutis.errors import RecipeError
from cutis.models.segmentation.base import Segmenter
from cutis.models.segmentation.blocks import initialise, initialise_answer

# a bottleneck is this many times narrower inside than its output, as in the authors' code
_REDUCTION = 4


class Pooled(NamedTuple):
    """The largest value of every 2x2 window, and which of the four it was.

    Both are (batch, channels, h, w). Where two are equal the first counts, row by row.
    """

    values: Tensor
    places: Tensor


def pool(features: Tensor) -> Pooled:
    """Max pooling of 2x2 windows that remembers where the largest values stood."""
    batch, channels, height, width = features.shape
    windows = functional.pixel_unshuffle(features, 2)
    windows = windows.reshape(batch, channels, 4, height // 2, width // 2)
    return Pooled(windows.amax(dim=2), windows.argmax(dim=2))


def unpool(features: Tensor, places: Tensor) -> Tensor:
    """Puts every value where the largest of its window stood, and zeros around it.

    As `torch.nn.MaxUnpool2d`, which the ONNX exporter does not know. Shapes: twice
    (batch, channels, h, w) to (batch, channels, 2h, 2w).
    """
    corners = torch.arange(4, device=places.device).view(1, 1, 4, 1, 1)
    windows = features.unsqueeze(2) * (places.unsqueeze(2) == corners)
    return functional.pixel_shuffle(windows.flatten(1, 2), 2)


class ENet(Segmenter):
    """Few channels, early pooling, dilated and asymmetric convolutions, max-unpooling.

    Table 1 of the paper; its channels are multiples of `filters`. What it leaves open is as in the
    authors' code (github.com/e-lab/ENet-training): the width inside a bottleneck, no normalisation
    between the two halves of an asymmetric convolution, a 2x2 kernel at the end. Their decoder has
    ReLU and drops nothing; the paper has PReLU and dropout everywhere, and so has this.

    Args:
        filters: of the first block, a multiple of four.

    Raises RecipeError for other filters.
    """

    stride = 8

    def __init__(self, filters: int = 16) -> None:
        super().__init__()
        if filters % _REDUCTION:
            raise RecipeError(
                f"E-Net cannot have {filters} filters",
                expected=f"a multiple of {_REDUCTION}: its bottlenecks are so many times narrower",
                fix="set model.filters=16, as in the paper",
            )
        middle, wide = 4 * filters, 8 * filters
        self.first = nn.Conv2d(3, filters - 3, 3, stride=2, padding=1, bias=False)
        self.first_active = nn.Sequential(*_active(filters))
        self.pool = nn.MaxPool2d(2)
        self.down1 = _Down(filters, middle, dropout=0.01)
        self.blocks1 = nn.Sequential(*(_Bottleneck(middle, dropout=0.01) for _ in range(4)))
        self.down2 = _Down(middle, wide)
        self.blocks2 = nn.Sequential(*_section(wide), *_section(wide))
        self.up4 = _Up(wide, middle)
        self.blocks4 = nn.Sequential(_Bottleneck(middle), _Bottleneck(middle))
        self.up5 = _Up(middle, filters)
        self.blocks5 = _Bottleneck(filters)
        self.answer = nn.ConvTranspose2d(filters, 1, 2, stride=2)
        self.apply(initialise)
        initialise_answer(self.answer)

    def logits(self, pixels: Tensor) -> Tensor:
        features: Tensor = torch.cat([self.first(pixels), self.pool(pixels)], dim=1)
        features, fine = self.down1(self.first_active(features))
        features, coarse = self.down2(self.blocks1(features))
        features = self.blocks4(self.up4(self.blocks2(features), coarse))
        features = self.blocks5(self.up5(features, fine))
        logits: Tensor = self.answer(features)
        return logits


def _section(channels: int) -> list[nn.Module]:
    """Bottlenecks 2.1 to 2.8, which stand twice."""
    return [
        _Bottleneck(channels),
        _Bottleneck(channels, dilation=2),
        _Bottleneck(channels, asymmetric=True),
        _Bottleneck(channels, dilation=4),
        _Bottleneck(channels),
        _Bottleneck(channels, dilation=8),
        _Bottleneck(channels, asymmetric=True),
        _Bottleneck(channels, dilation=16),
    ]


class _Bottleneck(nn.Module):
    """Project 1x1, convolve, expand 1x1, drop whole channels, add to the input."""

    def __init__(
        self, channels: int, *, dilation: int = 1, asymmetric: bool = False, dropout: float = 0.1
    ) -> None:
        super().__init__()
        inner = channels // _REDUCTION
        main: list[nn.Module] = (
            [
                nn.Conv2d(inner, inner, (5, 1), padding=(2, 0), bias=False),
                nn.Conv2d(inner, inner, (1, 5), padding=(0, 2), bias=False),
            ]
            if asymmetric
            else [nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation, bias=False)]
        )
        self.branch = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            *_active(inner),
            *main,
            *_active(inner),
            *_expand(inner, channels, dropout),
        )
        self.activation = nn.PReLU(channels)

    def forward(self, features: Tensor) -> Tensor:
        added: Tensor = self.activation(features + self.branch(features))
        return added


class _Down(nn.Module):
    """A bottleneck that halves the sides; its input is pooled and filled up with zero channels."""

    def __init__(self, inputs: int, outputs: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        inner = outputs // _REDUCTION
        self.added = outputs - inputs
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, inner, 2, stride=2, bias=False),
            *_active(inner),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            *_active(inner),
            *_expand(inner, outputs, dropout),
        )
        self.activation = nn.PReLU(outputs)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, inputs, 2h, 2w) to (batch, outputs, h, w) and the places for `unpool`."""
        pooled = pool(features)
        filled = functional.pad(pooled.values, (0, 0, 0, 0, 0, self.added))
        added: Tensor = self.activation(filled + self.branch(features))
        return added, pooled.places


class _Up(nn.Module):
    """A bottleneck that doubles the sides; its input is projected and unpooled."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = outputs // _REDUCTION
        self.projected = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            *_active(inner),
            nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1, bias=False),
            *_active(inner),
            *_expand(inner, outputs),
        )
        self.activation = nn.PReLU(outputs)

    def forward(self, features: Tensor, places: Tensor) -> Tensor:
        """(batch, inputs, h, w) and (batch, outputs, h, w) to (batch, outputs, 2h, 2w)."""
        enlarged = unpool(self.projected(features), places)
        added: Tensor = self.activation(enlarged + self.branch(features))
        return added


def _active(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.PReLU(channels)]


def _expand(inner: int, outputs: int, dropout: float = 0.1) -> list[nn.Module]:
    return [
        nn.Conv2d(inner, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.Dropout2d(dropout),
    ]
