"""VGG16 and ResNet50 in the order in which Keras numbers their layers (without the top).

Only the numbers are Keras's: ResNet50 here has its stride in the 3x3 convolutions and no bias in
them, as timm's weights were trained, where Keras's has it in the first 1x1 and has biases.
"""

from collections.abc import Callable, Iterator, Mapping

from torch import nn

Layers = Iterator[tuple[str, nn.Module | None]]


def _vgg16(network: nn.Module) -> Layers:
    """19 layers; an activation belongs to its convolution."""
    yield "input_1", None
    block, number = 1, 0
    for layer in network.get_submodule("features").children():
        if isinstance(layer, nn.Conv2d):
            number += 1
            yield f"block{block}_conv{number}", layer
        elif isinstance(layer, nn.MaxPool2d):
            yield f"block{block}_pool", None
            block, number = block + 1, 0


def _resnet50(network: nn.Module) -> Layers:
    """175 layers; padding, activations and additions count."""
    yield "input_1", None
    yield "conv1_pad", None
    yield "conv1_conv", network.get_submodule("conv1")
    yield "conv1_bn", network.get_submodule("bn1")
    yield from ((name, None) for name in ("conv1_relu", "pool1_pad", "pool1_pool"))
    for stage in range(1, 5):
        blocks = network.get_submodule(f"layer{stage}").children()
        for number, block in enumerate(blocks, start=1):
            yield from _bottleneck(block, f"conv{stage + 1}_block{number}")


def _bottleneck(block: nn.Module, name: str) -> Layers:
    for number in (1, 2):
        yield f"{name}_{number}_conv", block.get_submodule(f"conv{number}")
        yield f"{name}_{number}_bn", block.get_submodule(f"bn{number}")
        yield f"{name}_{number}_relu", None
    shortcut = block.downsample
    if isinstance(shortcut, nn.Sequential):
        yield f"{name}_0_conv", shortcut[0]
    yield f"{name}_3_conv", block.get_submodule("conv3")
    if isinstance(shortcut, nn.Sequential):
        yield f"{name}_0_bn", shortcut[1]
    yield f"{name}_3_bn", block.get_submodule("bn3")
    yield f"{name}_add", None
    yield f"{name}_out", None


KERAS_ORDER: Mapping[str, Callable[[nn.Module], Layers]] = {
    "vgg16": _vgg16,
    "resnet50": _resnet50,
}
"""By timm's name of the architecture."""


def _vgg16_chain(network: nn.Module) -> Iterator[nn.Module]:
    yield from network.get_submodule("features").children()


def _resnet50_chain(network: nn.Module) -> Iterator[nn.Module]:
    yield from (network.get_submodule(name) for name in ("conv1", "bn1", "act1", "maxpool"))
    for stage in range(1, 5):
        yield from network.get_submodule(f"layer{stage}").children()


CHAINS: Mapping[str, Callable[[nn.Module], Iterator[nn.Module]]] = {
    "vgg16": _vgg16_chain,
    "resnet50": _resnet50_chain,
}
"""Modules that follow one another, for training from a cut on."""
