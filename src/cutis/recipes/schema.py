"""What a recipe may say: the typed form of its TOML file."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cutis.recipes.paper import Paper
from cutis.recipes.search_space import Search
from cutis.recipes.section import Section

Share = Annotated[float, Field(ge=0, le=1)]
_TRAINABLE = re.compile(r"head|all|last \d+|from \d+")


def _trainable(value: object) -> object:
    if isinstance(value, str) and _TRAINABLE.fullmatch(value):
        return value
    raise ValueError("expected 'head', 'all', 'last N' or 'from K' (N, K in Keras layers)")


class Input(Section):
    """How a photo becomes the network's input."""

    size: int = Field(224, ge=32, le=1024, description="side of the square input, pixels")
    fit: Literal["stretch", "crop", "pad"] = Field(
        "stretch", description="how photos become square"
    )
    scaling: Literal["imagenet", "zero_one", "minus_one_one"] = Field(
        "imagenet", description="ImageNet's mean and deviation, [0, 1] or [-1, 1]"
    )
    lesion: Literal["none", "mask", "crop", "channel"] = Field(
        "none",
        description="what a segmenter's mask does: the rest black, cut around it, a fourth channel",
    )


class Model(Section):
    """The network: a backbone and a head."""

    backbone: str = Field("mobilenet_v2", description="a name of the model registry")
    hidden: tuple[int, ...] = Field((), description="dense layers between pooling and answer")
    dropout: Share = Field(0.0, description="before the answer layer")
    sigmoid: bool = Field(False, description="one output unit for two diagnoses")
    attention: Literal["none", "se", "cbam"] = Field(
        "none", description="block that weights the last feature map before pooling"
    )


class Augmentation(Section):
    """Random changes of training photos; each is drawn anew for every photo and epoch."""

    flip: Literal["none", "horizontal", "both"] = Field("none", description="mirror images")
    rotation: float = Field(0.0, ge=0, le=180, description="degrees to either side")
    zoom: float = Field(0.0, ge=0, lt=1, description="share to either side; 0.1 is 0.9 to 1.1")
    shift: float = Field(0.0, ge=0, le=0.5, description="share of the side, in x and y")
    stretch: float = Field(0.0, ge=0, lt=1, description="change of the aspect, share")
    brightness: float = Field(0.0, ge=0, lt=1, description="factor to either side of one")
    contrast: float = Field(0.0, ge=0, lt=1, description="factor to either side of one")
    saturation: float = Field(0.0, ge=0, le=1, description="factor to either side of one")
    hue: float = Field(0.0, ge=0, le=180, description="degrees to either side")
    erase: Share = Field(0.0, description="chance of a grey rectangle of up to a quarter")


class Schedule(Section):
    """The course of the learning rate within a stage."""

    kind: Literal["constant", "cosine", "one-cycle", "plateau"] = "constant"
    warmup: float = Field(0.25, ge=0, lt=1, description="one-cycle: share of the steps that rise")
    minimum: float = Field(0.0, ge=0, description="cosine, plateau: the lowest rate")
    factor: float = Field(0.1, gt=0, lt=1, description="plateau: the rate is multiplied by it")
    patience: int = Field(5, ge=0, description="plateau: epochs without a better figure")


class EarlyStopping(Section):
    """Ends a stage when the monitored figure has not improved for `patience` epochs."""

    patience: int = Field(10, ge=1)


class TrainingStage(Section):
    """What a stage of any training says: how long, in which steps, on which changed photos."""

    name: str = ""
    epochs: int = Field(ge=1)
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0, description="highest rate of the schedule")
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(32, ge=1)
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    early_stopping: EarlyStopping | None = None


class Stage(TrainingStage):
    """A piece of training with its own trainable layers."""

    trainable: Annotated[str, BeforeValidator(_trainable)] = Field(
        "all", description="'head', 'all', 'last N' or 'from K' (Keras layers)"
    )
    views: int = Field(
        0, ge=0, le=256, description="augmented views of a photo, kept; 0: drawn anew every epoch"
    )
    order: Literal["epoch", "once"] = Field(
        "epoch", description="photos shuffled anew every epoch, or once for the whole training"
    )
    imbalance: Literal[
        "none", "class_weights", "balanced_sampling", "over_sampling", "logit_adjustment"
    ] = Field("none", description="what makes up for rare diagnoses")
    label_smoothing: Share = 0.0

    @model_validator(mode="after")
    def _views_of_something(self) -> Self:
        if self.views and self.augmentation == Augmentation():
            raise ValueError("views are of augmented photos: the stage needs an augmentation")
        return self


class Recipe(Section):
    """One way to train a classifier, from the input to the choice of the checkpoint."""

    name: str
    title: str = ""
    view: str | None = Field(None, description="taxonomy view; default: the catalog's own")
    seed: int = Field(0, ge=0)
    input: Input = Input()
    model: Model = Model()
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor computes with it"
    )
    batch_norm_momentum: float = Field(0.1, gt=0, le=1, description="share of the newest batch")
    moving_average: float = Field(0.0, ge=0, lt=1, description="decay of averaged weights; 0: off")
    answer: Literal["balanced", "prior"] = Field(
        "balanced",
        description="with logit adjustment: answer as if all diagnoses were equally frequent, or "
        "with the training frequencies put back",
    )
    monitor: Literal["validation_loss", "validation_accuracy", "validation_balanced_accuracy"] = (
        "validation_balanced_accuracy"
    )
    keep: Literal["best", "last"] = Field("best", description="checkpoint that becomes the model")
    stage: tuple[Stage, ...]
    paper: Paper | None = Field(None, description="the published system that it follows")
    search: Search | None = Field(None, description="what `cutis search` varies")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.stage:
            raise ValueError("a recipe needs at least one [[stage]]")
        adjusted = {s.imbalance == "logit_adjustment" for s in self.stage}
        if self.answer == "prior" and adjusted != {True}:
            raise ValueError("answer = 'prior' needs imbalance = 'logit_adjustment' in every stage")
        return self
