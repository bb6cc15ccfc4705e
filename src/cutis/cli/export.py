"""`cutis export`: a run becomes a bundle that needs no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table
from cutis.errors import InputError
from cutis.records import Part
from cutis.storage import refuse_other_content

if TYPE_CHECKING:
    from cutis.export import ExportSummary

CALIBRATION_PHOTOS = 256
CHECK_PHOTOS = 256


def export(
    run: Annotated[Path, Argument(metavar="RUN", show_default=False)],
    out: Annotated[Path, Option(metavar="BUNDLE", help="Folder of the bundle.")],
    data: Annotated[
        Path | None,
        Option(metavar="CATALOG", help="The run's catalog, where it has moved since training."),
    ] = None,
) -> "ExportSummary":
    """Write ONNX models (32-bit and int8), compare them with the run, and pack a bundle."""
    with needs_training():
        from cutis.export import export_run
        from cutis.training.run import catalog_of, load_run
    from cutis.data.catalog import Catalog
    from cutis.data.splits import load_split, part_rows
    from cutis.runtime.bundle import INFO_FILE

    refuse_other_content(out, INFO_FILE)
    info = load_run(run).info
    catalog = Catalog.open(data or catalog_of(run))
    if catalog.sha256 != info.provenance.catalog_sha256:
        raise InputError(
            "the run was trained on another catalog, or the catalog has changed since",
            where=catalog.folder,
            expected=f"content hash {info.provenance.catalog_sha256[:12]}…",
            fix="give the catalog that the run was trained on",
        )
    parts = load_split(catalog, info.provenance.split_name)
    if parts.info.sha256 != info.provenance.split_sha256:
        raise InputError(
            f"the split '{parts.name}' has been made anew since the run was trained",
            where=catalog.folder,
            expected=f"the split with the hash {info.provenance.split_sha256[:12]}…",
            fix="make it again with the seed and shares of then, or train again",
        )

    def photos(part: Part, count: int) -> list[Path]:
        rows = part_rows(catalog, parts, part)
        chosen = rows.sample(min(count, len(rows)), random_state=info.provenance.seed)
        return [catalog.locate(stored) for stored in chosen["path"]]

    return export_run(
        run,
        out,
        calibration_photos=photos(Part.TRAIN, CALIBRATION_PHOTOS),
        check_photos=photos(Part.VALIDATION, CHECK_PHOTOS),
    )


def show(summary: "ExportSummary") -> int:
    """Prints the files with their sizes."""
    print_table(
        ["file", "kB"], [[name, round(size / 1000)] for name, size in summary.sizes.items()]
    )
    print(summary.folder)
    return 0
