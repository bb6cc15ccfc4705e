"""From a name in a segmentation recipe to a network."""

from collections.abc import Callable, Mapping
from functools import partial

from cutis.errors import RecipeError, nearest
from cutis.models.segmentation.attention_unet import AttentionUNet
from cutis.models.segmentation.base import Segmenter
from cutis.models.segmentation.enet import ENet
from cutis.models.segmentation.mobilenet_unet import MobileNetUNet
from cutis.models.segmentation.unet import UNet
from cutis.models.segmentation.unet3plus import UNet3Plus

SEGMENTERS: Mapping[str, Callable[..., Segmenter]] = {
    "unet": UNet,
    "attention_unet": AttentionUNet,
    "attention_unet_bn": partial(AttentionUNet, normalised=True),
    "unet3plus": UNet3Plus,
    "enet": ENet,
    "mobilenet_unet": MobileNetUNet,
}
"""Each takes `filters`, which has the paper's value where it is not given."""


def build_segmenter(architecture: str, *, filters: int | None = None) -> Segmenter:
    """A segmenter with random weights.

    Args:
        architecture: a name of SEGMENTERS.
        filters: of the first block; None for the architecture's own number.

    Raises RecipeError for an unknown name, with the nearest spelling.
    """
    if architecture not in SEGMENTERS:
        raise RecipeError(
            f"there is no segmenter '{architecture}'",
            expected=f"one of {', '.join(SEGMENTERS)}",
            fix=nearest(architecture, SEGMENTERS) or "choose one of these",
        )
    build = SEGMENTERS[architecture]
    return build() if filters is None else build(filters)
