"""Attention blocks: a feature map (batch, channels, h, w) is weighted and keeps its shape.

Both multiply the map by values between 0 and 1. The layers that give these values start with zero
weights and a bias by which every value is sigmoid(2) = 0.88 at first: the map keeps its pattern,
so that training starts near the network without the block, and the gates are not yet saturated.
"""

import torch
from torch import Tensor, nn

_START = 2.0  # logit of every gate before training


class SqueezeExcitation(nn.Module):
    """A weight a channel, from the means of all channels (Hu et al. 2018, arXiv:1709.01507).

    Section 3.1 and 3.2: squeeze by the mean over the area, then two dense layers with a
    bottleneck of channels / reduction.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.excite = _bottleneck(channels, reduction, _START)

    def forward(self, features: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(features.mean(dim=(2, 3))))
        return features * gate[:, :, None, None]


class ConvolutionalAttention(nn.Module):
    """CBAM (Woo et al. 2018, arXiv:1807.06521): a weight a channel, then a weight a place.

    Section 3: the channels' weights come from means and maxima over the area through one shared
    bottleneck (equation 2), the places' from means and maxima over the channels through a 7x7
    convolution (equation 3).
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        # its outputs for the mean and for the maximum are added
        self.excite = _bottleneck(channels, reduction, _START / 2)
        self.place = nn.Conv2d(2, 1, 7, padding=3)
        _start(self.place, _START)

    def forward(self, features: Tensor) -> Tensor:
        pooled = self.excite(features.mean(dim=(2, 3))) + self.excite(features.amax(dim=(2, 3)))
        features = features * torch.sigmoid(pooled)[:, :, None, None]
        over_channels = [features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)]
        return features * torch.sigmoid(self.place(torch.cat(over_channels, dim=1)))


ATTENTION = {"none": None, "se": SqueezeExcitation, "cbam": ConvolutionalAttention}


def _bottleneck(channels: int, reduction: int, start: float) -> nn.Sequential:
    narrow = max(1, channels // reduction)
    last = nn.Linear(narrow, channels)
    _start(last, start)
    return nn.Sequential(nn.Linear(channels, narrow), nn.ReLU(inplace=True), last)


def _start(layer: nn.Linear | nn.Conv2d, logit: float) -> None:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, logit)
