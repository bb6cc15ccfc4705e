"""The bundle: the folder with all that deployment needs, and the checks that it is unchanged."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from cutis.errors import InputError
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.records import FORMAT_VERSION, ModelInfo, Record, SegmenterInfo
from cutis.taxonomy import Malignancy, Urgency

INFO_FILE = "bundle.json"
CARD_FILE = "MODEL_CARD.md"
MODEL_FILES = {"int8": "model-int8.onnx", "fp32": "model.onnx", "tflite": "model-int8.tflite"}
"""The classifiers that a bundle may hold, by the network's name."""
SEGMENTER_FILES = {"int8": "segmenter-int8.onnx", "fp32": "segmenter.onnx"}
"""The segmenters likewise."""
FEATURES_FILE = "features.npz"
"""Where the features of the training photos lie (`FeatureSpace`)."""
FITTED_FILE = "recalibrated-on.txt"
"""A line a code (`photo_code`) of the photos that a recalibration was fitted to."""

EXPORT_AGAIN = "export the run again, or copy the bundle again from its origin"


class BundleDiagnosis(Record):
    """What is shown of one answer of the model."""

    id: str
    name: dict[str, str]  # by language
    malignancy: Malignancy | None
    urgency: Urgency | None


class Recalibration(Record):
    """What `cutis recalibrate` fitted of one network to a clinic's photos.

    Its probabilities are softmax(logits / temperature + offsets). The thresholds of the policy are
    still compared with the probabilities as exported: see docs/recalibration.md.
    """

    temperature: float
    offsets: tuple[float, ...]  # in the order of the logits; 0 where no prior was fitted
    photos: int
    cases: int  # groups of photos of one patient or lesion
    catalog_sha256: str  # salts the codes of FITTED_FILE
    sets_checked: bool  # the policy's sets hold their promise for such cases too


class BundleInfo(Record):
    """`bundle.json`: what the bundle holds, its diagnoses in words, and the hash of every file.

    A bundle holds a classifier (`model`), a segmenter, or both.
    """

    format_version: int = FORMAT_VERSION
    cutis_version: str
    model: ModelInfo | None = None
    diagnoses: tuple[BundleDiagnosis, ...] = ()  # in the order of the logits
    default_model: str | None = None  # runs unless told: int8 where it answers as the run does
    segmenter: SegmenterInfo | None = None
    default_segmenter: str | None = None
    policies: Mapping[str, AnswerPolicy] = {}  # by network; none where too few photos were at hand
    recalibrations: Mapping[str, Recalibration] = {}  # by network; none: probabilities as exported
    passed: tuple[str, ...] = ()  # "network/engine" that answer as the run does
    allowed: Mapping[str, tuple[str, ...]] = {}  # those that do not, and why; let in by --allow
    files: dict[str, str]  # SHA-256 by name, of every other file of the bundle
    notice: str


def photo_code(sha256: str, salt: str) -> str:
    """By what a photo is known again to who has it; it tells nobody else of whom the photo is.

    Args:
        sha256: of the photo's file or pixels.
        salt: of the bundle, so that the lists of two bundles cannot be compared.
    """
    return hashlib.sha256(f"{salt} {sha256}".encode()).hexdigest()


def write_info(folder: Path, info: BundleInfo) -> None:
    """Writes bundle.json with a hash over its own content."""
    content = info.model_dump(mode="json")
    text = json.dumps({"sha256": _seal(content), **content}, indent=2, ensure_ascii=False)
    (folder / INFO_FILE).write_text(text + "\n", encoding="utf-8")


def read_info(folder: Path) -> BundleInfo:
    """Reads and checks bundle.json.

    Raises InputError for a missing folder, a folder that is no bundle, a later format version and
    any change of content since the export.
    """
    path = folder / INFO_FILE
    if not path.is_file():
        problem = "this folder is not a bundle" if folder.is_dir() else "there is no such bundle"
        raise InputError(
            problem,
            where=folder,
            expected=f"a folder that holds {INFO_FILE}",
            fix="give the folder that 'cutis export RUN --out BUNDLE' wrote",
        )
    content = _parse(path)
    version = content.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"the bundle has format version {version}, made by a later Cutis",
            where=path,
            expected=f"format version {FORMAT_VERSION} or earlier",
            fix="update Cutis, or export the run again with this version",
        )
    if content.pop("sha256", None) != _seal(content):
        raise _changed(path)
    try:
        return BundleInfo.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        raise InputError(
            f"the bundle's record is not valid at '{key}': {first['msg']}",
            where=path,
            fix=EXPORT_AGAIN,
        ) from error


def read_file(folder: Path, info: BundleInfo, file: str) -> bytes:
    """The bytes of one of the bundle's files, equal to those that were exported.

    Raises InputError for a file that is missing, may not be read, or was changed.
    """
    path = folder / file
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("a file of the bundle is missing", where=path, fix=EXPORT_AGAIN) from error
    except PermissionError as error:
        raise InputError(
            "no permission to read a file of the bundle", where=path, fix="make it readable"
        ) from error
    if hashlib.sha256(data).hexdigest() != info.files.get(path.name):
        raise _changed(path)
    return data


def _parse(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # covers undecodable text and broken JSON
        raise _changed(path) from error
    if not isinstance(content, dict):
        raise _changed(path)
    return content


def _seal(content: dict[str, object]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _changed(path: Path) -> InputError:
    return InputError(
        f"{path.name} of the bundle was changed or damaged after the export",
        where=path,
        expected="the content whose SHA-256 was recorded at the export",
        fix=EXPORT_AGAIN,
    )
