"""`cutis draw`: lesion photographs from nothing, in the layout of a published collection."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


class Layout(StrEnum):
    """Whose folder layout and file naming the drawn collection takes."""

    HAM10000 = "ham10000"
    FOLDERS = "folders"
    PH2 = "ph2"


def draw(
    out: Annotated[Path, Argument(metavar="FOLDER", show_default=False)],
    photos: Annotated[int, Option(help="How many, planted duplicates and damage included.")] = 1400,
    seed: Annotated[int, Option(min=0, help="The same seed draws the same photos.")] = 0,
    layout: Annotated[Layout, Option(help="Layout of the collection.")] = Layout.HAM10000,
) -> Path:
    """Draw a collection of generated lesion photographs to try things on."""
    from cutis.data.synthetic import SyntheticSpec, generate

    return generate(out, SyntheticSpec(photos=photos, seed=seed), layout=layout.value)


def show(folder: Path) -> int:
    """Prints where the collection is."""
    print(folder)
    return 0
