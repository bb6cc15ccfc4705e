"""`cutis import`: photos into a catalog."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.options import Cluster
from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.data.importer import ImportSummary

_COLUMN = re.compile(r"([a-z_]+)=(.+)")


def import_photos(
    sources: Annotated[
        list[str],
        Argument(
            metavar="SOURCE…",
            help="Folders or tables of photos; with --cluster also URLs such as "
            "s3://bucket/folder; with --format table also MEANING=COLUMN, e.g. image=img_id "
            "diagnosis=diagnostic.",
            show_default=False,
        ),
    ],
    into: Annotated[Path, Option(metavar="CATALOG", help="The catalog, made or added to.")],
    format: Annotated[
        str | None, Option(metavar="NAME", help="Layout of the sources; recognised if not given.")
    ] = None,
    map: Annotated[
        Path | None, Option(metavar="FILE", help="Label to diagnosis: TOML or CSV.")
    ] = None,
    view: Annotated[
        str | None, Option(metavar="NAME", help="View of the taxonomy that the catalog offers.")
    ] = None,
    copy: Annotated[bool, Option("--copy", help="Copy the photos into the catalog.")] = False,
    conflicts: Annotated[
        str | None,
        Option(
            metavar="POLICY",
            help="Where copies of a photograph contradict each other: drop, majority or "
            "trust:SOURCE,SOURCE; keep merges nothing. By default drop with several sources, keep "
            "with one.",
            show_default=False,
        ),
    ] = None,
    cluster: Cluster = None,
) -> "ImportSummary":
    """Bring photos with their diagnoses into a catalog; find what belongs together."""
    from cutis.cli.photo_quality import METER
    from cutis.data.importer import check_target, import_sources
    from cutis.data.remote import RemoteSource, is_url, refuse_urls
    from cutis.data.scan import ScanBlocks, scan_in_threads

    texts = [str(source) for source in sources]  # in Python also paths
    matches = [(text, _COLUMN.fullmatch(text)) for text in texts]
    columns = {m[1]: m[2] for text, m in matches if m and not Path(text).exists()}
    places = [text for text, m in matches if not m or Path(text).exists()]
    with ExitStack() as stack:
        scan_blocks: ScanBlocks = scan_in_threads
        found: list[Path | RemoteSource]
        if cluster is None:
            refuse_urls(places)
            found = [Path(place) for place in places]
        else:
            from cutis.scale.importing import scanning_on
            from cutis.scale.stand_in import stand_in

            check_target(into)  # not after a long listing
            found = [
                stack.enter_context(stand_in(place)) if is_url(place) else Path(place)
                for place in places
            ]
            scan_blocks = stack.enter_context(scanning_on(cluster))
        return import_sources(
            found,
            into,
            format=format,
            columns=columns or None,
            map_file=map,
            view=view,
            copy=copy,
            conflicts=conflicts,
            quality=METER,
            scan_blocks=scan_blocks,
        )


def show(summary: "ImportSummary") -> int:
    """Prints what the catalog holds."""
    catalog, counts = summary.catalog, summary.catalog.info.counts
    print_table(["diagnosis", "photos"], counts.diagnoses.items())
    print_table(["link", "pairs"], counts.links.items())
    print_table(["flag", "photos"], counts.flags.items())
    for warning in summary.warnings:
        print(f"note: {warning}")
    state = "written" if summary.changed else "unchanged"
    print(
        f"{catalog.folder} {state}: {counts.photos} photos ({counts.unreadable} unreadable, "
        f"{counts.undiagnosed} without diagnosis), {counts.lesions} lesions"
    )
    return 0
