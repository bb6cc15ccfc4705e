"""A training that is described in one place and made in another."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cutis.errors import RecipeError
from cutis.recipes import AnyRecipe
from cutis.training.loop import History
from cutis.training.run import Run
from cutis.training.segmentation import SegmenterRun
from cutis.training.train import train
from cutis.training.workers import ALONE, Workers


@dataclass(frozen=True)
class TrainingJob:
    """What `cutis.training.train.train` takes."""

    recipe: AnyRecipe
    data: Path
    out: Path
    split: str
    weights: str
    segmenter: Path | None

    def anywhere(self) -> "TrainingJob":
        """The same job for a process that works in another folder."""
        weights, segmenter = Path(self.weights), self.segmenter
        return TrainingJob(
            self.recipe,
            self.data.absolute(),
            self.out.absolute(),
            self.split,
            str(weights.absolute()) if weights.is_file() else self.weights,
            None if segmenter is None else segmenter.absolute(),
        )

    def run(
        self, watch: Callable[[History], None] | None = None, workers: Workers = ALONE
    ) -> Run | SegmenterRun:
        """Trains, or goes on."""
        return train(
            self.recipe,
            self.data,
            self.out,
            split=self.split,
            weights=self.weights,
            segmenter=self.segmenter,
            watch=watch,
            workers=workers,
        )

    def tried(self, watch: Callable[[History], None]) -> str:
        """Trains, and gives why it broke off where the reason lies in the recipe, or nothing."""
        try:
            self.run(watch)
        except RecipeError as error:
            return error.problem
        except (MemoryError, RuntimeError) as error:
            # torch has no other name for it on a CPU
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            return "there is not enough memory"
        return ""
