"""The layers that a stage does not train, as one function without gradients."""

import copy
import hashlib
import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cutis.lesion import channels
from cutis.models.registry import Classifier
from cutis.training.backend import Backend, StridedDepthwise
from cutis.training.stages import frozen_depth


class FrozenPart:
    """A classifier's layers before the first trainable one: photos to activations at the cut.

    They answer as in evaluation. When the whole backbone is frozen and the head begins with
    pooling, the activations are pooled already: (batch, channels, 1, 1).
    """

    def __init__(self, model: Classifier, backend: Backend) -> None:
        chain = model.backbone.chain()
        self.depth = frozen_depth(model)
        self.pooled = self.depth == len(chain) and model.head.pooled_input
        self.backend = backend
        self._layers = copy.deepcopy(nn.Sequential(*chain[: self.depth]))
        _fold(self._layers.eval().requires_grad_(False))
        self._answer: Callable[[Tensor], Tensor] = self._activations
        self._batch = 0  # that the answer is compiled for; 0: any

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations."""
        lower = self.backend.lower and self.depth > 0 and not self.pooled
        return torch.bfloat16 if lower else torch.float32

    def rest(self, model: Classifier) -> nn.Sequential:
        """The layers behind the cut, those of `model` or of an average of it."""
        between = _Pooled() if model.head.pooled_input else _SameLayout()
        return nn.Sequential(*model.backbone.chain()[self.depth :], between, model.head)

    def key(self) -> str:
        """Names the function: layers, weights, input settings and number format."""
        described = f"{self._layers} {self.pooled} {self.dtype} {self.backend.lower} "
        digest = hashlib.sha256((described + self.backend.settings.model_dump_json()).encode())
        for tensor in self._layers.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def compile(self, batch: int) -> None:
        """Makes the function faster for this batch size, in some seconds.

        Activations go into the kernels of the convolutions, and weights into the layout that these
        want. Where the machine has no C++ compiler, all stays as it is.
        """
        size = self.backend.settings.size
        shape = (batch, size, size, channels(self.backend.settings))
        photos = torch.zeros(shape, dtype=torch.uint8, device=self.backend.device)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the compiler's own use of what PyTorch deprecates
            try:
                from torch._inductor import config

                with config.patch(freezing=True):  # as an option of the call it has no effect
                    compiled = torch.compile(self._activations)
                    compiled(photos)
            except (RuntimeError, OSError):
                return
        self._answer, self._batch = compiled, batch

    @torch.no_grad()
    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Activations (batch, channels, h, w), channels last, of uint8 photos."""
        photos = torch.from_numpy(pixels).to(self.backend.device)
        if not self._batch:
            return self._answer(photos)
        filled = functional.pad(photos, [0] * 7 + [-len(photos) % self._batch])
        parts = torch.split(filled, self._batch)
        return torch.cat([self._answer(part) for part in parts])[: len(photos)]

    def _activations(self, photos: Tensor) -> Tensor:
        with self.backend.autocast():
            activations: Tensor = self._layers(self.backend.scaled(photos))
        if self.pooled:
            return activations.float().mean(dim=(2, 3), keepdim=True)
        return activations.to(self.dtype)


def _fold(layers: nn.Module) -> None:
    """Puts batch normalisations into the convolutions right before them, exact but for rounding."""
    for layer in layers.children():
        _fold(layer)
    if isinstance(layers, nn.Sequential):
        for index, (layer, following) in enumerate(pairwise(layers)):
            # another subclass may do more than convolve or normalise
            plain = type(layer) in (nn.Conv2d, StridedDepthwise)
            if isinstance(layer, nn.Conv2d) and plain and type(following) is nn.BatchNorm2d:
                layers[index] = fuse_conv_bn_eval(layer, following)
                layers[index + 1] = nn.Identity()


class _Pooled(nn.Module):
    """Means over the feature map, (batch, channels, 1, 1), along its own channels-last layout.

    The head's pooling takes ten times as long, most of it for the gradient.
    """

    def forward(self, features: Tensor) -> Tensor:
        rows = features.permute(0, 2, 3, 1).flatten(1, 2)
        means = rows.sum(1, dtype=torch.float32) / rows.shape[1]
        return means[:, :, None, None]


class _SameLayout(nn.Module):
    """Hands the gradient back channels-last, as the feature map is.

    That of an attention block is not, and every kernel before it would be the slower for it.
    """

    def forward(self, features: Tensor) -> Tensor:
        if features.requires_grad:
            features.register_hook(_channels_last)  # type: ignore[no-untyped-call]
        return features


def _channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)
