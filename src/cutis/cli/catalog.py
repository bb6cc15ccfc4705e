"""`cutis catalog`: what a catalog holds, whose photos they are, and where its sources disagree."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.tables import print_table
from cutis.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from cutis.data.overview import Overview

_SHOWN = 20  # kinds of disagreement on the terminal


class Question(StrEnum):
    """What is asked of a catalog."""

    SHOW = "show"
    CREDITS = "credits"
    CONFLICTS = "conflicts"


@dataclass(frozen=True)
class Answer:
    """The answer; of the three fields the one that was asked for is set."""

    overview: "Overview | None" = None
    credits: "pd.DataFrame | None" = None
    conflicts: "pd.DataFrame | None" = None
    written: Path | None = None


def catalog(
    question: Annotated[
        Question,
        Argument(
            metavar="show|credits|conflicts",
            help="show: what it holds and what is missing. credits: sources, licences and "
            "citations. conflicts: photographs on whose diagnosis the sources disagree.",
            show_default=False,
        ),
    ],
    catalog: Annotated[Path, Argument(metavar="CATALOG", show_default=False)],
    html: Annotated[
        Path | None,
        Option(metavar="FILE", help="show: write a page with a contact sheet by diagnosis."),
    ] = None,
    out: Annotated[
        Path | None, Option(metavar="FILE.csv", help="conflicts: write the list, a row each.")
    ] = None,
    view: Annotated[
        str | None, Option(metavar="NAME", help="Judge in this view, not in the catalog's own.")
    ] = None,
) -> Answer:
    """Look into a catalog: its counts and gaps, its credits, its conflicting diagnoses."""
    from cutis.cli.photo_quality import flag_guides
    from cutis.data import overview, overview_page
    from cutis.data.catalog import Catalog

    question = Question(question)
    _refuse("--html", html, question, Question.SHOW)
    _refuse("--out", out, question, Question.CONFLICTS)
    opened = Catalog.open(catalog)
    if question is Question.CREDITS:
        return Answer(credits=overview.credits(opened))
    if question is Question.CONFLICTS:
        found = opened.merged(view).disagreements
        if out is not None:
            overview.write_disagreements(found, out)
        return Answer(conflicts=found, written=out)
    described = overview.describe(opened, view)
    if html is not None:
        overview_page.write_page(described, html, flag_guides())
    return Answer(overview=described, written=html)


def _refuse(option: str, given: Path | None, asked: Question, belongs: Question) -> None:
    if given is not None and asked is not belongs:
        raise InputError(f"{option} belongs to 'cutis catalog {belongs}'", fix="leave it out")


def show(answer: Answer) -> int:
    """Prints the tables of the answer."""
    if answer.overview is not None:
        _show_overview(answer.overview)
    if answer.credits is not None:
        _show_credits(answer.credits)
    if answer.conflicts is not None:
        _show_conflicts(answer.conflicts, answer.written)
    if answer.written is not None:
        print(answer.written)
    return 0


def _show_overview(overview: "Overview") -> None:
    from cutis.cli.photo_quality import flag_guides
    from cutis.data.overview_page import absent_sentence, headline

    _print_frame("source", overview.sources)
    _print_frame("diagnosis", overview.diagnoses)
    for name, table in overview.counts.items():
        _print_frame(name, table)
    shares = overview.missing.map(lambda share: f"{100 * share:.0f} %")
    _print_frame("not known", shares)
    print_table(["link", "pairs"], overview.links.items())
    _print_disagreements(overview.disagreements)
    if overview.flags is None:
        print("note: the quality of the photos has not been measured; import them again")
    else:
        _print_frame("quality flag", overview.flags)
        print_table(
            ["quality flag", "raised by", "meaning"],
            [
                [flag, guide.rule, guide.advice]
                for flag, guide in flag_guides().items()
                if overview.flags.loc[flag, "all"]
            ],
        )
    licences = {info.licence or "not known" for info in overview.catalog.info.sources}
    print(f"licences: {', '.join(sorted(licences))} (see 'cutis catalog credits')")
    for absent in overview.absent:
        print(f"note: {absent_sentence(absent)}")
    print(headline(overview))


def _print_frame(name: str, table: "pd.DataFrame") -> None:
    rows = [
        [index, *row] for index, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]
    print_table([name, *map(str, table.columns)], rows)


def _print_disagreements(counted: "pd.DataFrame") -> None:
    print_table(list(counted.columns), counted.head(_SHOWN).to_numpy().tolist())
    if len(counted) > _SHOWN:
        print(f"and {len(counted) - _SHOWN} rarer kinds of disagreement")


def _show_credits(credits: "pd.DataFrame") -> None:
    for name, licence, citation, photos, kept in credits.to_numpy().tolist():
        print(f"{name}: {photos} photos, {kept} of them used after merging")
        print(f"  licence: {licence or 'not known; ask the source before you publish'}")
        print(f"  citation: {citation or 'not known'}")


def _show_conflicts(found: "pd.DataFrame", written: Path | None) -> None:
    from cutis.data.overview import count_disagreements

    _print_disagreements(count_disagreements(found))
    conflicts = int((found["kind"] == "conflict").sum())
    print(f"{conflicts} photographs with contradicting diagnoses, "
          f"{len(found) - conflicts} where they only differ in detail")  # fmt: skip
    if written is None and len(found):
        print("every one of them: --out FILE.csv")
