"""`cutis recalibrate`: a bundle's probabilities, fitted to a clinic's own photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.studies.recalibration import RecalibrationStudy

_BOX = "box"


def recalibrate(
    bundle: Annotated[
        Path,
        Argument(
            metavar="BUNDLE",
            help="The bundle as exported; `box` is the model that comes with Cutis.",
            show_default=False,
        ),
    ],
    catalog: Annotated[
        Path,
        Argument(
            metavar="CATALOG",
            help="The clinic's photos with known diagnoses, 50 cases or more.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, Option(metavar="BUNDLE", help="The recalibrated bundle.")],
) -> "RecalibrationStudy":
    """Fit a bundle's probabilities to a clinic's own photos, where that makes them better."""
    from cutis.runtime.box import box_bundle
    from cutis.studies.recalibration import recalibrate as fit

    own = str(bundle) == _BOX and not bundle.exists()
    return fit(box_bundle() if own else bundle, catalog, out)


def show(study: "RecalibrationStudy") -> int:
    """Prints calibration and sets before and after."""
    from cutis.studies.recalibration.page import headline, promise, scores_rows, set_rows

    for network in study.networks:
        print_table([network.network, "before", "after", "change"], scores_rows(network))
        print_table(["sets", "before", "after"], set_rows(network.sets_before, network.sets_after))
        if network.no_prior:
            print(f"note: no prior is fitted: {network.no_prior}")
    for name, why in study.as_exported.items():
        print(f"note: network {name} stays as exported: {why}")
    if study.feedback:
        print("note: the cases are feedback: harder than the clinic's patients on the whole")
    if study.counts.seen:
        print(f"note: {study.counts.seen} photos are left out, of sources that trained the model")
    print("note: that the model has not seen these photos under another name is yours to know")
    print(promise(study))
    print(headline(study))
    return 0
