"""`cutis export`: a run becomes a bundle that needs no torch."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table
from cutis.errors import InputError
from cutis.records import Part, Provenance
from cutis.storage import refuse_other_content

if TYPE_CHECKING:
    from cutis.export import ExportSummary

CALIBRATION_PHOTOS = 256
CHECK_PHOTOS = 256


def export(
    run: Annotated[Path, Argument(metavar="RUN", show_default=False)],
    out: Annotated[Path, Option(metavar="BUNDLE", help="Folder of the bundle.")],
    segmenter: Annotated[
        Path | None,
        Option(metavar="RUN", help="A segmentation run that goes into a classifier's bundle."),
    ] = None,
    data: Annotated[
        Path | None,
        Option(metavar="CATALOG", help="The run's catalog, where it has moved since training."),
    ] = None,
) -> "ExportSummary":
    """Write ONNX models of a run, compare them with it, and pack a bundle."""
    with needs_training():
        from cutis.export import export_run, runs_to_export
        from cutis.training.run import catalog_of
    from cutis.runtime.bundle import INFO_FILE

    refuse_other_content(out, INFO_FILE)
    info = runs_to_export(run, segmenter)[0].info
    photos = _photos(data or catalog_of(run), info.provenance)
    return export_run(
        run,
        out,
        calibration_photos=photos(Part.TRAIN, CALIBRATION_PHOTOS),
        check_photos=photos(Part.VALIDATION, CHECK_PHOTOS),
        segmenter=segmenter,
    )


def _photos(data: Path, origin: Provenance) -> Callable[[Part, int], list[Path]]:
    """Draws photos of a part of the very split that a run was trained on."""
    from cutis.data.catalog import Catalog
    from cutis.data.splits import load_split, part_rows

    catalog = Catalog.open(data)
    if catalog.sha256 != origin.catalog_sha256:
        raise InputError(
            "the run was trained on another catalog, or the catalog has changed since",
            where=catalog.folder,
            expected=f"content hash {origin.catalog_sha256[:12]}…",
            fix="give the catalog that the run was trained on",
        )
    parts = load_split(catalog, origin.split_name)
    if parts.info.sha256 != origin.split_sha256:
        raise InputError(
            f"the split '{parts.name}' has been made anew since the run was trained",
            where=catalog.folder,
            expected=f"the split with the hash {origin.split_sha256[:12]}…",
            fix="make it again with the seed and shares of then, or train again",
        )

    def drawn(part: Part, count: int) -> list[Path]:
        rows = part_rows(catalog, parts, part)
        chosen = rows.sample(min(count, len(rows)), random_state=origin.seed)
        return [catalog.locate(stored) for stored in chosen["path"]]

    return drawn


def show(summary: "ExportSummary") -> int:
    """Prints the files with their sizes."""
    print_table(
        ["file", "kB"], [[name, round(size / 1000)] for name, size in summary.sizes.items()]
    )
    print(summary.folder)
    return 0
