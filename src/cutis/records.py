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
        pa.field("flags", pa.list_(pa.string())),  # e.g. unreadable
    ]
)

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
        pa.field("part", pa.string()),  # a Part; null with folds
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


class ModelInfo(Record):
    """`model.json` of a run; a bundle carries the same content."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    architecture: str
    head: HeadInfo = HeadInfo()
    diagnoses: tuple[str, ...]  # in the order of the logits
    view: str | None = None  # taxonomy view that reduces a photo's diagnosis to one of these
    preprocessing: Preprocessing
    temperature: float = 1.0  # logits are divided by it before softmax
    log_prior: tuple[float, ...] | None = None  # of training; the logits leave it out where given
    thresholds: dict[str, float] = {}
    provenance: Provenance
    licence: str
