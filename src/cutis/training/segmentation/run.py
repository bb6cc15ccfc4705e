"""The run folder of a segmenter: the same files as a classifier's, with another description."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from cutis.errors import InputError
from cutis.models.segmentation import Segmenter, build_segmenter
from cutis.records import SegmenterInfo
from cutis.training.backend import Backend
from cutis.training.run import DESCRIPTION, ended_run, fill, read_description


@dataclass(frozen=True)
class SegmenterRun:
    """A finished segmentation run."""

    folder: Path
    info: SegmenterInfo

    def model(self) -> Segmenter:
        """The trained network in evaluation mode, float32: normalised photos to logits."""
        model = build_segmenter(self.info.architecture, filters=self.info.filters)
        fill(model, self.folder)
        return model.eval()

    @cached_property
    def placed(self) -> tuple[Segmenter, Backend]:
        """The model where it computes fastest, in float32, and that place; made once."""
        backend = Backend("float32", self.info.preprocessing)
        model = self.model()
        backend.place(model)
        return model, backend


def load_segmenter_run(folder: Path) -> SegmenterRun:
    """Opens a finished segmentation run.

    Raises InputError for a folder that is none, for a classifier's run, for a run that has not
    ended, and for one that a later Cutis wrote.
    """
    path = ended_run(folder)
    tree = read_description(path)
    if not _is_segmenter(tree):
        raise InputError(
            "this is a classifier's run, not a segmenter's",
            where=folder,
            expected="a run of a segmentation recipe, e.g. cutis-segmenter",
            fix="give the folder that `cutis train cutis-segmenter` made",
        )
    try:
        return SegmenterRun(folder, SegmenterInfo.model_validate(tree))
    except ValidationError as error:
        raise InputError("the model description is damaged", where=path) from error


def is_segmenter_run(folder: Path) -> bool:
    """Whether the folder is a finished segmentation run; nothing else of it is checked."""
    path = folder / DESCRIPTION
    try:
        return path.is_file() and _is_segmenter(json.loads(path.read_bytes()))
    except ValueError:
        return False


def _is_segmenter(tree: object) -> bool:
    return isinstance(tree, dict) and tree.get("task") == "segmentation"
