"""Splits of a catalog: grouped, stratified, reproducible, and counted when they are used.

`splits/NAME/split.parquet` holds the part or fold of every photo, `split.json` how it came about,
`uses.json` what was evaluated on the test part. See docs/reference/catalog.md.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from cutis.data.audit import audit_split
from cutis.data.catalog import Catalog
from cutis.data.extension import extended_parts
from cutis.data.feedback_rule import (
    HELD_OUT,
    feedback_sources,
    is_feedback,
    only_feedback,
    refuse_judged,
    training_parts,
)
from cutis.data.flags import check_drop, flagged
from cutis.data.merge import appears_in
from cutis.data.partition import deal, group_names
from cutis.data.split_options import check_options
from cutis.data.split_records import Split, SplitInfo, count_groups, count_parts, split_hash
from cutis.data.split_uses import record_test_use, test_uses
from cutis.errors import InputError, nearest
from cutis.records import FORMAT_VERSION, SPLIT_SCHEMA, Part
from cutis.storage import commit_files, finish_commit

__all__ = [
    "Split",
    "SplitInfo",
    "load_split",
    "make_split",
    "part_rows",
    "record_test_use",
    "split_names",
    "test_uses",
]

_PARTS = (Part.TRAIN, Part.VALIDATION, Part.TEST)


def make_split(
    catalog: Catalog,
    *,
    name: str = "default",
    seed: int = 0,
    shares: tuple[float, float, float] = (70, 15, 15),
    folds: int | None = None,
    hold_out: str | None = None,
    extend: Path | None = None,
    drop: Sequence[str] = (),
    unsafe_by_image: bool = False,
) -> Split:
    """Splits the usable photos of a catalog and writes the split into its folder.

    Photos that links connect (lesion, patient, duplicates) form a group and stay together; parts
    are stratified by diagnosis and source. Photos of feedback train and are in no other part: see
    `feedback_rule`.

    Args:
        shares: percent of train, validation and test; a part of 0 stays empty.
        folds: K folds instead of parts.
        hold_out: a source whose photos, and no others, are the test part; it may be feedback. Train
            and validation share the rest; photos of other sources in a group with one of its photos
            are in no part, and a diagnosis with a single group left goes to train.
        extend: the folder of a split of a smaller catalog. Its photos keep their parts and all
            others train, but for those that belong together with its validation or test photos:
            see `extended_parts`. Seed and shares play no role.
        drop: quality flags; photos with one of them are in no part, the others of their group are.
        unsafe_by_image: ignores groups, to show what a leak does; the split is marked unsafe.

    Making the same split again changes no file. Raises InputError for options that contradict
    each other, for flags that do not exist and for a diagnosis that has a single group, which
    cannot be split.
    """
    check_options(catalog, name, shares, folds, hold_out)
    base = None if extend is None else _base(extend, folds, hold_out, unsafe_by_image)
    drop = check_drop(drop, catalog.photos)
    rows = _grouped_rows(catalog)
    dropped = flagged(rows, drop)
    if dropped.all():
        raise InputError(
            "the catalog has no photo with a diagnosis" + (" that is not dropped" if drop else ""),
            where=catalog.folder,
            fix="import photos with labels, drop fewer of them, or choose another view",
        )
    no_fold = pd.array([None] * len(rows), dtype="Int16")
    table = rows[["image_id", "group"]].assign(part=None, fold=no_fold)
    asked = hold_out if base is None else base.info.hold_out
    sources = [name for name in feedback_sources(catalog.info.sources) if name != asked]
    feedback = is_feedback(rows, sources)
    if base is not None:
        table["part"] = extended_parts(rows, base.table, catalog.folder)
        refuse_judged(table, feedback, catalog)
    else:
        open_rows = _hold_out(table, rows, hold_out) & ~dropped & ~feedback
        dealt = rows[open_rows]
        if dealt.empty:
            raise only_feedback(catalog)
        if unsafe_by_image:
            dealt = dealt.assign(group=dealt["image_id"])
        sizes = _sizes(shares, folds, hold_out)
        if hold_out is None:
            _check_groups(dealt, len(sizes), catalog)
        part = deal(dealt, list(sizes.values()), seed)
        if folds is None:
            table.loc[open_rows, "part"] = np.array(list(sizes), dtype=object)[part]
        else:
            table.loc[open_rows, "fold"] = part
        alone = table.assign(group=table["image_id"]) if unsafe_by_image else table
        table["part"] = training_parts(alone, feedback)
    table.loc[dropped, "part"] = None
    split = _describe(
        catalog,
        table,
        rows["diagnosis"],
        name=name,
        seed=seed,
        shares=None if folds or base else shares,
        folds=folds,
        hold_out=hold_out,
        extends=None if base is None else base.info.sha256,
        drop=drop,
        unsafe=unsafe_by_image,
        feedback=[name for name in sources if feedback.any()],
    )
    _write(catalog.folder / "splits" / name, split)
    return split


def load_split(catalog: Catalog, name: str = "default") -> Split:
    """Opens a split of a catalog.

    For a split with K folds, `NAME:k` gives three parts: fold k is the test part, the next one
    validation, the others train.

    Raises InputError when there is none of this name, it was written by a later version, or its
    table no longer has the hash that split.json states. A split of an older state of the catalog
    opens, so that it can be audited; `part_rows` refuses it.
    """
    name, _, fold = name.partition(":")
    folder = catalog.folder / "splits" / name
    if not _is_split(folder):
        known = split_names(catalog)
        raise InputError(
            f"the catalog has no split '{name}'",
            where=catalog.folder,
            expected="one of " + ", ".join(known) if known else "a split; there is none yet",
            fix=nearest(name, known) or f"make it: cutis split {catalog.folder} --name {name}",
        )
    split = _open(folder)
    return _with_parts(split, fold) if fold else split


def _is_split(folder: Path) -> bool:
    if folder.is_dir():
        finish_commit(folder)
    return (folder / "split.json").is_file()


def _open(folder: Path) -> Split:
    info = _read_info(folder / "split.json")
    try:
        table = pq.read_table(folder / "split.parquet", schema=SPLIT_SCHEMA).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise _damaged(folder) from error
    table["fold"] = table["fold"].astype("Int16")
    if split_hash(table, info.unsafe, info.drop) != info.sha256:
        raise _damaged(folder)
    return Split(info.name, table, info)


def _with_parts(split: Split, fold: str) -> Split:
    folds = split.info.folds
    if folds is None or fold not in map(str, range(folds)):
        raise InputError(
            f"the split '{split.name}' has no fold '{fold}'",
            expected="parts, so give its name alone" if folds is None else _fold_names(split),
        )
    test = int(fold)
    parts = {test: Part.TEST.value, (test + 1) % folds: Part.VALIDATION.value}
    numbers = split.table["fold"]
    # What was dropped has no fold and comes into no part; feedback has none and trains.
    part = numbers.map(lambda fold: parts.get(fold, Part.TRAIN.value), na_action="ignore")
    table = split.table.assign(
        part=part.astype(object).fillna(split.table["part"]).replace({np.nan: None}),
        fold=pd.array([pd.NA] * len(part), "Int16"),
    )
    info = split.info.model_copy(
        update={
            "folds": None,
            "sha256": split_hash(table, split.info.unsafe, split.info.drop),
        }
    )
    return Split(f"{split.name}:{fold}", table, info)


def _fold_names(split: Split) -> str:
    return f"one of {split.name}:0 … {split.name}:{(split.info.folds or 1) - 1}"


def split_names(catalog: Catalog) -> list[str]:
    """The splits that a catalog holds."""
    return sorted(path.parent.name for path in catalog.folder.glob("splits/*/split.json"))


def part_rows(
    catalog: Catalog,
    split: Split,
    part: Part,
    *,
    view: str | None = None,
) -> pd.DataFrame:
    """The catalog's usable rows that stand in a part, ordered by image_id, with their `group`.

    `view` reduces the diagnoses as in `Catalog.usable`. Raises InputError when the catalog has
    changed since it was split, and for a split with folds of which none is chosen.
    """
    if split.info.catalog_sha256 != catalog.sha256:
        raise InputError(
            f"the catalog has changed since the split '{split.name}' was made",
            where=catalog.folder,
            expected=f"a catalog with the content hash {split.info.catalog_sha256[:12]}…",
            fix=f"split it again: cutis split {catalog.folder} --name {split.name}",
        )
    if split.info.folds is not None:
        raise InputError(
            f"the split '{split.name}' has folds, and none is chosen", expected=_fold_names(split)
        )
    groups = split.table.loc[split.table["part"] == part.value, ["image_id", "group"]]
    return catalog.usable(view).merge(groups, on="image_id", validate="one_to_one")


def _base(folder: Path, folds: int | None, hold_out: str | None, unsafe: bool) -> Split:
    """The split whose parts are kept."""
    if folds is not None or hold_out is not None or unsafe:
        raise InputError(
            "a split that keeps the parts of another cannot be dealt in another way too",
            fix="leave --folds, --hold-out and --unsafe-by-image out",
        )
    if not _is_split(folder):
        raise InputError(
            "there is no such split",
            where=folder,
            expected="the folder CATALOG/splits/NAME of a split",
        )
    base = _open(folder)
    if base.info.folds is not None or base.info.unsafe:
        raise InputError(
            "the split to extend has folds, or lets photos of one lesion stand on both sides",
            where=folder,
            expected="a split with parts that does not leak",
        )
    return base


def _grouped_rows(catalog: Catalog) -> pd.DataFrame:
    # Groups are found over all photos: one without a diagnosis may connect two that have one.
    groups = group_names(list(catalog.photos["image_id"]), catalog.links)
    rows = catalog.usable()
    return rows.assign(group=groups[rows["image_id"]].to_numpy())


def _hold_out(table: pd.DataFrame, rows: pd.DataFrame, source: str | None) -> "pd.Series[bool]":
    """Puts the source's photos into the test part; returns which rows are still to be dealt."""
    if source is None:
        return pd.Series(True, index=rows.index)
    held = appears_in(rows, source)
    table.loc[held, "part"] = Part.TEST.value
    return ~rows["group"].isin(rows.loc[held, "group"])


def _sizes(shares: Sequence[float], folds: int | None, hold_out: str | None) -> dict[str, float]:
    if folds is not None:
        return {str(fold): 1.0 for fold in range(folds)}
    parts = _PARTS if hold_out is None else _PARTS[:2]
    return {part.value: share for part, share in zip(parts, shares, strict=False) if share > 0}


def _check_groups(dealt: pd.DataFrame, parts: int, catalog: Catalog) -> None:
    groups = dealt.groupby("diagnosis")["group"].nunique()
    single = groups[groups < min(parts, 2)]
    if single.empty:
        return
    photos = dealt["diagnosis"].value_counts()
    named = ", ".join(f"'{name}' ({photos[name]} photos)" for name in single.index)
    raise InputError(
        f"these diagnoses have a single group, which cannot be on two sides of a split: {named}",
        where=catalog.folder,
        expected="photos of two lesions or more for each diagnosis",
        fix="add photos of other lesions, or leave the diagnosis out through a view (--view)",
    )


def _describe(
    catalog: Catalog,
    table: pd.DataFrame,
    diagnoses: pd.Series,
    *,
    name: str,
    seed: int,
    shares: tuple[float, float, float] | None,
    folds: int | None,
    hold_out: str | None,
    extends: str | None,
    drop: tuple[str, ...],
    unsafe: bool,
    feedback: Sequence[str],
) -> Split:
    counts = count_parts(table, diagnoses)
    by = "image, ignoring groups (unsafe)" if unsafe else "patient, lesion and duplicate links"
    missing = [
        f"'{diagnosis}' has no photo in {part}"
        for part, held in counts.items()
        for diagnosis in sorted(set(diagnoses) - set(held))
    ]
    dealt = "stratified by diagnosis and source"
    rules = [f"grouped by {by}", dealt if extends is None else "the parts of another split kept"]
    if drop:
        rules.append(f"photos flagged {' or '.join(drop)} are in no part")
    if feedback and extends is None:
        rules.append(f"feedback ({', '.join(feedback)}) only trains")
    notes = [HELD_OUT] if hold_out in feedback_sources(catalog.info.sources) else []
    info = SplitInfo(
        name=name,
        seed=seed,
        shares=shares,
        folds=folds,
        hold_out=hold_out,
        extends=extends,
        drop=drop,
        unsafe=unsafe,
        rules=tuple(rules),
        catalog_sha256=catalog.sha256,
        sha256=split_hash(table, unsafe, drop),
        counts=counts,
        groups=count_groups(table),
        left_out=int((table["part"].isna() & table["fold"].isna()).sum()),
        warnings=(*missing, *notes),
    )
    certificate = audit_split(catalog, Split(name, table, info))
    return Split(name, table, info.model_copy(update={"certificate": certificate}))


def _write(folder: Path, split: Split) -> None:
    content = split.info.model_dump_json(indent=1) + "\n"
    path = folder / "split.json"
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return
    table = pa.Table.from_pandas(split.table, SPLIT_SCHEMA, preserve_index=False)
    commit_files(
        folder,
        {
            "split.parquet": lambda target: pq.write_table(table, target),
            "split.json": lambda target: target.write_text(content, encoding="utf-8"),
        },
    )


def _read_info(path: Path) -> SplitInfo:
    try:
        content = json.loads(path.read_bytes())
        if content["format_version"] > FORMAT_VERSION:
            raise InputError(
                "the split was written by a later version of Cutis",
                where=path,
                expected=f"format version {FORMAT_VERSION} or earlier",
                fix="update Cutis, or split the catalog again with this version",
            )
        return SplitInfo.model_validate(content)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise _damaged(path.parent) from error


def _damaged(folder: Path) -> InputError:
    return InputError(
        "the split has been changed or damaged since it was made",
        where=folder,
        fix="restore the folder, or split the catalog again under another name",
    )
