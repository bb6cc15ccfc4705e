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
    import pandas as pd

    from cutis.export import ExportSummary
    from cutis.export.parity import NetworkCheck, SegmenterCheck
    from cutis.records import ModelInfo, SegmenterInfo


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
    networks: Annotated[
        str,
        Option(
            metavar="NAME[,NAME…]",
            help="What goes in: fp32, int8, tflite (needs LiteRT's converter, see the docs).",
        ),
    ] = "fp32,int8",
    report: Annotated[
        Path | None,
        Option(metavar="REPORT", help="A report whose figures the model card shows."),
    ] = None,
    notes: Annotated[
        Path | None,
        Option(metavar="FILE.md", help="Text for the model card, such as the training command."),
    ] = None,
    allow: Annotated[
        bool,
        Option("--allow", help="Keep networks that fail the comparison; the bundle says so."),
    ] = False,
) -> "ExportSummary":
    """Write deployable networks of a run, compare them with it, and pack a bundle."""
    with needs_training():
        from cutis.export import export_run, runs_to_export
        from cutis.training.run import catalog_of
    from cutis.runtime.bundle import INFO_FILE

    refuse_other_content(out, INFO_FILE)
    info = runs_to_export(run, segmenter)[0].info
    return export_run(
        run,
        out,
        _photos(data or catalog_of(run), info),
        segmenter=segmenter,
        networks=[name.strip() for name in networks.split(",")],
        allow=allow,
        scores=None if report is None else _scores(report),
        notes=None if notes is None else _text(notes),
    )


def _photos(data: Path, info: "ModelInfo | SegmenterInfo") -> "pd.DataFrame":
    """The photos of the very split that a run was trained on, as the export wants them."""
    import pandas as pd

    from cutis.data.catalog import Catalog
    from cutis.data.splits import load_split, part_rows, record_test_use
    from cutis.export.photos import COLUMNS

    catalog, origin = Catalog.open(data), info.provenance
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
    # The comparison reads the labels of all parts, and decides what goes into the bundle.
    record_test_use(catalog, parts, f"export of {origin.recipe}")
    view = getattr(info, "view", None)
    rows = pd.concat(
        [part_rows(catalog, parts, part, view=view).assign(part=part.value) for part in Part],
        ignore_index=True,
    )
    return rows.assign(
        path=rows["path"].map(catalog.locate),
        mask=rows["mask"].map(catalog.locate, na_action="ignore"),
    )[list(COLUMNS)]


def _scores(report: Path) -> dict[str, dict[str, float | str | None]]:
    """The figures of a report."""
    from json import loads

    file = report / "metrics.json"
    try:
        scores: dict[str, dict[str, float | str | None]] = loads(file.read_bytes())["scores"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "this is not a report",
            where=report,
            expected="a folder with metrics.json, as 'cutis evaluate' writes it",
        ) from error
    return scores


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the notes cannot be read", where=file, expected="a text file") from error


def show(summary: "ExportSummary") -> int:
    """Prints what was compared and the files with their sizes."""
    if summary.parity.networks:
        print_table(
            ["network", "verdict", "same answer", "difference", "loss, points", "ms"],
            [
                [
                    check.name,
                    "failed" if check.failures else "passed",
                    f"{check.agreement:.2%}",
                    f"{check.mean_probability_difference:.4f}",
                    "" if check.accuracy is None else f"{100 * check.accuracy.loss:z.2f}",
                    _milliseconds(check),
                ]
                for check in summary.parity.networks
            ],
        )
    if summary.parity.segmenters:
        print_table(
            ["network", "verdict", "Jaccard", "loss, points", "ms"],
            [
                [
                    check.name,
                    "failed" if check.failures else "passed",
                    f"{check.mean_jaccard:.4f}",
                    "" if check.jaccard is None else f"{100 * check.jaccard.loss:z.2f}",
                    _milliseconds(check),
                ]
                for check in summary.parity.segmenters
            ],
        )
    print_table(
        ["file", "kB"], [[name, round(size / 1000)] for name, size in summary.sizes.items()]
    )
    for file, why in summary.refused.items():
        print(f"left out, since it does not answer as the run does: {file} ({'; '.join(why)})")
    print(summary.folder)
    return 1 if summary.refused else 0


def _milliseconds(check: "NetworkCheck | SegmenterCheck") -> str:
    return "" if check.cost is None else f"{check.cost.milliseconds:.1f}"
