"""Certificates for anybody's split: what leaks in it, what the leak is worth, and on which data."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from cutis.data.catalog import CATALOG_FILE
from cutis.data.certificate.examine import Audit, examine
from cutis.data.certificate.folders import folder_subject, folders_subject
from cutis.data.certificate.page import certificate_page
from cutis.data.certificate.records import AuditCertificate, Pair, SiblingOracle, Verification
from cutis.data.certificate.subject import (
    Subject,
    catalog_subject,
    content_hash,
    with_file_hashes,
)
from cutis.data.certificate.tables import table_subject, with_lesions
from cutis.errors import InputError
from cutis.records import FORMAT_VERSION

__all__ = [
    "Audit",
    "AuditCertificate",
    "Pair",
    "SiblingOracle",
    "Subject",
    "Verification",
    "certificate_page",
    "examine",
    "read_certificate",
    "read_subject",
    "verify",
]


def read_subject(
    places: Sequence[Path],
    *,
    split: str | None = None,
    lesions: Path | None = None,
    photos: Path | None = None,
) -> Subject:
    """Reads what is to be audited; nothing is decoded yet.

    Args:
        places: a catalog; a folder that holds train, val and test; two or three folders, one a
            part; or a table with a part column.
        split: of a catalog, which one; None takes `default`.
        lesions: a table that names the lesion of each photo, for folders and tables.
        photos: where the photos of a table lie; None looks in and below the table's folder.

    Raises InputError for anything else, for options that do not belong to it, and for a split
    with a single part.
    """
    if not places:
        raise InputError(
            "there is nothing to audit", expected="a catalog, folders, or a table with parts"
        )
    first = places[0]
    is_catalog = len(places) == 1 and first.is_dir() and (first / CATALOG_FILE).is_file()
    is_table = len(places) == 1 and not first.is_dir()
    _check_options(is_catalog, is_table, split, lesions, photos)
    if is_catalog:
        return catalog_subject(first, split or "default")
    if is_table:
        subject = table_subject(first, photos)
    else:
        subject = folder_subject(first) if len(places) == 1 else folders_subject(places)
    return subject if lesions is None else with_lesions(subject, lesions)


def read_certificate(path: Path) -> AuditCertificate:
    """Reads a certificate's JSON; InputError where it is none, or of a later version."""
    if not path.is_file():
        raise InputError("there is no such certificate", where=path, fix="check --verify")
    try:
        certificate = AuditCertificate.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            "this is no certificate that this version of Cutis can read",
            where=path,
            expected="a file that 'cutis audit --json' has written",
            fix="audit again with --json",
        ) from error
    if certificate.format_version > FORMAT_VERSION:
        raise InputError("a later version of Cutis wrote this certificate", where=path)
    return certificate


def verify(subject: Subject, certificate: AuditCertificate) -> Verification:
    """Whether the data are still those that were certified: same photos, parts, labels and ids.

    Files are read and hashed, not decoded. A catalog's rows hold the hashes already.
    """
    found = content_hash(with_file_hashes(subject).rows)
    return Verification(
        matches=found == certificate.content_sha256,
        stated_sha256=certificate.content_sha256,
        found_sha256=found,
        verdict=certificate.verdict,
    )


def _check_options(
    is_catalog: bool,
    is_table: bool,
    split: str | None,
    lesions: Path | None,
    photos: Path | None,
) -> None:
    if split is not None and not is_catalog:
        raise InputError(
            "--split names a split of a catalog, and this is none", fix="leave --split out"
        )
    if lesions is not None and is_catalog:
        raise InputError(
            "a catalog holds its lesion ids itself", fix="leave --lesions out, or import the table"
        )
    if photos is not None and not is_table:
        raise InputError("--photos says where the photos of a table lie", fix="leave --photos out")
