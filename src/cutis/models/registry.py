"""From a name in a recipe to a network."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from cutis.errors import RecipeError, nearest
from cutis.models.backbone import Backbone
from cutis.models.heads import ClassifierHead
from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.models.small_cnn import SmallCnn

BACKBONES: Mapping[str, Callable[[], Backbone]] = {
    "mobilenet_v2": lambda: MobileNetV2(1.0),
    "mobilenet_v2_050": lambda: MobileNetV2(0.5),
    "mobilenet_v2_035": lambda: MobileNetV2(0.35),
    "small_cnn": lambda: SmallCnn(16),
}


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
    hidden: tuple[int, ...] = (),
    dropout: float = 0.0,
    sigmoid: bool = False,
) -> Classifier:
    """A freshly initialised classifier; raises RecipeError for an unknown architecture."""
    if architecture not in BACKBONES:
        raise RecipeError(
            f"there is no backbone '{architecture}'",
            expected="one of " + ", ".join(sorted(BACKBONES)),
            fix=nearest(architecture, BACKBONES),
        )
    backbone = BACKBONES[architecture]()
    head = ClassifierHead(
        backbone.channels, diagnoses, hidden=hidden, dropout=dropout, sigmoid=sigmoid
    )
    return Classifier(backbone, head)
