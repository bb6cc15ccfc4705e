"""Pieces that several segmenters share."""

from collections.abc import Iterable

from torch import Tensor, nn


def double_convolution(
    inputs: int, outputs: int, *, dropout: float = 0.0, normalised: bool = False
) -> nn.Sequential:
    """Two padded 3x3 convolutions with ReLU.

    Args:
        dropout: share of values dropped between the two.
        normalised: whether batch normalisation stands before each ReLU, instead of a bias.
    """
    between = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        *convolution(inputs, outputs, normalised=normalised),
        *between,
        *convolution(outputs, outputs, normalised=normalised),
    )


def convolution(inputs: int, outputs: int, *, normalised: bool = False) -> list[nn.Module]:
    """A padded 3x3 convolution with ReLU; `normalised` as in `double_convolution`."""
    norm = [nn.BatchNorm2d(outputs)] if normalised else []
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=not normalised),
        *norm,
        nn.ReLU(inplace=True),
    ]


def encoder_maps(blocks: Iterable[nn.Module], pool: nn.Module, pixels: Tensor) -> list[Tensor]:
    """The map of every block, from the finest; between two blocks stands the pooling."""
    first, *others = blocks
    maps: list[Tensor] = [first(pixels)]
    for block in others:
        maps.append(block(pool(maps[-1])))
    return maps


def initialise(module: nn.Module) -> None:
    """He-normal weights, as ReLU wants them, and zero biases; for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def initialise_answer(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Glorot-uniform weights and a zero bias, for a layer with a sigmoid behind it."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
