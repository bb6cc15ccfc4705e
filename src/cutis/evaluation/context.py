"""What a report says beside the figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cutis.records import ModelInfo, SegmenterInfo


@dataclass(frozen=True)
class ReportContext:
    """What is judged on which photos; whatever is None the report calls not known.

    `counts` are the training photos by source, then by diagnosis. `left_out` counts photos that
    were not judged since the model has seen them or others of their groups. Of those judged,
    `seen_by_model` counts photos that the model was trained or chosen on, as a split by image
    allows, and `known_to_segmenter` those whose group the segmenter inside a classifier's run
    knows. `locate` turns a stored path into a file.
    """

    model: ModelInfo | SegmenterInfo | None = None
    split_name: str | None = None
    part: str | None = None
    test_uses: int | None = None
    left_out: int = 0
    seen_by_model: int = 0
    known_to_segmenter: int = 0
    unsafe: bool = False
    history: pd.DataFrame | None = None
    recipe_text: str | None = None
    counts: Mapping[str, Mapping[str, int]] | None = None
    locate: Callable[[str], Path] | None = None

    @property
    def marked_unsafe(self) -> bool:
        """Whether the split, or the one the model was trained with, breaks groups."""
        return self.unsafe or (self.model is not None and self.model.provenance.unsafe)

    def file_of(self, stored: str) -> Path:
        """The file of a stored path."""
        return self.locate(stored) if self.locate else Path(stored)


@dataclass(frozen=True)
class EvaluationContext(ReportContext):
    """Where predictions come from.

    `validation` is a predictions table with truth on which the temperature is fitted.
    """

    model: ModelInfo | None = None
    validation: pd.DataFrame | None = None
