"""`cutis segment`: outlines and measures of the lesions on photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.options import Engine
from cutis.records import NOTICE

if TYPE_CHECKING:
    from cutis.runtime import SegmentSummary


def segment(
    photos: Annotated[
        list[Path],
        Argument(metavar="PHOTO|FOLDER…", help="Photos and folders of them.", show_default=False),
    ],
    out: Annotated[
        Path,
        Option(metavar="FOLDER", help="Masks, overlays and measures; give the same to go on."),
    ] = Path("segmented"),
    model: Annotated[
        Path | None,
        Option(
            metavar="BUNDLE",
            help="The bundle with the segmenter; by default the model that comes with Cutis, "
            "whose weights are for non-commercial use.",
            show_default=False,
        ),
    ] = None,
    engine: Engine = "auto",
) -> "SegmentSummary":
    """Outline the lesions on photos and measure them, without torch."""
    from cutis.runtime import Segmenter, segment_to_folder

    return segment_to_folder(Segmenter.load(model, engine=engine), photos, out)


def show(result: "SegmentSummary") -> int:
    """Prints where the masks are, which of them a classifier would not use, and the notices."""
    from cutis.metrics.lesion_measures import MEASURES_NOTICE

    print(f"{result.out}: {result.photos} photos, {result.unreadable} unreadable")
    if result.fallbacks:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.fallbacks.items())
        print(f"check by eye: {reasons}")
    print(MEASURES_NOTICE)
    print(NOTICE)
    return 0
