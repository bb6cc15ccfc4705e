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
    cluster: options.Cluster = None,
    workers: Annotated[
        int | None,
        Option(
            metavar="N",
            help="With --cluster: how many train together; default: one a GPU, or else a node.",
            show_default=False,
        ),
    ] = None,
    interface: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="With --cluster: the network interface between the nodes; it is found by itself.",
            show_default=False,
        ),
    ] = None,
) -> "Run | SegmenterRun":
    """Train a classifier or a segmenter as a recipe says."""
    if cluster is not None:
        with needs_training():
            from cutis.scale.training import train_on_cluster
        return train_on_cluster(
            recipe, data, out, cluster, split=split, weights=weights, segmenter=segmenter,
            overrides=settings or [], workers=workers, interface=interface,
        )  # fmt: skip
    options.refuse_without_cluster({"--workers": workers, "--interface": interface})
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
