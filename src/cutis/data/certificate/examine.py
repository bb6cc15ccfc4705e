"""The examination: from photos with parts to a certificate."""

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cutis import __version__
from cutis.data.audit import leak_checks, shared_check, sibling_rates
from cutis.data.certificate.records import AuditCertificate, Pair
from cutis.data.certificate.relations import nearest, sibling_links, with_relations
from cutis.data.certificate.remarks import all_remarks, conflicts, copies
from cutis.data.certificate.siblings import sibling_oracle, tested_parts
from cutis.data.certificate.subject import Subject, content_hash, part_order
from cutis.data.links import link_photos
from cutis.data.scan import Scan, fingerprints, scan_photos
from cutis.data.sources.base import counted
from cutis.data.split_records import Check
from cutis.records import Part

MOST_PAIRS = 1000
"""Pairs of each list that a certificate writes out."""


@dataclass(frozen=True)
class Audit:
    """A certificate, and where the photos that it names lie (null: nowhere)."""

    certificate: AuditCertificate
    places: dict[str, str | None]


def examine(subject: Subject, cache: Path | None = None) -> Audit:
    """Examines a split for everything that a certificate states.

    Photos are decoded once; `cache` is a folder that remembers them for the next time.
    """
    subject = _scanned(subject, cache)
    links = subject.links
    if links is None:
        raise ValueError("a scanned subject has links")
    rows = with_relations(subject.rows, links)
    checks = (*(subject.checks or _checks(rows, links)), _isic(rows))
    remarks = all_remarks(rows)
    tested = tested_parts(subject.parts)
    rate, by_image = _sibling_rates(rows, tested)
    across = _across(rows, links, subject.parts)
    twofold, repeated = conflicts(rows, links), copies(rows, links)
    certificate = AuditCertificate(
        cutis_version=__version__,
        subject=subject.name,
        kind=subject.kind,
        content_sha256=content_hash(rows),
        catalog_sha256=subject.catalog_sha256,
        split_sha256=subject.split_sha256,
        passed=all(check.passed is not False for check in checks),
        verdict=_verdict(subject.name, checks, remarks, rate, by_image),
        checks=checks,
        remarks=remarks,
        counts=_counts(rows, subject.parts),
        tested=tested,
        sibling_rate=rate,
        sibling_rate_by_image=by_image,
        oracle=sibling_oracle(rows, links, tested),
        found={
            "pairs": len(across),
            "conflicts": len(twofold),
            "copies": len(repeated),
        }
        | {f"pairs: {kind}": int(n) for kind, n in across["kind"].value_counts().items()},
        pairs=_pairs(across, rows),
        conflicts=_pairs(twofold, rows),
        copies=_pairs(repeated, rows),
        notes=subject.notes,
    )
    places = dict(zip(subject.rows["image_id"], subject.rows["path"], strict=True))
    return Audit(certificate, places)


def _scanned(subject: Subject, cache: Path | None) -> Subject:
    """The subject with hashes and links, found by decoding every photo, unless it has them."""
    if subject.links is not None:
        return subject
    paths = subject.rows["path"]
    there = paths.notna()
    with tempfile.TemporaryDirectory(prefix="cutis-audit-") as temporary:
        held = cache or Path(temporary)
        read = iter(scan_photos([Path(path) for path in paths[there]], held))
        scans = [next(read) if is_there else Scan(sha256="") for is_there in there]
        rows = subject.rows.assign(
            sha256=np.array([scan.sha256 or None for scan in scans], dtype=object),
            pixels_sha256=np.array([scan.pixels_sha256 for scan in scans], dtype=object),
        )
        readable = rows.loc[rows["pixels_sha256"].notna(), "path"]
        with fingerprints([Path(path) for path in readable], held) as marks:
            links = link_photos(rows, marks)
    broken = [
        f"{name} ({scan.problem})"
        for name, scan in zip(rows["image_id"], scans, strict=True)
        if scan.problem
    ]
    note = counted(broken, "photos cannot be read and are compared as files only")
    notes = (*subject.notes, note) if note else subject.notes
    return replace(subject, rows=rows, links=links, notes=notes)


def _checks(rows: pd.DataFrame, links: pd.DataFrame) -> tuple[Check, ...]:
    followed = shared_check(rows.assign(group=rows["family"]), ["group"], "groups")
    detail = followed.detail + " (copies, ISIC numbers and lesions followed to their end)"
    return (*leak_checks(rows, links), followed.model_copy(update={"detail": detail}))


def _isic(rows: pd.DataFrame) -> Check:
    check = shared_check(rows, ["isic"], "ISIC numbers")
    if check.passed is None:
        detail = "cannot be checked: no photo is called by an ISIC number"
        return check.model_copy(update={"detail": detail})
    return check.model_copy(
        update={"detail": check.detail.replace("have no isic", "are not called by one")}
    )


def _sibling_rates(
    rows: pd.DataFrame, tested: tuple[str, ...]
) -> tuple[float | None, float | None]:
    # Where validation is all that is tested, it stands for the test part.
    part = rows["part"].replace({p: Part.TEST.value for p in tested if not p.startswith("fold")})
    return sibling_rates(rows.assign(part=part), sibling_links(rows))


def _across(rows: pd.DataFrame, links: pd.DataFrame, parts: list[str]) -> pd.DataFrame:
    """For each photo its nearest relative in an earlier part."""
    order = rows["part"].map(parts.index)
    found = [
        nearest(rows[order == place], rows[order < place], links) for place in range(1, len(parts))
    ]
    return pd.concat(found, ignore_index=True)


def _pairs(found: pd.DataFrame, rows: pd.DataFrame) -> tuple[Pair, ...]:
    """Relatives as pairs: by kind, then the best score, the earlier part on the left."""
    part, label = (dict(zip(rows["image_id"], rows[c], strict=True)) for c in ("part", "label"))
    ordered = found.sort_values(["score", "image_id"], ascending=[False, True])
    each = ordered.groupby("kind").cumcount()
    # All kinds are shown before one of them fills the list.
    kept = ordered.assign(place=each).sort_values("place", kind="stable").head(MOST_PAIRS)
    scores = kept["score"].astype(float).tolist()
    pairs = [
        Pair(
            kind=row.kind,
            image_id_a=row.relative,
            image_id_b=row.image_id,
            part_a=part[row.relative],
            part_b=part[row.image_id],
            label_a=label[row.relative],
            label_b=label[row.image_id],
            score=None if math.isnan(score) else round(score, 4),
            reason=row.reason,
        )
        for row, score in zip(kept.itertuples(index=False), scores, strict=True)
    ]
    return tuple(sorted(pairs, key=lambda pair: (pair.kind, -(pair.score or 0), pair.image_id_b)))


def _counts(rows: pd.DataFrame, parts: list[str]) -> dict[str, dict[str, int]]:
    labels = rows["label"].fillna("(none)")
    crossed = pd.crosstab(rows["part"], labels)
    return {
        part: {str(label): int(n) for label, n in crossed.loc[part].items() if n}
        for part in sorted(parts, key=part_order)
    }


def _verdict(
    name: str,
    checks: tuple[Check, ...],
    remarks: tuple[Check, ...],
    rate: float | None,
    by_image: float | None,
) -> str:
    failed = [check for check in checks if check.passed is False]
    silent = [check.name.removesuffix(" across parts") for check in checks if check.passed is None]
    seen = [f"{remark.name}: {remark.found}" for remark in remarks if remark.passed is False]
    said = ["; ".join(f"{check.name}: {check.found}" for check in failed)] if failed else []
    if rate is not None and by_image is not None and failed:
        said.append(
            f"{rate:.1%} of the tested photos have a sibling on the other side "
            f"({by_image:.1%} in a random split by image)"
        )
    if silent:
        said.append(f"could not be checked: {', '.join(silent)}")
    if seen:
        said.append(f"worth a look: {', '.join(seen)}")
    start = (
        f"FAILED: {name} leaks"
        if failed
        else f"PASSED: {name} shares no lesion, patient or duplicate that is known"
    )
    return "; ".join([start, *said])
