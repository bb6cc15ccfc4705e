"""Fine-tuning for int8: a network learns to answer as before although its values are rounded.

Quantisation-aware training after Jacob et al. 2018 (arXiv:1712.05877, section 3): the forward pass
rounds weights and activations as `write_int8` does, the gradient passes as if it had not. There are
no labels: the network learns from its own logits in float32 (Hinton et al. 2015,
arXiv:1503.02531), so only the rounding can change what it answers. PyTorch's own tool for this,
`torch.ao.quantization`, is deprecated, and torchao's gives no plain module back.
"""

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from cutis.data.batches import batch_slices
from cutis.errors import InputError
from cutis.records import Preprocessing
from cutis.training.backend import Backend

_CHANNEL_AXIS = {"conv2d": 0, "linear": 0, "conv_transpose2d": 1}
_READS_ROUNDED = {*_CHANNEL_AXIS, "add", "mul", "cat", "interpolate", "mean", "adaptive_avg_pool2d"}
_MOMENTUM = 0.9
_EXAMPLES = 256
_FOLLOW = 0.05  # how far an activation's range goes to that of a new batch


def fine_tune_int8(
    module: nn.Module,
    pixels: NDArray[np.uint8],
    settings: Preprocessing,
    *,
    epochs: int = 2,
    learning_rate: float = 1e-5,
    batch_size: int = 32,
    seed: int = 0,
) -> nn.Module:
    """A copy of a network whose weights lose little in int8; the network itself stays as it is.

    Args:
        module: a classifier or a segmenter: normalised photos to logits.
        pixels: (photos, size, size, 3 or 4) of the training part, in any order; they are flipped
            and turned by quarters at random.

    Returns a plain module in evaluation mode on the CPU, to be exported and quantised as any other:
    batch normalisation is folded into the convolution right before it (where none is, it stays as
    it is, in evaluation mode), and the weights hold values that int8 holds exactly.

    Raises InputError without photos, and when the loss is not a number any more.
    """
    if len(pixels) == 0:
        raise InputError(
            "there are no photos for fine-tuning",
            expected="some hundreds or more of the training part",
            fix="give the catalog that the run was trained on",
        )
    backend = Backend("float32", settings)
    teacher, student = copy.deepcopy(module).eval(), copy.deepcopy(module).eval()
    _fold(student, torch.from_numpy(pixels[:1]).permute(0, 3, 1, 2).float() / 255)
    for network in (teacher, student):
        backend.place(network)
    rounding = _Rounding()
    parts = batch_slices(min(len(pixels), _EXAMPLES), batch_size)
    rounding.measure(student, [backend.normalised(pixels[part]) for part in parts])
    optimiser = torch.optim.SGD(
        student.requires_grad_(True).parameters(), lr=learning_rate, momentum=_MOMENTUM
    )
    steps = epochs * len(batch_slices(len(pixels), batch_size))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    for batch in _batches(pixels, epochs, batch_size, seed):
        inputs = backend.normalised(batch)
        with torch.no_grad():
            expected = teacher(inputs)
        with rounding:
            loss = functional.mse_loss(student(inputs), expected)
        _require_finite(loss, learning_rate)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    rounding.round_weights()
    return student.cpu()


def _require_finite(loss: Tensor, learning_rate: float) -> None:
    if not math.isfinite(loss.item()):
        raise InputError(
            f"the loss is not a number any more (learning rate {learning_rate:.2g})",
            expected="a finite loss",
            fix="fine-tune with a lower learning_rate",
        )


def _batches(
    pixels: NDArray[np.uint8], epochs: int, batch_size: int, seed: int
) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    with tqdm(
        total=epochs * len(pixels), desc="fine-tuning for int8", unit="photo", disable=None
    ) as bar:
        for _ in range(epochs):
            order = rng.permutation(len(pixels))
            for part in batch_slices(len(pixels), batch_size):
                yield np.stack([_turned(pixels[photo], rng) for photo in order[part]])
                bar.update(part.stop - part.start)


def _turned(photo: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One of the eight symmetries of a square."""
    turned = np.rot90(photo, int(rng.integers(4)))
    return turned[:, ::-1] if rng.integers(2) else turned


class _Rounding(TorchFunctionMode):
    """Rounds what a network's operators read, as the int8 file does; for `with`.

    Weights have a signed scale per channel. Activations are unsigned with a range that follows the
    batches; they are told apart by their place in the order of the calls, which must be the same
    in every pass. The answer layer, the last with weights, stays in float as in the file.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ranges: list[Tensor] = []
        self._weights: dict[nn.Parameter, int] = {}  # with the axis of the channels
        self._shifts: dict[nn.Parameter, Tensor] = {}  # by bias, summed over the batches
        self._layers, self._activations = 0, 0
        self._answer: int | None = None  # its number among the layers
        self._measuring = False

    @torch.no_grad()
    def measure(self, network: nn.Module, batches: Sequence[Tensor]) -> None:
        """Finds ranges, in float, and corrects the biases as `write_int8` does."""
        with self:
            network(batches[0])
        self._answer, self._measuring = self._layers, True
        for batch in batches:
            with self:
                network(batch)
        self._measuring = False
        for bias, shift in self._shifts.items():
            bias.add_(shift / len(batches))

    def __enter__(self) -> Any:
        self._layers, self._activations = 0, 0
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = func.__name__
        if name in _CHANNEL_AXIS:
            self._layers += 1
        if name in _READS_ROUNDED and self._layers < (self._answer or 0):
            rounded = self._rounded(name, args)
            if not self._measuring:
                args = rounded
            elif name in _CHANNEL_AXIS:
                self._note_shift(func, args, rounded[1])
        return func(*args, **(kwargs or {}))

    def _rounded(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if name == "cat":
            return [self._activation(read) for read in args[0]], *args[1:]
        first, *others = args
        if name in _CHANNEL_AXIS:
            axis = _CHANNEL_AXIS[name]
            if isinstance(others[0], nn.Parameter):
                self._weights[others[0]] = axis
            others[0] = _int8(others[0], axis)
        else:
            others = [self._activation(read) for read in others]
        return self._activation(first), *others

    def _activation(self, values: Any) -> Any:
        if not isinstance(values, Tensor) or not values.is_floating_point():
            return values
        lowest, highest = values.detach().aminmax()
        found = torch.stack([lowest.clamp(max=0), highest.clamp(min=0)])
        if self._activations == len(self._ranges):
            self._ranges.append(found)
        range_ = self._ranges[self._activations].lerp_(found, _FOLLOW)
        self._activations += 1
        scale = ((range_[1] - range_[0]) / 255).clamp(min=1e-8)
        zero = (-range_[0] / scale).round().int()
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255)

    def _note_shift(self, func: Callable[..., Any], args: tuple[Any, ...], rounded: Tensor) -> None:
        """What the layer loses on average by its rounded weights; see `write_int8`."""
        values, weights, bias, *others = args
        if isinstance(bias, nn.Parameter):
            lost = func(values, weights - rounded, None, *others)
            channels = lost.movedim(1 if lost.ndim == 4 else -1, 0)
            self._shifts[bias] = self._shifts.get(bias, 0) + channels.flatten(1).mean(1)

    @torch.no_grad()
    def round_weights(self) -> None:
        """Makes the rounding of the weights last."""
        for weights, axis in self._weights.items():
            weights.copy_(_int8(weights, axis))


def _int8(weights: Tensor, axis: int) -> Tensor:
    others = [number for number in range(weights.ndim) if number != axis]
    scale = (weights.detach().abs().amax(others) / 127).clamp(min=1e-12)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weights, scale, zero, axis, -127, 127)


def _fold(network: nn.Module, example: Tensor) -> None:
    """Folds each batch normalisation into the convolution whose output, unchanged, it reads.

    Which is which shows in a pass of an example (1, channels, size, size) through the network.
    """
    # the outputs are kept, so that no id is given twice
    made: dict[int, tuple[nn.Conv2d | nn.ConvTranspose2d, Tensor, int]] = {}
    pairs: list[tuple[nn.Conv2d | nn.ConvTranspose2d, nn.BatchNorm2d]] = []
    calls: Counter[nn.Module] = Counter()

    def convolved(
        layer: nn.Conv2d | nn.ConvTranspose2d, args: tuple[Tensor, ...], output: Tensor
    ) -> None:
        calls[layer] += 1
        made[id(output)] = layer, output, output._version

    def normalised(layer: nn.BatchNorm2d, args: tuple[Tensor, ...]) -> None:
        calls[layer] += 1
        # an activation in place gives the same tensor, of a later version
        if id(args[0]) in made and made[id(args[0])][2] == args[0]._version:
            pairs.append((made[id(args[0])][0], layer))

    hooks = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            hooks.append(layer.register_forward_hook(convolved))
        elif isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats:
            hooks.append(layer.register_forward_pre_hook(normalised))
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    names = {layer: name for name, layer in network.named_modules()}
    for convolution, norm in pairs:
        if calls[convolution] == calls[norm] == 1:
            turned = isinstance(convolution, nn.ConvTranspose2d)
            folded = fuse_conv_bn_eval(convolution, norm, transpose=turned)
            network.set_submodule(names[convolution], folded)
            network.set_submodule(names[norm], nn.Identity())
