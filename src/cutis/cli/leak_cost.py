"""`cutis leak-cost`: what siblings of test photos in training add to the figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from cutis.cli import options
from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.studies.leak_cost_record import LeakCost


def leak_cost(
    recipe: options.Recipe,
    data: Annotated[Path, Option(metavar="CATALOG", help="A catalog with groups of photos.")],
    settings: options.Settings = None,
    seeds: Annotated[int, Option(help="Draws of test photos, two trainings each.")] = 5,
    full: Annotated[
        bool, Option("--full", help="Train the whole recipe instead of a head: hours.")
    ] = False,
    weights: options.Weights = "imagenet",
    out: Annotated[
        Path | None,
        Option(metavar="FOLDER", help="Where leak-cost.json and page.html go.", show_default=False),
    ] = None,
) -> "LeakCost":
    """Train with and without siblings of the same test photos, and compare."""
    with needs_training():
        from cutis.studies.leak_cost import leak_cost as measure
    return measure(
        recipe, data, seeds=seeds, full=full, weights=weights, overrides=settings or [], out=out
    )


def show(cost: "LeakCost") -> int:
    """Prints the inflation of every score, and how many photos it rests on."""
    from cutis.studies.leak_cost_page import SCORE_NAMES, headline, points

    for name in dict.fromkeys(row.test_photos for row in cost.inflations):
        rows = [row for row in cost.inflations if row.test_photos == name]
        print(f"Test photos: {name} ({rows[0].photos} photos of {rows[0].groups} groups)")
        print_table(
            ["classifier", "score", "with", "without", "inflation, points"],
            [
                [row.classifier, SCORE_NAMES[row.score], _short(row.with_siblings),
                 _short(row.without_siblings), points(row)]
                for row in rows
            ],
        )  # fmt: skip
    sizes = [trial.training for trial in cost.trials]
    print(
        f"Means over {len(sizes)} seeds, {cost.engine}; {min(sizes)} to {max(sizes)} training "
        "photos, as many in both trainings of a seed; 95 % intervals over resampled groups."
    )
    print(headline(cost))
    return 0


def _short(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"
