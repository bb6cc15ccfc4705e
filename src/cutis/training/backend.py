"""Where and in which number format a network computes."""

import ctypes
import platform
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.lesion import channels
from cutis.records import Preprocessing
from cutis.training.workers import ALONE, Workers

EVALUATION_BATCH = 64

# numbers of glibc's mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


class Backend:
    """Where, with whom and in which number format the network computes."""

    def __init__(self, precision: str, settings: Preprocessing, workers: Workers = ALONE) -> None:
        self.workers = workers
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.lower = precision == "bfloat16" or (precision == "auto" and _has_bfloat16(self.device))
        self.settings = settings
        mask = channels(settings) - 3  # its bytes are only divided by 255
        mean, std = settings.mean + (0.0,) * mask, settings.std + (1.0,) * mask
        self._mean = torch.tensor(mean, device=self.device).view(1, -1, 1, 1) * 255
        self._std = torch.tensor(std, device=self.device).view(1, -1, 1, 1) * 255
        _keep_freed_memory()

    def __str__(self) -> str:
        threads = f"{self.device}, {torch.get_num_threads()} threads"
        return threads if self.workers.count == 1 else f"{threads}, {self.workers.count} workers"

    def autocast(self, wanted: bool = True) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted and self.lower)

    def place(self, model: nn.Module) -> None:
        """Moves a model here; convolutions compute faster on channels-last weights."""
        model.to(self.device)
        if self.lower and self.device.type == "cpu":
            _avoid_slow_gradients(model)
        for parameter in model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def normalised(self, pixels: NDArray[np.uint8]) -> Tensor:
        """uint8 (batch, height, width, 3) to normalised channels-last (batch, 3, height, width).

        Both have four channels where the settings' `lesion` is "channel".
        The same arithmetic as `cutis.preprocessing.normalise`; a test holds them together.
        """
        return self.scaled(torch.from_numpy(pixels).to(self.device))

    def scaled(self, pixels: Tensor) -> Tensor:
        """The same from a tensor on the device."""
        return (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._std


@cache
def _keep_freed_memory() -> None:
    """Lets the C library keep freed memory instead of handing it back to the system.

    glibc maps every large block anew, so that each feature map costs a page fault every 4 kB:
    half of the time of a convolutional network on a CPU (docs/performance.md).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)
        libc.mallopt(_TOP_PAD, 1 << 26)


class StridedDepthwise(nn.Conv2d):
    """A convolution of single channels with a stride, in float32 where gradients are wanted.

    oneDNN takes ten times as long for their gradient in bfloat16: see docs/performance.md.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


def _avoid_slow_gradients(model: nn.Module) -> None:
    for module in model.modules():
        strided = isinstance(module, nn.Conv2d) and max(module.stride) > 1
        if type(module) is nn.Conv2d and strided and module.groups == module.in_channels > 1:
            module.__class__ = StridedDepthwise  # the same weights, by the same names


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
