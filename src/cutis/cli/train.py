"""`cutis train`: a recipe on a catalog gives a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.extras import needs_training

if TYPE_CHECKING:
    from cutis.training.run import Run


def train(
    recipe: Annotated[
        str, Argument(metavar="RECIPE", help="Name of a recipe or a TOML file.", show_default=False)
    ],
    data: Annotated[Path, Option(metavar="CATALOG", help="The catalog to train on.")],
    out: Annotated[
        Path, Option(metavar="RUN", help="The run; give the same again to go on after a stop.")
    ],
    settings: Annotated[
        list[str] | None,
        Argument(
            metavar="KEY=VALUE…",
            help="Values of the recipe to change, e.g. stage.1.epochs=5.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[str, Option(metavar="NAME", help="Split of the catalog.")] = "default",
    weights: Annotated[
        str, Option(metavar="imagenet|FILE|none", help="Where the backbone starts from.")
    ] = "imagenet",
) -> "Run":
    """Train a classifier as a recipe says."""
    with needs_training():
        from cutis.training.train import train as train_recipe
    return train_recipe(recipe, data, out, split=split, weights=weights, overrides=settings or [])


def show(run: "Run") -> int:
    """Prints where the run is and how its last epoch stood on validation."""
    import pandas as pd

    history = pd.read_csv(run.folder / "history.csv")
    last = history.iloc[-1]
    print(
        f"{run.folder}: {len(history)} epochs in {history['seconds'].sum():.0f} s; last epoch on "
        f"validation: accuracy {last['validation_accuracy']:.3f}, balanced accuracy "
        f"{last['validation_balanced_accuracy']:.3f}"
    )
    if run.info.provenance.unsafe:
        print("UNSAFE: the split lets photos of one lesion stand on both sides")
    return 0
