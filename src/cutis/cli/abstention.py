"""`cutis abstention`: how well a bundle knows when not to answer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.studies.abstention_record import Abstention


def abstention(
    data: Annotated[
        Path,
        Option(metavar="CATALOG", help="Photos with known diagnoses; of its own, the held-out."),
    ],
    out: Annotated[Path, Option(metavar="FOLDER", help="Where abstention.json and page.html go.")],
    model: Annotated[
        Path | None,
        Option(
            metavar="BUNDLE",
            help="The bundle; by default the model that comes with Cutis.",
            show_default=False,
        ),
    ] = None,
    others: Annotated[
        list[Path] | None,
        Option(metavar="FOLDER", help="Photos of something else; may be given several times."),
    ] = None,
    quality: Annotated[
        bool, Option(help="Let the photo's quality decide too; without it work is faster.")
    ] = True,
) -> "Abstention":
    """Measure what a bundle's verdicts and prediction sets are worth on your photos."""
    from cutis.studies.abstention import abstention as measure

    return measure(data, model=model, out=out, others=others or [], quality=quality)


def show(study: "Abstention") -> int:
    """Prints the verdicts, the accuracy by share answered, and what is refused."""
    from cutis.studies.abstention_page import figure_text, headline, percent

    if study.judged is not None:
        print_table(
            ["verdict", "photos", "share, %", "first answer right, %", "of the malignant, %"],
            [[row.verdict, row.photos, figure_text(row.share), figure_text(row.accuracy),
              figure_text(row.malignant)] for row in study.judged.verdicts],
        )  # fmt: skip
    print_table(
        ["answered", "accuracy, %"],
        [[percent(float(share)), figure_text(figure)]
         for share, figure in study.selective.accuracy_at.items()],
    )  # fmt: skip
    print_table(
        ["photos of", "number", "AUROC of distance", "cannot tell", "answer"],
        [[row.kind, row.photos, "–" if row.distance is None else f"{row.distance:.3f}",
          percent(row.cannot_tell), percent(row.answered)] for row in study.detections],
    )  # fmt: skip
    if study.resplits is not None:
        print(
            f"{study.resplits.splits} re-splits: coverage {percent(study.resplits.coverage)}, "
            f"{study.resplits.set_size:.2f} diagnoses in a set"
        )
    print(headline(study))
    return 0
