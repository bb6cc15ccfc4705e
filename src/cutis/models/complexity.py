"""What a backbone costs, and under which licence its published weights stand."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cutis.errors import InputError
from cutis.models.backbone import Backbone, Pretrained, count_parameters
from cutis.models.registry import ALIASES, BACKBONES, build_backbone, timm_name, timm_names
from cutis.models.timm_backbone import native_size, pretrained_of
from cutis.models.timm_library import timm_installed
from cutis.records import BackboneFacts

SIZE = 224
"""Input side of our own networks, pixels."""

SHORT_LIST = (
    *ALIASES,
    "timm/resnet18",
    "timm/mobilenetv3_small_100",
    "timm/mobilenetv3_large_100",
    "timm/mobilenetv4_conv_small",
    "timm/mobilenetv4_conv_medium",
    "timm/efficientnet_b0",
    "timm/efficientnet_b3",
    "timm/convnext_atto",
    "timm/convnext_tiny",
    "timm/vit_tiny_patch16_224",
    "timm/vit_small_patch16_224",
    "timm/swin_tiny_patch4_window7_224",
)
"""A few of timm's families, from small to what a laptop still trains."""


def list_backbones(names: Sequence[str] = (), *, every: bool = False) -> list[BackboneFacts]:
    """Facts of backbones.

    Args:
        names: of backbones, or patterns such as `timm/convnext*`; with none, our own and
            SHORT_LIST, the latter where timm is installed.
        every: all that there are, as the pattern `*`.

    Parameters and multiply-adds are counted for our own backbones and for those that are named,
    not for what a pattern finds in timm. Raises RecipeError for an unknown name, InputError for
    a pattern that nothing matches.
    """
    if every:
        names = [*names, "*"]
    elif not names:
        names = [*BACKBONES, *(SHORT_LIST if timm_installed() else ())]
    facts: dict[str, BackboneFacts] = {}
    for name in names:
        if any(sign in name for sign in "*?["):
            for match in _matching(name):
                facts.setdefault(match, _facts(match, counted=False))
        else:
            facts[name] = _facts(name, counted=True)
    return list(facts.values())


def _matching(pattern: str) -> Iterator[str]:
    found = [name for name in [*BACKBONES, *ALIASES, *timm_names()] if fnmatchcase(name, pattern)]
    if not found:
        raise InputError(
            f"no backbone matches '{pattern}'",
            expected="a pattern such as timm/convnext* or *resnet*",
            fix="see them all by --all",
        )
    yield from found


def _facts(name: str, *, counted: bool) -> BackboneFacts:
    size = SIZE if name in BACKBONES else native_size(timm_name(name))
    backbone = _on_paper(name, size) if counted or name in BACKBONES else None
    pretrained = _pretrained(name, backbone)
    return BackboneFacts(
        name=name,
        parameters=None if backbone is None else count_parameters(backbone),
        multiply_adds=None if backbone is None else multiply_adds(backbone, size),
        size=size,
        weights=pretrained.repository if pretrained else None,
        licence=pretrained.licence if pretrained else None,
    )


def _pretrained(name: str, backbone: Backbone | None) -> Pretrained | None:
    return pretrained_of(timm_name(name)) if backbone is None else backbone.pretrained


def _on_paper(name: str, size: int) -> Backbone:
    """The network with shapes and no values, which takes neither memory nor time."""
    with torch.device("meta"):
        return build_backbone(name, size)


def multiply_adds(network: nn.Module, size: int, channels: int = 3) -> int:
    """Multiplications with an addition for one photo, (1, channels, size, size), when evaluated.

    Convolutions, matrix products and attention are counted, as papers do; a multiply-add is one.
    """
    device = next(network.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, channels, size, size, device=device))
    return int(counter.get_total_flops()) // 2
