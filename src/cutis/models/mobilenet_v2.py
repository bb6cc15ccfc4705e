"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) with torchvision's parameter names.

The papers that Cutis reproduces speak of Keras layers ("the last 30 layers", "layer 140"), so the
parts of the network are also addressable in Keras's order: 154 layers without the top, counting
input, padding, batch normalisation, activation and addition layers.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from cutis.models.backbone import Backbone, Pretrained

# expansion, channels, repeats, stride of the first repeat: table 2 of the paper
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1, with a shortcut or without.

    Args:
        hidden: channels between expansion and projection; None: those of the input, not expanded.
    """

    def __init__(
        self, inputs: int, hidden: int | None, outputs: int, *, stride: int, shortcut: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.shortcut = shortcut
        expand = [] if hidden is None else [_conv(inputs, hidden, kernel=1)]
        hidden = hidden or inputs
        self.conv = nn.Sequential(
            *expand,
            _conv(hidden, hidden, kernel=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.conv(x)
        return x + changed if self.shortcut else changed


class MobileNetV2(Backbone):
    """The convolutional base: (batch, 3, height, width) to (batch, channels, height/32, width/32).

    Args:
        width: multiplier of all channel counts; they are rounded to multiples of eight, and the
            last feature map keeps 1,280 channels for widths below one.
        last: whether the last 1x1 convolution, to 1,280 channels, is there. A segmenter has no use
            for it: the map then has the 320 channels before it.
        widths: of a pruned network in place of `width`: the output channels of each convolution
            that is not depthwise, from the first to the last. Raises ValueError for another number
            of them.
    """

    def __init__(
        self, width: float = 1.0, *, last: bool = True, widths: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        if widths is not None:
            self.widths = tuple(widths)
        elif width == 1.0:
            self.pretrained = Pretrained("timm/mobilenetv2_100.ra_in1k", "Apache-2.0")
        own = _widths(width, last)
        if widths is not None and len(widths) != len(own):
            raise ValueError(f"{len(widths)} widths for {len(own)} convolutions")
        left = iter(own if widths is None else widths)
        channels = next(left)
        blocks: list[nn.Module] = [_conv(3, channels, kernel=3, stride=2)]
        for expansion, _, repeats, first_stride in _STAGES:
            for repeat in range(repeats):
                hidden = None if expansion == 1 else next(left)
                outputs, stride = next(left), first_stride if repeat == 0 else 1
                blocks.append(
                    InvertedResidual(channels, hidden, outputs, stride=stride, shortcut=repeat > 0)
                )
                channels = outputs
        if last:
            inputs, channels = channels, next(left)
            blocks.append(_conv(inputs, channels, kernel=1))
        self.channels = channels
        self.features = nn.Sequential(*blocks)
        self.apply(_initialise)

    def chain(self) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for block in self.features:
            if isinstance(block, InvertedResidual) and not block.shortcut:
                layers += block.conv
            else:
                layers.append(block)
        return layers

    def keras_layers(self) -> list[tuple[str, nn.Module | None]]:
        return [("input_1", None), *self._named_layers()]

    def _named_layers(self) -> Iterator[tuple[str, nn.Module | None]]:
        first, *blocks = self.features
        yield from _triple(first, "Conv1", "bn_Conv1", "Conv1_relu")
        for index, block in enumerate(blocks):
            if isinstance(block, InvertedResidual):
                yield from _block_layers(block, index)
            else:
                yield from _triple(block, "Conv_1", "Conv_1_bn", "out_relu")


def _block_layers(block: InvertedResidual, index: int) -> Iterator[tuple[str, nn.Module | None]]:
    prefix = f"block_{index}_" if index else "expanded_conv_"
    *expand, depthwise, project, project_norm = block.conv
    for part in expand:
        yield from _triple(part, f"{prefix}expand", f"{prefix}expand_BN", f"{prefix}expand_relu")
    if block.stride == 2:
        yield f"{prefix}pad", None
    name = f"{prefix}depthwise"
    yield from _triple(depthwise, name, f"{name}_BN", f"{name}_relu")
    yield f"{prefix}project", project
    yield f"{prefix}project_BN", project_norm
    if block.shortcut:
        yield f"{prefix}add", None


def _triple(
    part: nn.Module, conv: str, norm: str, activation: str
) -> Iterator[tuple[str, nn.Module | None]]:
    convolution, normalisation, _ = part.children()
    yield conv, convolution
    yield norm, normalisation
    yield activation, None


def _widths(width: float, last: bool) -> list[int]:
    """Output channels of the convolutions that are not depthwise, by the paper's table."""
    channels = _rounded(32 * width)
    widths = [channels]
    for expansion, base, repeats, _ in _STAGES:
        for _ in range(repeats):
            widths += [] if expansion == 1 else [channels * expansion]
            channels = _rounded(base * width)
            widths.append(channels)
    return [*widths, _rounded(1280 * max(1.0, width))] if last else widths


def _conv(
    inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


def _rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor` that takes away no more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
