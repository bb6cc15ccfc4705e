"""`cutis reproduce`: a published system as its paper ran it, beside the same without the leak."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli import options
from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table
from cutis.errors import InputError
from cutis.recipes.paper import Way

if TYPE_CHECKING:
    from cutis.studies.reproduction import Reproduction


@dataclass(frozen=True)
class Reproduced:
    """Where a reproduction lies, and what it found."""

    folder: Path
    page: Path
    record: "Reproduction"


def reproduce(
    name: Annotated[
        str,
        Argument(
            metavar="NAME",
            help="A recipe that follows a paper, or a system: all its recipes.",
            show_default=False,
        ),
    ],
    data: Annotated[Path, Option(metavar="CATALOG", help="The photos to reproduce it on.")],
    settings: options.Settings = None,
    out: Annotated[
        Path | None,
        Option(
            metavar="FOLDER",
            help="Runs and page; give the same again to go on after a stop.  "
            "[default: reproduce-NAME]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str, Option(metavar="N|A,B,…", help="So many seeds, or these; each trains anew.")
    ] = "1",
    only: Annotated[
        Way | None, Option(help="One of the two ways instead of both.", show_default=False)
    ] = None,
    weights: options.Weights = "imagenet",
    segmenter: options.Segmenter = None,
) -> Reproduced:
    """Run a published system as its paper did and leak-free, and compare with its figures."""
    with needs_training():
        from cutis.studies.reproduce import PAGE, carry_out
        from cutis.studies.reproduce_plan import plan_reproduction
    plan = plan_reproduction(
        name,
        data,
        out=out,
        seeds=_parsed(seeds),
        only=only,
        weights=weights,
        segmenter=segmenter,
        overrides=settings or [],
    )
    print(plan, file=sys.stderr)
    record = carry_out(plan)
    return Reproduced(plan.out, plan.out / PAGE, record)


def _parsed(seeds: str) -> int | list[int]:
    try:
        numbers = [int(text) for text in seeds.split(",")]
    except ValueError as error:
        raise InputError(
            f"'{seeds}' are no seeds", expected="how many, such as 3, or which, such as 0,1,2"
        ) from error
    return numbers if "," in seeds else numbers[0]


def show(reproduced: Reproduced) -> int:
    """Prints published figures beside both of ours, and what the difference says."""
    from cutis.studies.reproduction import FIGURE_NAMES, spread_words

    record = reproduced.record
    print("The paper's figures, ours as published, and ours leak-free:")
    print_table(
        ["recipe", "figure", "paper", "as published", "leak-free"],
        [
            [
                row.recipe,
                FIGURE_NAMES[row.figure],
                "-" if row.published is None else f"{row.published:.3f}",
                spread_words(row.as_published),
                spread_words(row.leak_free),
            ]
            for row in record.rows
        ],
    )
    _show_copies(record)
    if len(record.seeds) > 1:
        print(f"Means over {len(record.seeds)} seeds, with the smallest and the largest.")
    for sentence in record.conclusions:
        print(sentence)
    print(f"page: {reproduced.page}")
    return 0


def _show_copies(record: "Reproduction") -> None:
    """Prints how many judged photos stand in training, where a split lets them."""
    from cutis.studies.comparison.copies import copied_words, together

    if not any(together(copies).copied for copies in record.copies.values()):
        return
    ways = [way for way in Way if way in record.copies]
    names = sorted({name for copies in record.copies.values() for name in copies})
    rows = [[name, *(copied_words(record.copies[way].get(name)) for way in ways)] for name in names]
    rows.append(["together", *(copied_words(together(record.copies[way])) for way in ways)])
    print("Judged photos that stand in training as the very same file:")
    print_table(["diagnosis", *(way.words for way in ways)], rows)
