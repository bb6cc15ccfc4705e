"""The run folder: recipe, weights, model description, curves, checkpoint, log."""

import csv
import io
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import tomlkit
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from cutis.data.catalog import Catalog
from cutis.data.partition import in_groups_of
from cutis.data.splits import Split
from cutis.errors import InputError
from cutis.lesion import channels
from cutis.models.checkpoint import cast_float32
from cutis.models.registry import Classifier, build_classifier
from cutis.recipes import AnyRecipe
from cutis.records import FORMAT_VERSION, ModelInfo, Part, Provenance, SegmenterInfo
from cutis.storage import commit_files, finish_commit, sha256_file, write_file
from cutis.training.workers import ALONE, Workers

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
RECIPE = "recipe.toml"
HISTORY = "history.csv"
CHECKPOINT = "checkpoint.pt"
LOG = "log.txt"
PLACE = "catalog.txt"
"""Where the catalog lay at training; verbs that need it look there when it is not given."""


SEEN = "trained-on.txt"
"""SHA-256 of files and pixels of the photos that trained and validated, a line each."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    info: ModelInfo

    def model(self) -> Classifier:
        """The trained network in evaluation mode, float32: normalised photos to logits."""
        model = classifier_for(self.info)
        fill(model, self.folder)
        return model.eval()


def fill(model: nn.Module, folder: Path) -> None:
    """Gives a network the weights of a run's folder."""
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, FileNotFoundError) as error:
        raise InputError(
            "the weights of the run are missing or do not fit its description",
            where=folder / WEIGHTS,
            fix="train again; the run's checkpoint and recipe are of no use without them",
        ) from error


def classifier_for(info: ModelInfo) -> Classifier:
    """A network of the described shape with random weights."""
    head = info.head
    return build_classifier(
        info.architecture,
        len(info.diagnoses),
        size=info.preprocessing.size,
        channels=channels(info.preprocessing),
        widths=info.widths,
        **head.model_dump(),
    )


def load_run(folder: Path) -> Run:
    """Opens a finished run of a classifier.

    Raises InputError for a folder that is none, for a segmenter's run, for a run that has not
    ended, and for one that a later Cutis wrote.
    """
    return Run(folder, read_model_info(ended_run(folder)))


def ended_run(folder: Path) -> Path:
    """The description of a finished run; InputError for a folder that is none."""
    if not folder.is_dir():
        raise InputError("there is no such run", where=folder, fix="check the path of the run")
    finish_commit(folder)
    description = folder / DESCRIPTION
    if not description.is_file():
        unfinished = (folder / RECIPE).is_file()
        raise InputError(
            "the run has not ended" if unfinished else "this folder is not a run",
            where=folder,
            expected=f"a folder that `cutis train` made, with {DESCRIPTION}",
            fix="give the same `cutis train` command again to go on" if unfinished else None,
        )
    return description


def catalog_of(run: Path) -> Path:
    """Where the catalog lay when the run was trained.

    Raises InputError when it is not noted or no longer there.
    """
    note = run / PLACE
    place = Path(note.read_text(encoding="utf-8").strip()) if note.is_file() else None
    if place is None or not place.is_dir():
        raise InputError(
            "the catalog that the run was trained on is not where it was",
            where=place or run,
            fix="give it by --data CATALOG",
        )
    return place


def read_model_info(path: Path) -> ModelInfo:
    """Reads a classifier's description and checks its version."""
    tree = read_description(path)
    if tree.get("task") == "segmentation":
        raise InputError(
            "this is a segmenter's run, not a classifier's: it names no diagnosis",
            where=path.parent,
            expected="a run of a classification recipe, e.g. cutis-small",
        )
    try:
        return ModelInfo.model_validate(tree)
    except ValidationError as error:
        raise InputError("the model description is damaged", where=path) from error


def read_description(path: Path) -> dict[str, Any]:
    """Reads a model description of any kind and checks its version."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        version = int(tree.get("format_version", 0))
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError("the model description is damaged", where=path) from error
    if version > FORMAT_VERSION:
        raise InputError(
            f"this was written by a later Cutis (format {version}, known {FORMAT_VERSION})",
            where=path,
            fix="update Cutis: pip install --upgrade cutis",
        )
    described: dict[str, Any] = tree
    return described


def begin_run(folder: Path, text: str, data: Path, parts: Iterable[pd.DataFrame]) -> None:
    """Writes what is known of a run before its training.

    Args:
        text: the recipe as run.
        data: the catalog.
        parts: the rows of training and validation.
    """
    write_file(folder / RECIPE, text)
    write_file(folder / PLACE, f"{data.resolve()}\n")
    write_file(folder / SEEN, seen_photos(parts))


def end_run(
    folder: Path, model: nn.Module, info: ModelInfo | SegmenterInfo, log: logging.Logger
) -> None:
    """Makes a trained run a finished one."""
    write_run(folder, model, info)
    (folder / CHECKPOINT).unlink()
    log.info("done")


def write_run(folder: Path, model: nn.Module, info: ModelInfo | SegmenterInfo) -> None:
    """Adds the weights and the description, which make the run a finished one."""
    weights = cast_float32(model.state_dict())
    # one key only: safetensors writes several in any order, and equal runs shall be equal files
    metadata = {DESCRIPTION: info.model_dump_json()}
    commit_files(
        folder,
        {
            WEIGHTS: lambda path: path.write_bytes(save(weights, metadata)),
            DESCRIPTION: lambda path: path.write_text(info.model_dump_json(indent=2) + "\n"),
        },
    )


def trained_on(run: Path) -> set[str]:
    """SHA-256 of the files, and of the pixels, of all photos that trained or validated a run."""
    path = run / SEEN
    return set(path.read_text(encoding="utf-8").split()) if path.is_file() else set()


def seen_rows(rows: pd.DataFrame, seen: set[str]) -> "pd.Series[bool]":
    """Which rows of a catalog are photos of `trained_on`."""
    return rows["sha256"].isin(seen) | rows["pixels_sha256"].isin(seen)


def in_seen_groups(rows: pd.DataFrame, catalog: Catalog, seen: set[str]) -> "pd.Series[bool]":
    """Which rows of a catalog stand in a group of which a photo is one of `trained_on`."""
    known = catalog.photos[seen_rows(catalog.photos, seen)]
    return in_groups_of(rows, known, catalog.links)


def seen_photos(parts: Iterable[pd.DataFrame]) -> str:
    """The content of SEEN for the rows of training and validation."""
    hashes = [rows[column] for rows in parts for column in ("sha256", "pixels_sha256")]
    return "\n".join(sorted(set(pd.concat(hashes).dropna()))) + "\n"


def recipe_as_run(
    recipe: AnyRecipe,
    catalog: Catalog,
    split: Split,
    weights: str,
    segmenter: str | None = None,
    masks: str | None = None,
) -> str:
    """The content of RECIPE.

    Args:
        segmenter: SHA-256 of the weights that draw a classifier's masks.
        masks: SHA-256 of the masks that a segmenter learns.
    """
    named = sha256_file(Path(weights)) if Path(weights).is_file() else weights
    header = (
        f"# The recipe as run.\n# catalog: {catalog.sha256}\n"
        f"# split:   {split.name} {split.info.sha256}{' UNSAFE' if split.info.unsafe else ''}\n"
        f"# weights: {named}\n"
    )
    if segmenter is not None:
        header += f"# segmenter: {segmenter}\n"
    if masks is not None:
        header += f"# masks:   {masks}\n"
    return header + tomlkit.dumps(
        recipe.model_dump(mode="json", exclude_none=True, exclude={"paper", "search"})
    )


def is_finished(out: Path, text: str) -> bool:
    """Whether the same run has ended already; another run in the same place is an error."""
    if out.is_dir():
        finish_commit(out)
    # hidden: what a kill left behind in the middle of writing the first file
    if not out.exists() or (out.is_dir() and all(p.name.startswith(".") for p in out.iterdir())):
        return False
    if not (out / RECIPE).is_file():
        raise InputError(
            "the output folder holds something else than a run",
            where=out,
            fix="choose another --out",
        )
    begun = (out / CHECKPOINT).is_file() or (out / DESCRIPTION).is_file()
    if begun and (out / RECIPE).read_text(encoding="utf-8") != text:
        raise InputError(
            "the output folder holds a run of another recipe, catalog, split or start weights, or "
            "of another segmenter or other masks",
            where=out / RECIPE,
            fix="choose another --out, or delete the folder",
        )
    return (out / DESCRIPTION).is_file()


def provenance_of(
    recipe: AnyRecipe,
    catalog: Catalog,
    split: Split,
    rows: Mapping[Part, pd.DataFrame],
    diagnoses: Sequence[str],
    others: Sequence[str],
) -> Provenance:
    """What a model was trained on.

    Its sources are all that hold a photo of training or validation, the kept copy or another.

    Args:
        rows: of the parts that trained and validated.
        others: licences of what else went into the model.
    """
    train = rows[Part.TRAIN]
    appearances = pd.concat(rows[part]["appearances"] for part in (Part.TRAIN, Part.VALIDATION))
    counts = train["diagnosis"].value_counts()
    return Provenance(
        recipe=recipe.name,
        catalog_sha256=catalog.sha256,
        split_name=split.name,
        split_sha256=split.info.sha256,
        unsafe=split.info.unsafe,
        seed=recipe.seed,
        train_counts={diagnosis: int(counts.get(diagnosis, 0)) for diagnosis in diagnoses},
        train_groups=int(train["group"].nunique()),
        sources=tuple(sorted({image_id.partition("/")[0] for image_id in appearances.explode()})),
        licences=(*_photo_licences(catalog, train), *others),
    )


def licence_of(catalog: Catalog, train: pd.DataFrame) -> str:
    """The licence of a model: those of its training photos."""
    licences = _photo_licences(catalog, train)
    return "; ".join(licences) or "unknown: the licences of the photos are not known"


def _photo_licences(catalog: Catalog, train: pd.DataFrame) -> list[str]:
    used = set(train["source"])
    return sorted({s.licence for s in catalog.info.sources if s.name in used and s.licence})


@contextmanager
def run_log(out: Path, workers: Workers = ALONE) -> Iterator[logging.Logger]:
    """Appends to the run's log what the leader of the workers says."""
    logger = logging.Logger("cutis.training", logging.INFO)
    place = out / LOG if workers.number == 0 else os.devnull
    handler = logging.FileHandler(place, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    with closing(handler):
        yield logger


def history_csv(history: list[dict[str, float | int | str]]) -> str:
    """The curves as CSV, a row an epoch."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(history[0]), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return out.getvalue()
