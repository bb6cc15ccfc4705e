"""Biases that take up what rounding a network's weights to 8 bits shifts."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_STEPS = 127  # of signed 8 bits with a scale per channel, symmetric about zero

Layer = nn.Conv2d | nn.Linear


def correct_biases(module: nn.Module, planes: Tensor) -> nn.Module:
    """A copy whose biases are right once its weights are rounded to int8; the weights stay exact.

    Rounding moves the mean of every output channel, most in depthwise convolutions, where nine
    weights do not average their errors out. One pass with exact weights records the means, a
    second with rounded ones puts every layer's back before the next layer sees it (Nagel et al.
    2019, arXiv:1906.04721, section 4.2 and appendix D). Batch normalisation needs no merging for
    it: scaling a channel scales its rounding.

    Args:
        module: in evaluation mode.
        planes: normalised photos (batch, channels, height, width) of the training part, some tens.
    """
    corrected = copy.deepcopy(module)
    layers = [layer for layer in corrected.modules() if isinstance(layer, Layer)]
    with torch.no_grad():
        means = _means(corrected, layers, planes)
        # a layer that runs twice, as CBAM's do, has two means and one bias
        once = {layer: found[0] for layer, found in means.items() if len(found) == 1}
        exact = {layer: layer.weight.clone() for layer in layers}
        for layer in layers:
            layer.weight.copy_(_rounded(layer.weight))
        hooks = [layer.register_forward_hook(_Shift(mean)) for layer, mean in once.items()]
        corrected(planes)
        for hook in hooks:
            hook.remove()
        for layer, weight in exact.items():
            layer.weight.copy_(weight)
    return corrected


def _means(module: nn.Module, layers: Sequence[Layer], planes: Tensor) -> dict[Layer, list[Tensor]]:
    """The mean of every output channel, for each time that a layer runs."""
    found: dict[Layer, list[Tensor]] = {layer: [] for layer in layers}

    def record(layer: Layer, _: object, output: Tensor) -> None:
        found[layer].append(_channel_mean(layer, output))

    hooks = [layer.register_forward_hook(record) for layer in layers]
    module(planes)
    for hook in hooks:
        hook.remove()
    return found


class _Shift:
    """Moves a layer's bias so that its output has the mean that it had with exact weights."""

    def __init__(self, mean: Tensor) -> None:
        self._mean = mean

    def __call__(self, layer: Layer, _: object, output: Tensor) -> Tensor:
        shift = self._mean - _channel_mean(layer, output)
        bias = torch.zeros_like(shift) if layer.bias is None else layer.bias
        layer.bias = nn.Parameter(bias + shift, requires_grad=False)
        return output + (shift[:, None, None] if isinstance(layer, nn.Conv2d) else shift)


def _channel_mean(layer: Layer, output: Tensor) -> Tensor:
    channel = 1 if isinstance(layer, nn.Conv2d) else output.ndim - 1
    return output.mean(dim=[axis for axis in range(output.ndim) if axis != channel])


def _rounded(weight: Tensor) -> Tensor:
    """Weights (channels, …) as int8 gives them back."""
    largest = weight.abs().flatten(1).amax(dim=1).clamp_min(1e-12)
    scale = (largest / _STEPS).reshape(-1, *[1] * (weight.ndim - 1))
    rounded: Tensor = (weight / scale).round() * scale
    return rounded
