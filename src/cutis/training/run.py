"""The run folder: recipe, weights, model description, curves, checkpoint, log."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from cutis.errors import InputError
from cutis.models.checkpoint import cast_float32
from cutis.models.registry import Classifier, build_classifier
from cutis.records import FORMAT_VERSION, ModelInfo
from cutis.storage import commit_files, finish_commit

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
RECIPE = "recipe.toml"
HISTORY = "history.csv"
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
        try:
            model.load_state_dict(load_file(self.folder / WEIGHTS))
        except (SafetensorError, RuntimeError, FileNotFoundError) as error:
            raise InputError(
                "the weights of the run are missing or do not fit its description",
                where=self.folder / WEIGHTS,
                fix="train again; the run's checkpoint and recipe are of no use without them",
            ) from error
        return model.eval()


def classifier_for(info: ModelInfo) -> Classifier:
    """A network of the described shape with random weights."""
    head = info.head
    return build_classifier(
        info.architecture,
        len(info.diagnoses),
        size=info.preprocessing.size,
        **head.model_dump(),
    )


def load_run(folder: Path) -> Run:
    """Opens a finished run.

    Raises InputError for a folder that is none, for a run that has not ended, and for one that a
    later Cutis wrote.
    """
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
    return Run(folder, read_model_info(description))


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
    """Reads a model description and checks its version."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        version = tree.get("format_version", 0)
        if version > FORMAT_VERSION:
            raise InputError(
                f"this was written by a later Cutis (format {version}, known {FORMAT_VERSION})",
                where=path,
                fix="update Cutis: pip install --upgrade cutis",
            )
        return ModelInfo.model_validate(tree)
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError("the model description is damaged", where=path) from error


def write_run(folder: Path, model: nn.Module, info: ModelInfo) -> None:
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


def history_csv(history: list[dict[str, float | int | str]]) -> str:
    """The curves as CSV, a row an epoch."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(history[0]), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return out.getvalue()
