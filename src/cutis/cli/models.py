"""`cutis models`: which backbones there are, what they cost, and the licences of their weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.records import BackboneFacts


def models(
    names: Annotated[
        list[str] | None,
        Argument(
            metavar="NAME…",
            help="Backbones, or patterns such as 'timm/convnext*'; default: a short list.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[bool, Option("--all", help="List every backbone, without counting.")] = False,
    json: Annotated[
        Path | None, Option(metavar="FILE", help="Write the figures as JSON too.")
    ] = None,
) -> "list[BackboneFacts]":
    """List the backbones of recipes: parameters, multiply-adds, input size, weights, licence."""
    with needs_training():
        from cutis.models.complexity import list_backbones
    facts = list_backbones(names or [], every=every)
    if json is not None:
        from json import dumps

        from cutis.storage import write_file

        write_file(json, dumps([fact.model_dump() for fact in facts], indent=2) + "\n")
    return facts


def show(facts: "list[BackboneFacts]") -> int:
    """Prints a row a backbone; what was not counted stays empty."""
    rows = [
        (
            fact.name,
            _shown(fact.parameters, 1e6),
            _shown(fact.multiply_adds, 1e9),
            fact.size,
            fact.weights.rpartition(".")[2] if fact.weights else "none",
            fact.licence or "",
        )
        for fact in facts
    ]
    print_table(
        ["backbone", "M parameters", "G multiply-adds", "pixels", "weights", "licence"], rows
    )
    if any(fact.parameters is None for fact in facts):
        print("parameters and multiply-adds are counted for backbones that are named")
    return 0


def _shown(count: int | None, unit: float) -> str:
    return "" if count is None else f"{count / unit:.2f}"
