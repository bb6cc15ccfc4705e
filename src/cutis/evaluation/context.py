"""What a report says beside the figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cutis.records import ModelInfo


@dataclass(frozen=True)
class EvaluationContext:
    """Where the predictions come from; whatever is None the report calls not known.

    `counts` are the training photos by source, then by diagnosis. `validation` is a predictions
    table with truth on which the temperature is fitted. `locate` turns a stored path into a file.
    """

    model: ModelInfo | None = None
    split_name: str | None = None
    part: str | None = None
    test_uses: int | None = None
    unsafe: bool = False
    history: pd.DataFrame | None = None
    recipe_text: str | None = None
    counts: Mapping[str, Mapping[str, int]] | None = None
    locate: Callable[[str], Path] | None = None
    validation: pd.DataFrame | None = None

    @property
    def marked_unsafe(self) -> bool:
        """Whether the split, or the one the model was trained with, breaks groups."""
        return self.unsafe or (self.model is not None and self.model.provenance.unsafe)

    def file_of(self, stored: str) -> Path:
        """The file of a stored path."""
        return self.locate(stored) if self.locate else Path(stored)
