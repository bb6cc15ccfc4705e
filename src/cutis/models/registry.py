"""From a name in a recipe to a network."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from cutis.errors import InputError, MissingDependencyError, RecipeError, nearest
from cutis.models.backbone import Backbone
from cutis.models.heads import ClassifierHead
from cutis.models.lesion_cnn import LesionCnn
from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.models.small_cnn import SmallCnn
from cutis.models.timm_backbone import TimmBackbone
from cutis.models.timm_library import timm_library

BACKBONES: Mapping[str, Callable[[], Backbone]] = {
    "mobilenet_v2": lambda: MobileNetV2(1.0),
    "mobilenet_v2_050": lambda: MobileNetV2(0.5),
    "mobilenet_v2_035": lambda: MobileNetV2(0.35),
    "small_cnn": lambda: SmallCnn(16),
    "lesion_cnn": LesionCnn,
}
"""Our own networks; they take any input size, `lesion_cnn` with its head only the one it is built
for."""

PRUNABLE = ("mobilenet_v2", "mobilenet_v2_050", "mobilenet_v2_035")
"""The networks that can be built with other widths: what their pruning leaves of them."""

TIMM = "timm/"
"""What stands before the names of timm's networks."""

ALIASES = {"vgg16": "timm/vgg16", "resnet50": "timm/resnet50"}
"""Names that the papers use, for networks of timm."""


class Classifier(nn.Module):
    """A backbone and a head: normalised (batch, 3, height, width) to logits (batch, diagnoses)."""

    def __init__(self, backbone: Backbone, head: ClassifierHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(pixels))
        return logits


def build_classifier(
    architecture: str,
    diagnoses: int,
    *,
    size: int = 224,
    hidden: tuple[int, ...] = (),
    dropout: float = 0.0,
    sigmoid: bool = False,
    attention: str = "none",
    channels: int = 3,
    widths: Sequence[int] | None = None,
) -> Classifier:
    """A freshly initialised classifier; other arguments and errors as in `build_backbone`."""
    backbone = build_backbone(architecture, size, channels, widths)
    head = ClassifierHead(
        backbone.channels,
        diagnoses,
        hidden=hidden,
        dropout=dropout,
        sigmoid=sigmoid,
        attention=attention,
        places=backbone.flattened(size),
    )
    return Classifier(backbone, head)


def build_backbone(
    name: str, size: int = 224, channels: int = 3, widths: Sequence[int] | None = None
) -> Backbone:
    """A backbone with random weights, without any network connection.

    Args:
        name: of ours, an alias, or `timm/` and a name of timm.
        size: side of the square input, pixels; some of timm's networks are built for one size.
        channels: of the input: 4 where a mask comes with the photo. The first convolution's weights
            for what is more than three are zero at first: the mask tells nothing before training.
        widths: output channels of the convolutions of a pruned network, one of PRUNABLE.

    Raises RecipeError for an unknown name (with the nearest spelling), for a size that the network
    cannot take and for a network of timm with more than three channels; InputError for widths that
    the network cannot have; MissingDependencyError for a name of timm where timm is not installed.
    """
    if name in BACKBONES:
        backbone = BACKBONES[name]() if widths is None else _pruned(name, widths)
        if channels > 3:
            _take_more_channels(backbone, channels)
        return backbone
    architecture = timm_name(name)
    if channels > 3:
        raise RecipeError(
            f"the backbone '{name}' takes photos only, not a mask beside them",
            expected=f"one of {', '.join(BACKBONES)} where input.lesion is 'channel'",
            fix="set input.lesion=crop or input.lesion=mask, or choose another backbone",
        )
    return TimmBackbone(architecture, size)


def _pruned(name: str, widths: Sequence[int]) -> Backbone:
    try:
        if name not in PRUNABLE or min(widths, default=0) < 1:
            raise ValueError(f"widths {list(widths)}")
        return MobileNetV2(widths=widths)
    except ValueError as error:
        raise InputError(
            f"the backbone '{name}' cannot be built as pruned: {error}",
            expected=f"{' or '.join(PRUNABLE)} with a width for each of its convolutions",
            fix="take model.json as `cutis prune` wrote it",
        ) from error


def _take_more_channels(backbone: Backbone, channels: int) -> None:
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    known = first.weight.detach()
    missing = known.new_zeros(known.shape[0], channels - known.shape[1], *known.shape[2:])
    first.weight = nn.Parameter(torch.cat([known, missing], dim=1))
    first.in_channels = channels


def timm_name(name: str) -> str:
    """What timm calls the network of a recipe's name; raises as `build_backbone` does."""
    full = ALIASES.get(name, name)
    architecture = full.removeprefix(TIMM)
    if full.startswith(TIMM) and _is_known(architecture):
        return architecture
    raise RecipeError(
        f"there is no backbone '{name}'",
        expected=f"one of {', '.join([*BACKBONES, *ALIASES])}, or {TIMM}NAME; see `cutis models`",
        fix=_hint(name),
    )


def timm_names() -> list[str]:
    """All networks of timm, as recipes name them."""
    return [TIMM + name for name in timm_library().list_models()]


def _is_known(architecture: str) -> bool:
    timm = timm_library()
    try:
        # a name of timm may end in the tag of its weights, which this looks up as well
        return timm.is_model(architecture) and bool(timm.get_pretrained_cfg(architecture))
    except RuntimeError:
        return False


def _hint(name: str) -> str:
    name = name.partition(".")[0]
    names = [*BACKBONES, *ALIASES]
    try:
        names += timm_names()
    except MissingDependencyError as error:
        return nearest(name, names) or f"for the networks of timm: {error.fix}"
    # mobilenet_v3 is a family, timm/mobilenetv3_small_100 a member
    family = [other for other in names if _letters(other).startswith(_letters(name))]
    return nearest(name, family) or nearest(name, names) or f"see `cutis models '*{name}*'`"


def _letters(name: str) -> str:
    return "".join(sign for sign in name.removeprefix(TIMM).lower() if sign.isalnum())
