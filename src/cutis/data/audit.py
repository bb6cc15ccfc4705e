"""Does a split keep what belongs together together? An audit answers with a certificate.

The checks look at hashes and ids in the rows themselves, not only at the links that the split was
made from, so that a fault in the links does not hide itself.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cutis.data.catalog import Catalog
from cutis.data.feedback_rule import feedback_sources, is_feedback
from cutis.data.partition import group_names
from cutis.data.split_records import (
    Certificate,
    Check,
    Split,
    count_groups,
    count_parts,
    part_labels,
)
from cutis.records import LinkKind, Part

__all__ = [
    "Certificate",
    "Check",
    "audit_split",
    "leak_checks",
    "shared_check",
    "sibling_rates",
]

_EXAMPLES = 20


def audit_split(catalog: Catalog, split: Split) -> Certificate:
    """Checks what a split promises, against the catalog as it is now.

    No photo, lesion, patient or duplicate in two parts; every usable photo once; the catalog
    unchanged; the shares as asked for; not marked unsafe.
    """
    usable = catalog.usable()
    rows = usable.merge(split.table, on="image_id", how="inner")
    rows = rows.assign(part=part_labels(rows))
    placed = rows[rows["part"].notna()]
    checks = (
        _unchanged(catalog, split),
        _coverage(usable, split.table),
        *leak_checks(placed, catalog.links),
        _groups(catalog, placed),
        _shares(placed[~is_feedback(placed, feedback_sources(catalog.info.sources))], split),
        _safe(split),
    )
    failed = [check for check in checks if check.passed is False]
    rate, by_image = sibling_rates(placed, catalog.links)
    return Certificate(
        subject=f"split {split.name}",
        catalog_sha256=catalog.sha256,
        split_sha256=split.info.sha256,
        passed=not failed,
        verdict=_verdict(split.name, checks),
        checks=checks,
        counts=count_parts(rows, rows["diagnosis"]),
        groups=count_groups(rows),
        sibling_rate=rate,
        sibling_rate_by_image=by_image,
    )


def leak_checks(rows: pd.DataFrame, links: pd.DataFrame) -> tuple[Check, ...]:
    """The checks that need only rows (a column `part` with them) and links."""
    return (
        shared_check(rows, ["sha256"], "identical files"),
        shared_check(rows, ["pixels_sha256"], "identical pixels"),
        _linked(rows, links, LinkKind.SAME_PHOTOGRAPH, "same photograph"),
        shared_check(rows, ["source", "lesion_id"], "lesions"),
        shared_check(rows, ["source", "patient_id"], "patients"),
    )


def sibling_rates(rows: pd.DataFrame, links: pd.DataFrame) -> tuple[float | None, float | None]:
    """The sibling rate of the test part, and that of a random split by image of the same size.

    A sibling is another photo of the same lesion or photograph; patients do not count. With folds
    every fold is a test part in turn. None without a test part.
    """
    siblings = links[links["kind"] != LinkKind.SAME_PATIENT.value]
    family = group_names(list(rows["image_id"]), siblings)[rows["image_id"]].to_numpy()
    sizes = rows.groupby(family)["part"].transform("size")
    same_part = rows.groupby([family, rows["part"]])["part"].transform("size")
    with_folds = rows["part"].str.startswith("fold")
    tested = with_folds | (rows["part"] == Part.TEST.value)
    if not tested.any():
        return None, None
    rate = float((sizes > same_part)[tested].mean())
    share = 1 / rows.loc[with_folds, "part"].nunique() if with_folds.any() else float(tested.mean())
    # Each of the other photos of a family is inside the test part with the probability `share`.
    return rate, float((1 - share ** (sizes - 1)).mean())


def shared_check(rows: pd.DataFrame, columns: Sequence[str], what: str) -> Check:
    """Values (hashes, ids) that stand in more than one part."""
    known = rows[rows[columns[-1]].notna()]
    if known.empty:
        return Check(
            name=f"{what} across parts",
            passed=None,
            found=0,
            detail=f"cannot be checked: no photo has a {columns[-1]}",
        )
    keys = known.groupby(list(columns))
    leaking = known[keys["part"].transform("nunique") > 1]
    groups = leaking.groupby(list(columns))
    silent = len(rows) - len(known)
    return Check(
        name=f"{what} across parts",
        passed=leaking.empty,
        found=groups.ngroups,
        detail=f"{groups.ngroups} with {len(leaking)} photos stand in more than one part"
        + (f"; {silent} photos have no {columns[-1]} and cannot be checked" if silent else ""),
        examples=tuple(tuple(ids) for ids in groups["image_id"].agg(list).head(_EXAMPLES)),
    )


def _linked(rows: pd.DataFrame, links: pd.DataFrame, kind: LinkKind, what: str) -> Check:
    pairs = links[links["kind"] == kind.value]
    if pairs.empty and rows["pixels_sha256"].isna().all():
        detail = "cannot be checked: no photo has been read"
        return Check(name=f"{what} across parts", passed=None, found=0, detail=detail)
    part = rows.drop_duplicates("image_id").set_index("image_id")["part"]
    a, b = part.reindex(pairs["image_id_a"]), part.reindex(pairs["image_id_b"])
    apart = a.notna().to_numpy() & b.notna().to_numpy() & (a.to_numpy() != b.to_numpy())
    leaking = pairs[apart]
    shown = leaking[["image_id_a", "image_id_b"]].head(_EXAMPLES)
    return Check(
        name=f"{what} across parts",
        passed=leaking.empty,
        found=len(leaking),
        detail=f"{len(leaking)} pairs stand in different parts",
        examples=tuple(shown.itertuples(index=False, name=None)),
    )


def _groups(catalog: Catalog, rows: pd.DataFrame) -> Check:
    groups = group_names(list(catalog.photos["image_id"]), catalog.links)
    found = rows.assign(group=groups[rows["image_id"]].to_numpy())
    check = shared_check(found, ["group"], "groups")
    return check.model_copy(update={"detail": check.detail + " (links followed to their end)"})


def _unchanged(catalog: Catalog, split: Split) -> Check:
    same = split.info.catalog_sha256 == catalog.sha256
    return Check(
        name="catalog unchanged",
        passed=same,
        found=int(not same),
        detail="the catalog has the hash that the split was made from"
        if same
        else f"the split was made from {split.info.catalog_sha256[:12]}…, "
        f"the catalog is {catalog.sha256[:12]}…",
    )


def _coverage(usable: pd.DataFrame, table: pd.DataFrame) -> Check:
    repeated = table.loc[table["image_id"].duplicated(), "image_id"]
    missing = set(usable["image_id"]) - set(table["image_id"])
    foreign = set(table["image_id"]) - set(usable["image_id"])
    found = len(repeated) + len(missing) + len(foreign)
    return Check(
        name="every usable photo once",
        passed=found == 0,
        found=found,
        detail=f"{len(table)} photos; {len(missing)} missing, {len(foreign)} not usable, "
        f"{len(repeated)} repeated",
        examples=tuple((name,) for name in sorted({*repeated, *missing, *foreign})[:_EXAMPLES]),
    )


def _shares(rows: pd.DataFrame, split: Split) -> Check:
    """A diagnosis may miss its share by the photos of its largest groups, not by more."""
    name = "shares by diagnosis"
    if split.info.hold_out is not None:
        detail = "the test part is a held-out source; its share is not ours to choose"
        return Check(name=name, passed=None, found=0, detail=detail)
    if split.info.extends is not None:
        detail = "the judged photos are those of another split; no share was asked for"
        return Check(name=name, passed=None, found=0, detail=detail)
    wanted = _wanted_shares(split)
    counts = pd.crosstab(rows["diagnosis"], rows["part"])
    counts = counts.reindex(columns=list(wanted), fill_value=0)
    total = counts.sum(axis=1).to_numpy()[:, None]
    off = (counts - total * np.array(list(wanted.values()))).abs()
    largest = rows.groupby(["diagnosis", "group"]).size().groupby("diagnosis").max()
    tolerance = np.maximum(largest[counts.index].to_numpy() * 2, len(wanted))[:, None]
    worst = (off / np.maximum(total, 1)).max(axis=None)
    found = int((off.to_numpy() > tolerance).any(axis=1).sum())
    return Check(
        name=name,
        passed=found == 0,
        found=found,
        detail=f"at most {off.max(axis=None):.1f} photos or {worst:.1%} of a diagnosis from the "
        "shares asked for",
        examples=tuple((str(d),) for d in counts.index[(off.to_numpy() > tolerance).any(axis=1)]),
    )


def _wanted_shares(split: Split) -> dict[str, float]:
    if split.info.folds is not None:
        return {f"fold {fold}": 1 / split.info.folds for fold in range(split.info.folds)}
    shares = split.info.shares or (0.0, 0.0, 0.0)
    return {part.value: share / 100 for part, share in zip(Part, shares, strict=True)}


def _safe(split: Split) -> Check:
    unsafe = split.info.unsafe
    return Check(
        name="not marked unsafe",
        passed=not unsafe,
        found=int(unsafe),
        detail="made by image, ignoring groups, to show what a leak does"
        if unsafe
        else "made by group",
    )


def _verdict(name: str, checks: Sequence[Check]) -> str:
    failed = [check for check in checks if check.passed is False]
    if failed:
        listed = "; ".join(f"{check.name}: {check.found}" for check in failed)
        return f"FAILED: split '{name}' does not keep its promise ({listed})"
    unchecked = [check.name for check in checks if check.passed is None]
    rest = f"; could not be checked: {', '.join(unchecked)}" if unchecked else ""
    return f"PASSED: split '{name}' shares no lesion, patient or duplicate that is known{rest}"
