"""Frozen records and table schemas that pass between the layers and stand in the artefacts."""

from enum import StrEnum
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

FORMAT_VERSION = 1
"""Version of every artefact's layout; a reader refuses a later one."""

NOTICE = (
    "Cutis is a research and decision-support tool. It does not diagnose: "
    "a dermatologist decides, on the patient and not on a photo alone."
)


class Part(StrEnum):
    """The part of a split that a photo stands in."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class QualityFlag(StrEnum):
    """What may be wrong with a photo; `cutis.metrics.quality` says when and what to do."""

    BLURRED = "blurred"
    DARK = "dark"
    OVEREXPOSED = "overexposed"
    LOW_CONTRAST = "low_contrast"
    LESION_SMALL = "lesion_small"
    BLACK_CORNERS = "black_corners"
    RULER = "ruler"
    HAIR = "hair"
    NOT_SKIN = "not_skin"


class LinkKind(StrEnum):
    """Why two photos belong together and must not be split."""

    IDENTICAL_BYTES = "identical_bytes"
    IDENTICAL_PIXELS = "identical_pixels"
    SAME_PHOTOGRAPH = "same_photograph"
    SAME_ISIC_NUMBER = "same_isic_number"
    SAME_LESION = "same_lesion"
    SAME_PATIENT = "same_patient"


CATALOG_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),  # "<source>/<name it has there>"
        pa.field("path", pa.string(), nullable=False),  # absolute, or relative to the catalog
        pa.field("sha256", pa.string(), nullable=False),  # of the file's bytes
        pa.field("pixels_sha256", pa.string()),  # of the decoded RGB values and their shape
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_part", pa.string()),  # the part in which the source published it
        pa.field("source_label", pa.string()),
        pa.field("diagnosis", pa.string()),  # an id of the taxonomy
        pa.field("confirmed_by", pa.string()),  # histology, follow_up, consensus, confocal …
        pa.field("patient_id", pa.string()),
        pa.field("lesion_id", pa.string()),
        pa.field("age", pa.float32()),  # years
        pa.field("sex", pa.string()),  # female, male
        pa.field("site", pa.string()),
        pa.field("modality", pa.string()),  # dermoscopic, clinical
        pa.field("width", pa.int32()),  # pixels, after EXIF orientation
        pa.field("height", pa.int32()),
        pa.field("mask", pa.string()),  # path of the lesion mask
        pa.field("flags", pa.list_(pa.string())),  # unreadable, or each a QualityFlag
        # Scores of cutis.metrics.quality; null where they were not measured.
        pa.field("quality_sharpness", pa.float32()),
        pa.field("quality_dark", pa.float32()),
        pa.field("quality_bright", pa.float32()),
        pa.field("quality_contrast", pa.float32()),
        pa.field("quality_lesion_share", pa.float32()),
        pa.field("quality_corners", pa.float32()),
        pa.field("quality_ruler", pa.float32()),
        pa.field("quality_hair", pa.float32()),
        pa.field("quality_skin", pa.float32()),
    ]
)
QUALITY_COLUMNS = [name for name in CATALOG_SCHEMA.names if name.startswith("quality_")]

LINK_SCHEMA = pa.schema(
    [
        pa.field("image_id_a", pa.string(), nullable=False),
        pa.field("image_id_b", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # a LinkKind
        pa.field("score", pa.float32(), nullable=False),  # 1.0 for what is exact
        pa.field("reason", pa.string(), nullable=False),
    ]
)

SPLIT_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),  # what must not be split
        pa.field("part", pa.string()),  # a Part; with folds null, but for what trains in each
        pa.field("fold", pa.int16()),  # 0 … K-1; null with parts
    ]
)


class Record(BaseModel):
    """Base of the JSON records: immutable, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Preprocessing(Record):
    """How a decoded photo becomes the input of a network; the same everywhere."""

    size: int = 224  # side of the square input, pixels
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB scaled to [0, 1]
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    lesion: Literal["none", "mask", "crop", "channel"] = "none"  # what a lesion's mask is used for


class Provenance(Record):
    """What a model was trained on and under which promise."""

    recipe: str
    catalog_sha256: str
    split_name: str
    split_sha256: str
    unsafe: bool  # true: the split let photos of one lesion stand on both sides
    seed: int
    train_counts: dict[str, int]  # photos by diagnosis
    train_groups: int
    sources: tuple[str, ...]
    licences: tuple[str, ...]  # of the training photos


class HeadInfo(Record):
    """Shape of the classification head."""

    hidden: tuple[int, ...] = ()  # units of the dense layers before the answer
    dropout: float = 0.0
    sigmoid: bool = False
    attention: Literal["none", "se", "cbam"] = "none"


class BackboneFacts(Record):
    """What `cutis models` says of a backbone, without a classifier on top."""

    name: str
    parameters: int | None  # running statistics included, as Keras counts; None: not counted
    multiply_adds: int | None  # for one photo of `size`
    size: int  # side of the square input that its weights were trained for, pixels
    weights: str | None  # repository on the Hugging Face hub
    licence: str | None  # of these weights


class ModelInfo(Record):
    """`model.json` of a run; a bundle carries the same content."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    architecture: str
    widths: tuple[int, ...] | None = None  # of a pruned backbone's convolutions; None: its own
    head: HeadInfo = HeadInfo()
    diagnoses: tuple[str, ...]  # in the order of the logits
    view: str | None = None  # taxonomy view that reduces a photo's diagnosis to one of these
    preprocessing: Preprocessing
    temperature: float = 1.0  # logits are divided by it before softmax
    log_prior: tuple[float, ...] | None = None  # of training; the logits leave it out where given
    thresholds: dict[str, float] = {}
    segmenter_sha256: str | None = None  # of the weights that drew the masks of `lesion`
    provenance: Provenance
    licence: str


class SegmenterInfo(Record):
    """`model.json` of a segmentation run; a bundle carries the same content."""

    task: Literal["segmentation"] = "segmentation"
    format_version: int = FORMAT_VERSION
    cutis_version: str
    architecture: str
    filters: int | None = None  # of the first block; None: the architecture's own
    preprocessing: Preprocessing
    threshold: float = 0.5  # from this probability on a pixel is lesion; chosen on validation
    provenance: Provenance
    licence: str


class Feedback:
    """The folder in which the app hands confirmed cases over to `cutis import`."""

    FORMAT = "cutis-feedback"
    VERSION = 1
    TABLE = "feedback.csv"
    NOTE = "feedback.json"
    PHOTOS = "photos"
    COLUMNS = (
        "image",
        "case",
        "patient",
        "diagnosis",
        "confirmed_by",
        "model_diagnosis",
        "age",
        "sex",
        "site",
        "bundle",
        "saved",
    )
    CONFIRMED_BY = ("histology", "confocal", "consensus", "follow_up", "clinical")
    """How a diagnosis may have been confirmed, the surest first."""
