"""`cutis train`: a recipe on a catalog gives a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from cutis.cli import options
from cutis.cli.extras import needs_training

if TYPE_CHECKING:
    from cutis.training.run import Run
    from cutis.training.segmentation import SegmenterRun


def train(
    recipe: options.Recipe,
    data: options.Data,
    out: Annotated[
        Path, Option(metavar="RUN", help="The run; give the same again to go on after a stop.")
    ],
    settings: options.Settings = None,
    split: options.Split = "default",
    weights: options.Weights = "imagenet",
    segmenter: options.Segmenter = None,
) -> "Run | SegmenterRun":
    """Train a classifier or a segmenter as a recipe says."""
    with needs_training():
        from cutis.training.train import train as train_recipe
    return train_recipe(
        recipe, data, out, split=split, weights=weights, segmenter=segmenter,
        overrides=settings or [],
    )  # fmt: skip


def show(run: "Run | SegmenterRun") -> int:
    """Prints where the run is and how its last epoch stood on validation."""
    import pandas as pd

    history = pd.read_csv(run.folder / "history.csv")
    known = ("accuracy", "balanced_accuracy", "jaccard", "dice")
    figures = [
        f"{name.replace('_', ' ')} {history[f'validation_{name}'].iloc[-1]:.3f}"
        for name in known
        if f"validation_{name}" in history
    ]
    print(
        f"{run.folder}: {len(history)} epochs in {history['seconds'].sum():.0f} s; last epoch on "
        f"validation: {', '.join(figures)}"
    )
    if run.info.provenance.unsafe:
        print("UNSAFE: the split lets photos of one lesion stand on both sides")
    return 0
