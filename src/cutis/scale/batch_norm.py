"""Batch normalisation with the statistics of the whole batch, whose photos lie on many workers.

PyTorch's own `SyncBatchNorm` computes on GPUs alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cutis.errors import RecipeError

Total = Callable[[Tensor], Tensor]
"""The sum of the workers' tensors."""

_WITH_ACTIVATION = "BatchNormAct2d"  # timm's: batch normalisation, dropout, activation


@contextmanager
def shared_statistics(network: nn.Module, total: Total) -> Iterator[None]:
    """Within the block all batch normalisations that train take all workers' photos together.

    Raises RecipeError for a kind of them that is not known here.
    """
    trained = [
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and any(parameter.requires_grad for parameter in module.parameters())
    ]
    kinds = [type(module) for module in trained]
    for kind in kinds:
        if kind is not nn.BatchNorm2d and kind.__name__ != _WITH_ACTIVATION:
            raise RecipeError(
                f"several workers cannot share the batch statistics of the layer {kind.__name__}",
                expected="a backbone with BatchNorm2d, or with none",
                fix="train it with --workers 1, or take another backbone",
            )
    for module in trained:
        module.__class__ = SharedBatchNorm
        cast(SharedBatchNorm, module).total = total
    try:
        yield
    finally:
        for module, kind in zip(trained, kinds, strict=True):
            module.__class__ = kind
            del module.total


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch normalisation over the photos of all workers; in evaluation as any other."""

    total: Total

    def forward(self, input: Tensor) -> Tensor:
        output = self._of_all(input) if self.training else super().forward(input)
        for name in ("drop", "act"):  # where it was timm's
            output = getattr(self, name, _same)(output)
        return output

    def _of_all(self, input: Tensor) -> Tensor:
        output, mean, variance, count = _Normalise.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, self.eps, self.total
        )
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            unbiased = variance * count / (count - 1)
            self.running_var.lerp_(unbiased, self.momentum)  # type: ignore[union-attr, arg-type]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        normalised: Tensor = output
        return normalised


def _same(output: Tensor) -> Tensor:
    return output


class _Normalise(torch.autograd.Function):
    """Ioffe and Szegedy 2015 (arXiv:1502.03167), algorithm 1, with sums over all workers.

    PyTorch's kernels give the sums of this worker.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, total: Total
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own = torch.tensor([x.numel() / x.shape[1]], dtype=torch.float64, device=x.device)
        _, mean, deviation = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        mean = mean.double()
        squares = deviation.double().pow(-2) - eps + mean**2
        sums = total(torch.cat([own, own * mean, own * squares]))
        count, channels = sums[0], x.shape[1]
        mean = sums[1 : channels + 1] / count
        variance = (sums[channels + 1 :] / count - mean**2).clamp(min=0)
        mean, variance = mean.float(), variance.float()
        ctx.save_for_backward(x, weight, mean, variance, count.float())
        ctx.eps, ctx.total = eps, total
        ctx.mark_non_differentiable(mean, variance, count)
        output = functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        return output, mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        gradient = gradients[0]
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [False, True, True]
        )
        of_x = None
        if ctx.needs_input_grad[0]:
            sums = ctx.total(torch.cat([of_weight, of_bias])) / count
            weights, biases = sums.chunk(2)
            inverse = (variance + ctx.eps).rsqrt()
            scale, slope = weight * inverse, weight * inverse**2 * weights
            of_x = _affine(gradient, scale, slope * mean - scale * biases)
            of_x += _affine(x, -slope, torch.zeros_like(slope))
        return of_x, of_weight, of_bias, None, None


def _affine(x: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """factor * x + shift by channel, in the number format of x."""
    zeros, ones = torch.zeros_like(factor), torch.ones_like(factor)
    return functional.batch_norm(x, zeros, ones, factor, shift, False, 0.0, 0.0)
