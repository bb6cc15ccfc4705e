"""`cutis audit`: does a split hold what it promises?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.data.audit import Certificate


def audit(
    catalog: Annotated[Path, Argument(metavar="CATALOG", show_default=False)],
    split: Annotated[str, Option(metavar="NAME", help="The split to check.")] = "default",
    json: Annotated[
        Path | None, Option(metavar="FILE", help="Write the certificate as JSON.")
    ] = None,
) -> "Certificate":
    """Check a split for leaks; exit code 1 when there is one."""
    from cutis.data.audit import audit_split
    from cutis.data.catalog import Catalog
    from cutis.data.splits import load_split
    from cutis.storage import write_file

    opened = Catalog.open(catalog)
    certificate = audit_split(opened, load_split(opened, split))
    if json is not None:
        write_file(json, certificate.model_dump_json(indent=2) + "\n")
    return certificate


def show(certificate: "Certificate") -> int:
    """Prints the checks; 1 when one of them failed."""
    signs = {True: "ok", False: "FAILED", None: "?"}
    rows = [[signs[check.passed], check.name, check.detail] for check in certificate.checks]
    print_table(["", "check", "found"], rows)
    print(certificate.verdict)
    return 0 if certificate.passed else 1
