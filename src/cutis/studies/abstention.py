"""How well a bundle knows when not to answer: coverage of its sets, accuracy against the share
answered, and whether it refuses what it has not learned.

Measured on photos that the bundle was not trained on, with the network that people run. See
docs/abstention.md.
"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cutis import __version__
from cutis.data.catalog import Catalog
from cutis.data.partition import group_names
from cutis.data.splits import Split, load_split, part_rows, record_test_use
from cutis.errors import InputError
from cutis.evaluation.names import resolve
from cutis.metrics.answer_policy import Verdict
from cutis.metrics.bootstrap import Floats
from cutis.metrics.conformal import LEVEL
from cutis.metrics.out_of_distribution import detection_auroc, energy
from cutis.records import ModelInfo, Part
from cutis.runtime import Predictor, find_photos, predict_photos
from cutis.runtime.stream import DISTANCE, VERDICT
from cutis.storage import staged_folder
from cutis.studies.abstention_page import HELD_OUT, Curves, write_page
from cutis.studies.abstention_record import Abstention, Detection
from cutis.studies.abstention_scores import (
    HeldOut,
    confidence_and_correct,
    judged,
    resplits,
    selective,
)
from cutis.studies.not_skin import KINDS, drawn_pictures
from cutis.studies.own_cases import without_own_cases

MARKER = "abstention.json"
OTHER_DIAGNOSES = "other diagnoses"
"""The kind of the catalog's photos whose diagnosis the model does not know."""

_DRAWN = 200  # pictures of each kind


@dataclass(frozen=True)
class _Scene:
    """Held-out photos: rows of the catalog with `group`, `part` and, where known, `truth`."""

    known: pd.DataFrame
    unknown: pd.DataFrame
    split: Split | None


def abstention(
    data: Path,
    *,
    model: Path | None = None,
    out: Path | None = None,
    others: Sequence[Path] = (),
    quality: bool = True,
) -> Abstention:
    """Judges when a bundle answers, on the photos of a catalog that it was not trained on.

    Of the catalog that it was trained on these are the validation and test parts of its split; a
    use of the test part is counted, and the bundle's own thresholds, which come from validation,
    are judged on the test part alone. Of another catalog they are all photos: that the model has
    not seen them is the caller's to know. With `out`, the folder gets the record, a page and its
    figure.

    Args:
        model: the bundle; None takes the model that comes with Cutis.
        others: folders of photos of something else, each a kind of its own beside drawn objects,
            drawn textures, the catalog's photos of diagnoses that the model does not know, and
            the sample photos of scikit-image and scikit-learn where these are installed.
        quality: lets the photo's quality decide too.

    Raises InputError for a catalog without held-out photos of the model's diagnoses, a split that
    is not the model's, and one of which no photo is left but those that the bundle was recalibrated
    on, which are left out with their groups.
    """
    if out is None:
        return _measured(data, model, others, quality)[0]
    with staged_folder(out, MARKER) as folder:
        study, curves = _measured(data, model, others, quality)
        (folder / MARKER).write_text(study.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_page(study, curves, folder)
    return study


def _measured(
    data: Path, model: Path | None, others: Sequence[Path], quality: bool
) -> tuple[Abstention, Curves]:
    predictor = Predictor.load(model)
    catalog = Catalog.open(data)
    everything = _scene(catalog, predictor.model_info)
    known = without_own_cases(everything.known, catalog, predictor)
    scene = replace(everything, known=known)
    kinds = _kinds(others)
    table = _answers(predictor, _paths(catalog, scene.known), quality, HELD_OUT)
    held = _held_out(predictor, scene, table)
    uses = None
    if scene.split is not None:
        uses = record_test_use(catalog, scene.split, str(model or "the model in the box"))
    tables = _others(predictor, kinds, _paths(catalog, scene.unknown), quality)
    valid = _scores(held.table, held.probabilities)
    found = {kind: _scores(*_readable(predictor, other)) for kind, other in tables.items()}
    study = Abstention(
        cutis_version=__version__,
        network=f"{predictor.model}/{predictor.engine}",
        bundle_files=predictor.info.files,
        catalog_sha256=catalog.sha256,
        split_name=scene.split.name if scene.split else None,
        test_uses=uses,
        unsafe=predictor.model_info.provenance.unsafe,
        level=predictor.policy.level if predictor.policy else LEVEL,
        quality=quality,
        photos=held.truth.size,
        groups=held.groups,
        unreadable=int(table["error"].notna().sum()),
        recalibrated_on=len(everything.known) - len(scene.known),
        resplits=resplits(held),
        judged=judged(held.of_part(Part.TEST if scene.split else None), predictor),
        selective=selective(held),
        detections=tuple(_detection(k, tables[k], valid, found[k]) for k in found),
    )
    policy, measured = predictor.policy, {HELD_OUT: valid, **found}
    limit = None if policy is None else policy.highest_distance
    distances = {} if limit is None else {kind: s[DISTANCE] for kind, s in measured.items()}
    return study, Curves(*confidence_and_correct(held), distances, limit)


def _scene(catalog: Catalog, info: ModelInfo) -> _Scene:
    made = info.provenance
    split = None
    if catalog.sha256 == made.catalog_sha256:
        split = load_split(catalog, made.split_name)
        if split.info.sha256 != made.split_sha256:
            raise InputError(
                f"the split '{split.name}' has been made anew since the model was trained",
                where=catalog.folder,
                expected=f"the split with the hash {made.split_sha256[:12]}…",
                fix="make it again with the seed and shares of then, or train again",
            )
    every = _held_rows(catalog, split, None)
    seen = _held_rows(catalog, split, info.view)
    truth = seen["diagnosis"].map(lambda name: resolve(name, info.diagnoses))
    known = seen.assign(truth=truth)[truth.isin(info.diagnoses)]
    if known.empty:
        raise InputError(
            "the catalog holds no held-out photo of the model's diagnoses",
            where=catalog.folder,
            expected="photos of " + ", ".join(info.diagnoses),
            fix="import photos with such labels, or take another catalog",
        )
    unknown = every[~every["image_id"].isin(known["image_id"])]
    return _Scene(known.reset_index(drop=True), unknown.reset_index(drop=True), split)


def _held_rows(catalog: Catalog, split: Split | None, view: str | None) -> pd.DataFrame:
    if split is not None:
        parts = (Part.VALIDATION, Part.TEST)
        return pd.concat(
            [part_rows(catalog, split, part, view=view).assign(part=part) for part in parts]
        )
    rows = catalog.usable(view)
    groups = group_names(list(catalog.photos["image_id"]), catalog.links)
    return rows.assign(group=groups[rows["image_id"]].to_numpy(), part=None)


def _paths(catalog: Catalog, rows: pd.DataFrame) -> list[Path]:
    return [catalog.locate(stored) for stored in rows["path"]]


def _answers(
    predictor: Predictor, photos: Sequence[Path], quality: bool, doing: str
) -> pd.DataFrame:
    tables = predict_photos(predictor, photos, quality=quality)
    with tqdm(total=len(photos), desc=doing, unit="photo", disable=None) as progress:
        made = []
        for table in tables:
            made.append(table)
            progress.update(len(table))
    return pd.concat(made, ignore_index=True)


def _held_out(predictor: Predictor, scene: _Scene, table: pd.DataFrame) -> HeldOut:
    rows = scene.known[["truth", "group", "part"]]
    readable, probabilities = _readable(predictor, pd.concat([table, rows], axis=1))
    if readable.empty:
        raise InputError("none of the held-out photos can be read", where=str(table["path"][0]))
    diagnoses = predictor.model_info.diagnoses
    return HeldOut(
        readable,
        diagnoses,
        probabilities,
        np.array([diagnoses.index(name) for name in readable["truth"]]),
        np.unique(readable["group"], return_inverse=True)[1],
    )


def _readable(predictor: Predictor, table: pd.DataFrame) -> tuple[pd.DataFrame, Floats]:
    read = table[table["error"].isna()].reset_index(drop=True)
    return read, read[list(predictor.model_info.diagnoses)].to_numpy(np.float64)


def _kinds(others: Sequence[Path]) -> dict[str, Path]:
    """Folders of photos of something else by name; InputError where one is none."""
    samples = {
        "samples of scikit-image": _installed("skimage", "data"),
        "samples of scikit-learn": _installed("sklearn", "datasets/images"),
    }
    named = {str(folder): folder for folder in others}
    for folder in others:
        find_photos([folder])
    return named | {name: place for name, place in samples.items() if place is not None}


def _installed(package: str, folder: str) -> Path | None:
    found = find_spec(package)
    place = Path(found.origin).parent / folder if found and found.origin else None
    return place if place is not None and place.is_dir() else None


def _others(
    predictor: Predictor, kinds: dict[str, Path], unknown: Sequence[Path], quality: bool
) -> dict[str, pd.DataFrame]:
    """Predictions by kind."""
    tables = {}
    with tempfile.TemporaryDirectory() as place:
        for kind in KINDS:
            drawn = _written(Path(place) / kind, drawn_pictures(kind, _DRAWN))
            tables[kind] = _answers(predictor, drawn, quality, kind)
    for kind, folder in kinds.items():
        tables[kind] = _answers(predictor, find_photos([folder]), quality, kind)
    if unknown:
        tables[OTHER_DIAGNOSES] = _answers(predictor, unknown, quality, OTHER_DIAGNOSES)
    return {kind: table for kind, table in tables.items() if table["error"].isna().any()}


def _written(folder: Path, pictures: Iterable[bytes]) -> list[Path]:
    folder.mkdir()
    paths = []
    for number, content in enumerate(pictures):
        paths.append(folder / f"{number:04}.jpg")
        paths[-1].write_bytes(content)
    return paths


def _scores(readable: pd.DataFrame, probabilities: Floats) -> dict[str, Floats]:
    """What tells other photos from valid ones, higher for what is less like these."""
    logits = readable[[name for name in readable if str(name).startswith("logit_")]]
    unknown = np.full(len(readable), np.nan)
    return {
        DISTANCE: readable[DISTANCE].to_numpy(np.float64) if DISTANCE in readable else unknown,
        "energy": energy(logits.to_numpy(np.float64)),
        "probability": -probabilities.max(axis=1),
    }


def _detection(
    kind: str, table: pd.DataFrame, valid: dict[str, Floats], found: dict[str, Floats]
) -> Detection:
    areas = {name: detection_auroc(valid[name], found[name]) for name in found}
    read = table[table["error"].isna()]
    shares: dict[str, float] = {}
    if VERDICT in read:
        shares = {verdict: float((read[VERDICT] == verdict).mean()) for verdict in Verdict}
        unlike = read["reasons"].fillna("").str.contains("unlike_training")
        shares["unlike"] = float(unlike.mean())
    return Detection(
        kind=kind,
        photos=len(read),
        unreadable=len(table) - len(read),
        distance=areas[DISTANCE] if DISTANCE in table else None,
        energy=areas["energy"],
        probability=areas["probability"],
        unlike_training=shares.get("unlike"),
        cannot_tell=shares.get(Verdict.CANNOT_TELL),
        answered=shares.get(Verdict.ANSWER),
    )
