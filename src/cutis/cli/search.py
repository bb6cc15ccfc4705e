"""`cutis search`: better values for the settings of a recipe, chosen on validation."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from cutis.cli import options
from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.studies.search_queue import Trials
    from cutis.studies.search_record import SearchResult


def search(
    recipe: options.Recipe,
    data: options.Data,
    out: Annotated[
        Path, Option(metavar="FOLDER", help="The search; give the same again to go on.")
    ],
    settings: options.Settings = None,
    split: options.Split = "default",
    weights: options.Weights = "imagenet",
    segmenter: options.Segmenter = None,
    trials: Annotated[
        int | None, Option(help="Trainings in all; default: the recipe's.", show_default=False)
    ] = None,
    sampler: Annotated[
        Literal["random", "tpe"] | None,
        Option(help="How trials are drawn; default: the recipe's.", show_default=False),
    ] = None,
    seed: Annotated[int, Option(help="Of the draws; the recipe's own seed stays.")] = 0,
    timeout: Annotated[
        float | None,
        Option(metavar="MINUTES", help="No trial begins after so long.", show_default=False),
    ] = None,
    cluster: options.Cluster = None,
    workers: Annotated[
        int | None,
        Option(
            metavar="N",
            help="With --cluster: trials at once; default: one a GPU, or else a processor.",
            show_default=False,
        ),
    ] = None,
) -> "SearchResult":
    """Look for better values of a recipe's settings, on validation photos only."""
    if cluster is None:
        options.refuse_without_cluster({"--workers": workers})
    with needs_training():
        from cutis.studies.search import search as search_recipe
        from cutis.studies.search_queue import one_by_one
    with ExitStack() as stack:
        run: Callable[[Trials], None] = one_by_one
        if cluster is not None:
            from cutis.scale.searching import training_on

            run = stack.enter_context(training_on(cluster, workers))
        return search_recipe(
            recipe, data, out, split=split, weights=weights, segmenter=segmenter, trials=trials,
            sampler=sampler, seed=seed, timeout=timeout, overrides=settings or [], run=run,
        )  # fmt: skip


def show(result: "SearchResult") -> int:
    """Prints the best trials and where the best recipe is."""
    from cutis.studies.search_page import headline, value_text

    print_table(
        ["trial", result.monitor.replace("_", " "), "epochs", "settings"],
        [
            [f"{trial.number:04d}", f"{trial.figure:.4f}", trial.epochs,
             " ".join(f"{key}={value_text(value)}" for key, value in trial.values.items())]
            for trial in result.ranked()[:5]
        ],
    )  # fmt: skip
    print(headline(result))
    if result.unsafe:
        print("UNSAFE: the split lets photos of one lesion stand on both sides")
    return 0
