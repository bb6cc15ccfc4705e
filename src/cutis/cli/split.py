"""`cutis split`: parts or folds without leaks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.tables import print_table
from cutis.errors import InputError

if TYPE_CHECKING:
    from cutis.data.splits import Split


def split(
    catalog: Annotated[Path, Argument(metavar="CATALOG", show_default=False)],
    name: Annotated[str, Option(help="Name of the split; verbs take `default`.")] = "default",
    seed: Annotated[int, Option(min=0, help="The same seed gives the same split.")] = 0,
    shares: Annotated[
        str, Option(metavar="TRAIN/VALIDATION/TEST", help="Shares of the photos.")
    ] = "70/15/15",
    folds: Annotated[
        int | None, Option(metavar="K", help="K folds for cross-validation instead of parts.")
    ] = None,
    hold_out: Annotated[
        str | None, Option(metavar="SOURCE", help="The source that is the test part, whole.")
    ] = None,
    extend: Annotated[
        Path | None,
        Option(
            metavar="SPLIT",
            help="The folder of a smaller catalog's split, CATALOG/splits/NAME: its photos keep "
            "their parts, photos that it does not know train.",
        ),
    ] = None,
    drop: Annotated[
        str | None,
        Option(
            metavar="FLAG[,FLAG…]",
            help="Leave photos with one of these quality flags out of all parts.",
        ),
    ] = None,
    unsafe_by_image: Annotated[
        bool,
        Option(
            "--unsafe-by-image",
            help="Let photos of one lesion stand on both sides, to show what leaks do. "
            "All that is made with it is marked unsafe.",
        ),
    ] = False,
) -> "Split":
    """Divide a catalog so that no lesion, patient or photograph stands in two parts."""
    from cutis.data.catalog import Catalog
    from cutis.data.splits import make_split

    return make_split(
        Catalog.open(catalog),
        name=name,
        seed=seed,
        shares=_parsed(shares),
        folds=folds,
        hold_out=hold_out,
        extend=extend,
        drop=[flag.strip() for flag in drop.split(",")] if drop else (),
        unsafe_by_image=unsafe_by_image,
    )


def _parsed(shares: str) -> tuple[float, float, float]:
    try:
        train, validation, test = (float(text) for text in shares.split("/"))
    except ValueError as error:
        raise InputError(
            f"'{shares}' are not shares", expected="three numbers such as 70/15/15"
        ) from error
    return train, validation, test


def show(split: "Split") -> int:
    """Prints the photos by diagnosis and part."""
    counts = split.info.counts
    diagnoses = sorted({name for part in counts.values() for name in part})
    rows = [[name, *(counts[part].get(name, 0) for part in counts)] for name in diagnoses]
    print_table(["diagnosis", *counts], rows)
    if split.info.left_out:
        why = f" (dropped: {', '.join(split.info.drop)})" if split.info.drop else ""
        print(f"{split.info.left_out} photos are in no part{why}")
    print("rules: " + "; ".join(split.info.rules))
    for warning in split.info.warnings:
        print(f"note: {warning}")
    if split.info.unsafe:
        print("UNSAFE: photos of one lesion may stand on both sides of this split")
    if split.info.certificate is not None:
        print(split.info.certificate.verdict)
    return 0
