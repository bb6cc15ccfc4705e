"""`cutis audit`: does a split, made by anyone, hold what it promises?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.data.certificate import AuditCertificate, Verification


def audit(
    data: Annotated[
        Path,
        Argument(
            metavar="CATALOG|FOLDER|TABLE",
            help="A catalog; a folder that holds train, val and test; the first of the folders; "
            "or a table with a column that names the part.",
            show_default=False,
        ),
    ],
    more: Annotated[
        list[Path] | None,
        Argument(metavar="FOLDER…", help="The folders of the other parts.", show_default=False),
    ] = None,
    split: Annotated[
        str | None,
        Option(metavar="NAME", help="Of a catalog: the split to check; 'default' if not given."),
    ] = None,
    lesions: Annotated[
        Path | None,
        Option(metavar="TABLE", help="Metadata that name the lesion of each photo."),
    ] = None,
    photos: Annotated[
        Path | None,
        Option(metavar="FOLDER", help="Where a table's photos lie, if not beside it."),
    ] = None,
    json: Annotated[
        Path | None, Option(metavar="FILE", help="Write the certificate as JSON.")
    ] = None,
    html: Annotated[
        Path | None, Option(metavar="FILE", help="Write it as a page with the pairs side by side.")
    ] = None,
    verify: Annotated[
        Path | None,
        Option(metavar="FILE", help="Only check that this certificate belongs to the data."),
    ] = None,
    cache: Annotated[
        Path | None,
        Option(metavar="FOLDER", help="Remember here what was read, for the next time."),
    ] = None,
) -> "AuditCertificate | Verification":
    """Check anybody's split for leaks; exit code 1 when there is one."""
    from cutis.data import certificate as certificates
    from cutis.storage import write_file

    subject = certificates.read_subject(
        [data, *(more or ())], split=split, lesions=lesions, photos=photos
    )
    if verify is not None:
        return certificates.verify(subject, certificates.read_certificate(verify))
    found = certificates.examine(subject, cache)
    if json is not None:
        write_file(json, found.certificate.model_dump_json(indent=1) + "\n")
    if html is not None:
        write_file(html, certificates.certificate_page(found))
    return found.certificate


def show(result: "AuditCertificate | Verification") -> int:
    """Prints what was found; 1 when a check failed or a certificate does not belong to the data."""
    from cutis.data.certificate import Verification

    if isinstance(result, Verification):
        print(f"the certificate says {result.verdict}")
        if result.matches:
            print(f"VERIFIED: it belongs to these data ({result.found_sha256[:12]}…)")
            return 0
        print(
            f"NOT VERIFIED: it was made for {result.stated_sha256[:12]}…, "
            f"these data are {result.found_sha256[:12]}…"
        )
        return 1
    _print_certificate(result)
    return 0 if result.passed else 1


def _print_certificate(certificate: "AuditCertificate") -> None:
    signs = {True: "ok", False: "FAILED", None: "?"}
    seen = {**signs, False: "look"}
    rows = [[signs[check.passed], check.name, check.detail] for check in certificate.checks]
    rows += [[seen[check.passed], check.name, check.detail] for check in certificate.remarks]
    print_table(["", "check", "found"], rows)
    for note in certificate.notes:
        print(f"note: {note}")
    if certificate.sibling_rate is not None and certificate.sibling_rate_by_image is not None:
        print(
            f"photos with a sibling in another part: {certificate.sibling_rate:.1%} "
            f"(random split by image: {certificate.sibling_rate_by_image:.1%})"
        )
    oracle = certificate.oracle
    if oracle is not None:
        print(
            f"sibling oracle: {oracle.accuracy:.1%} right (always {oracle.commonest_label}: "
            f"{oracle.accuracy_of_commonest:.1%})"
        )
    print(certificate.verdict)
