"""From a run to a bundle: networks, parity, card and record, written together or not at all."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cutis import __version__
from cutis.errors import InputError
from cutis.evaluation.names import display_name, malignancy
from cutis.export.card import model_card
from cutis.export.onnx import write_onnx
from cutis.export.parity import Parity, check_fp32, compare_int8, reference_logits
from cutis.export.quantize import write_int8
from cutis.preprocessing import load
from cutis.records import NOTICE, ModelInfo, Preprocessing
from cutis.runtime.bundle import INFO_FILE, MODEL_FILES, BundleDiagnosis, BundleInfo, write_info
from cutis.runtime.network import available_cores
from cutis.storage import sha256_file, staged_folder
from cutis.taxonomy import diagnoses, view, view_names
from cutis.training.run import load_run

PARITY_FILE = "parity.json"
CARD_FILE = "MODEL_CARD.md"

Scores = Mapping[str, Mapping[str, float | str | None]]
"""The `scores` of a report's metrics.json: value, low and high by name."""


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote."""

    folder: Path
    sizes: Mapping[str, int]  # bytes by file name
    parity: Parity


def export_run(
    run: Path,
    out: Path,
    *,
    calibration_photos: Sequence[Path],
    check_photos: Sequence[Path],
    scores: Scores | None = None,
) -> ExportSummary:
    """Exports a run to a bundle.

    Args:
        calibration_photos: of the training part; the int8 ranges are measured on them, a few
            hundred are enough.
        check_photos: other photos, on which the exported networks are compared with the run.
        scores: figures for the model card.

    Raises InputError for a folder that is no finished run, a photo that cannot be read, photos in
    both lists, and an `out` that holds something else; and as `export_model`.
    """
    trained = load_run(run)
    both = set(calibration_photos) & set(check_photos)
    if both:
        raise InputError(
            f"{len(both)} photos serve for calibration and for the check",
            where=min(both),
            expected="check photos that the int8 ranges were not measured on",
            fix="take the check photos from another part",
        )
    settings = trained.info.preprocessing
    return export_model(
        trained.model(),
        trained.info,
        _read(calibration_photos, settings, "reading calibration photos"),
        _read(check_photos, settings, "reading check photos"),
        out,
        scores=scores,
    )


def export_model(
    module: nn.Module,
    info: ModelInfo,
    calibration: NDArray[np.uint8],
    check: NDArray[np.uint8],
    out: Path,
    *,
    scores: Scores | None = None,
) -> ExportSummary:
    """Exports a network in evaluation mode, normalised photos to logits, to a bundle.

    Args:
        calibration, check: (photos, size, size, 3), as `preprocessing.load` gives them.

    Raises InputError without calibration or check photos and for an operator that ONNX lacks;
    CheckFailedError, with nothing written, when the fp32 network is not the run's.
    """
    for name, photos in (("calibration", calibration), ("check", check)):
        if len(photos) == 0:
            raise InputError(
                f"there are no {name} photos",
                expected="at least one, better some hundreds",
                fix="give the catalog that the run was trained on",
            )
    with staged_folder(out, marker=INFO_FILE) as folder:
        parity = _write_networks(module, info, calibration, check, folder)
        (folder / PARITY_FILE).write_text(parity.model_dump_json(indent=2) + "\n")
        described = tuple(_describe(name) for name in info.diagnoses)
        card = model_card(info, described, parity, len(calibration), scores)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        files = sorted(folder.iterdir())
        sizes = {file.name: file.stat().st_size for file in files}
        record = BundleInfo(
            cutis_version=__version__,
            model=info,
            diagnoses=described,
            default_model=parity.default_model,
            files={file.name: sha256_file(file) for file in files},
            calibration_photos=len(calibration),
            notice=NOTICE,
        )
        write_info(folder, record)
    return ExportSummary(out, sizes, parity)


def _write_networks(
    module: nn.Module,
    info: ModelInfo,
    calibration: NDArray[np.uint8],
    check: NDArray[np.uint8],
    folder: Path,
) -> Parity:
    settings = info.preprocessing
    fp32, int8 = (folder / MODEL_FILES[name] for name in ("fp32", "int8"))
    reference = reference_logits(module, check, settings)
    write_onnx(module, settings.size, fp32)
    exact = check_fp32(reference, fp32, check, settings)
    write_int8(fp32, calibration, settings, int8)
    return Parity(photos=len(check), fp32=exact, int8=compare_int8(reference, int8, check, info))


def _read(photos: Sequence[Path], settings: Preprocessing, what: str) -> NDArray[np.uint8]:
    pixels = np.empty((len(photos), settings.size, settings.size, 3), np.uint8)
    with ThreadPoolExecutor(available_cores()) as pool:
        loaded = pool.map(partial(load, settings=settings), photos)
        progress = tqdm(loaded, what, len(photos), unit="photo", disable=None)
        for index, photo in enumerate(progress):
            pixels[index] = photo
    return pixels


def _describe(class_id: str) -> BundleDiagnosis:
    node = diagnoses().get(class_id)
    return BundleDiagnosis(
        id=class_id,
        name=dict(node.name) if node else _class_name(class_id),
        malignancy=malignancy(class_id),
        urgency=node.urgency if node else None,
    )


def _class_name(class_id: str) -> dict[str, str]:
    """The names of a class that is no diagnosis, such as `benign`, from the view that has it."""
    for name in view_names():
        if class_id in (names := view(name).names):
            return dict(names[class_id])
    return {"en": display_name(class_id)}
