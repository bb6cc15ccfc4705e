"""What a segmentation recipe may say: the typed form of its TOML file."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cutis.recipes.paper import Paper
from cutis.recipes.schema import TrainingStage
from cutis.recipes.section import Section


class SegmentationInput(Section):
    """How a photo becomes the network's input; it is stretched to a square."""

    size: int = Field(128, ge=32, le=1024, description="side of the square input, pixels")
    scaling: Literal["imagenet", "zero_one", "minus_one_one"] = Field(
        "imagenet", description="ImageNet's mean and deviation, [0, 1] or [-1, 1]"
    )


class SegmentationModel(Section):
    """The network that finds the lesion."""

    architecture: str = Field("mobilenet_unet", description="a name of the segmenter registry")
    filters: int | None = Field(
        None, ge=1, description="of the first block; absent: the architecture's own"
    )


class SegmentationLoss(Section):
    """What is made small: see `cutis.training.segmentation.losses`."""

    kind: Literal["dice_bce", "focal_tversky"] = "dice_bce"
    alpha: float = Field(0.7, ge=0, description="focal Tversky: weight of missed lesion pixels")
    beta: float = Field(0.3, ge=0, description="focal Tversky: weight of extra pixels")
    gamma: float = Field(
        4 / 3, ge=1, le=3, description="focal Tversky: 1 - index is raised to 1 / gamma"
    )


class SegmentationStage(TrainingStage):
    """A piece of a segmenter's training."""

    trainable: Literal["all", "decoder"] = Field(
        "all", description="decoder: a pretrained encoder stays as it is"
    )


class SegmentationRecipe(Section):
    """One way to train a segmenter, from the input to the choice of the checkpoint."""

    task: Literal["segmentation"]
    name: str
    title: str = ""
    seed: int = Field(0, ge=0)
    input: SegmentationInput = SegmentationInput()
    model: SegmentationModel = SegmentationModel()
    loss: SegmentationLoss = SegmentationLoss()
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor computes with it"
    )
    moving_average: float = Field(0.0, ge=0, lt=1, description="decay of averaged weights; 0: off")
    monitor: Literal["validation_loss", "validation_jaccard"] = "validation_jaccard"
    keep: Literal["best", "last"] = Field("best", description="checkpoint that becomes the model")
    enlarge: int = Field(
        1,
        ge=1,
        le=8,
        description="how often a training photo stands in an epoch, each time flipped or turned "
        "another way",
    )
    stage: tuple[SegmentationStage, ...]
    paper: Paper | None = Field(None, description="the published system that it follows")

    @model_validator(mode="after")
    def _has_stages(self) -> Self:
        if not self.stage:
            raise ValueError("a recipe needs at least one [[stage]]")
        return self
