"""Faults of the data that are no leak, but that a reader of results should know."""

import pandas as pd

from cutis.data.certificate.relations import nearest
from cutis.data.split_records import Check
from cutis.records import Part

_EXAMPLES = 20


def all_remarks(rows: pd.DataFrame) -> tuple[Check, ...]:
    """The remarks on rows `with_relations`; `passed` is False where there is something to see."""
    return (_conflicting(rows), _repeated(rows), _missing_labels(rows))


def conflicts(rows: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Photos whose label differs from that of the first copy of the photograph, with that copy."""
    labelled = rows[rows["label"].notna()]
    first = labelled.drop_duplicates("photograph")
    label = labelled["photograph"].map(first.set_index("photograph")["label"])
    return nearest(labelled[labelled["label"] != label], first, links)


def copies(rows: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Photos of the train part that repeat an earlier one there, with that one."""
    train = _train(rows)
    again = train["photograph"].duplicated()
    return nearest(train[again], train[~again], links)


def _train(rows: pd.DataFrame) -> pd.DataFrame:
    with_folds = rows["part"].str.startswith("fold").any()
    return rows if with_folds else rows[rows["part"] == Part.TRAIN.value]


def _conflicting(rows: pd.DataFrame) -> Check:
    name = "photographs under two labels"
    labelled = rows[rows["label"].notna()]
    if labelled.empty:
        return _silent(name, "no photo has a label")
    groups = {
        key: labelled[labelled.groupby(key)["label"].transform("nunique") > 1]
        for key in ("photograph", "sha256")
    }
    found, exact = (groups[key][key].nunique() for key in ("photograph", "sha256"))
    pairs = groups["photograph"].groupby("photograph")["label"].agg(_joined_labels).value_counts()
    most = f"; most often {pairs.index[0]} ({pairs.iloc[0]})" if len(pairs) else ""
    listed = groups["photograph"].groupby("photograph")["image_id"].agg(tuple)
    return Check(
        name=name,
        passed=found == 0,
        found=found,
        detail=f"{found} photographs in {len(groups['photograph'])} photos stand under two labels "
        f"or more; {exact} files do so byte for byte{most}",
        examples=tuple(listed.head(_EXAMPLES)),
    )


def _repeated(rows: pd.DataFrame) -> Check:
    name = "copies within train"
    train = _train(rows)
    sizes = train.groupby("photograph")["image_id"].transform("size")
    again = train["photograph"].duplicated()
    exact = train["sha256"].notna() & train.duplicated(["photograph", "sha256"])
    detail = (
        f"{int(again.sum())} of {len(train)} training photos repeat another one "
        f"({train.loc[sizes > 1, 'photograph'].nunique()} photographs)"
    )
    if again.any():
        share = (sizes > 1).groupby(train["label"].fillna("(none)")).mean()
        detail += (
            f": {int(exact.sum())} byte for byte, {int((again & ~exact).sum())} changed; a "
            f"photograph stands up to {int(sizes.max())} times; most in {share.idxmax()} "
            f"(a copy of {share.max():.1%} of its photos). Copies like these come "
            "from augmentation or over-sampling before the split, or from merged collections"
        )
    listed = train[sizes > 1].groupby("photograph")["image_id"].agg(tuple)
    return Check(
        name=name,
        passed=not again.any(),
        found=int(again.sum()),
        detail=detail,
        examples=tuple(listed.head(_EXAMPLES)),
    )


def _missing_labels(rows: pd.DataFrame) -> Check:
    name = "every label in every part"
    crossed = pd.crosstab(rows["label"], rows["part"])
    if crossed.empty:
        return _silent(name, "no photo has a label")
    gaps = [
        f"{part} has no {label}" for part in crossed for label in crossed.index[crossed[part] == 0]
    ]
    return Check(
        name=name,
        passed=not gaps,
        found=len(gaps),
        detail="; ".join(gaps[:_EXAMPLES]) or f"{len(crossed)} labels stand in all parts",
    )


def _silent(name: str, why: str) -> Check:
    return Check(name=name, passed=None, found=0, detail=f"cannot be checked: {why}")


def _joined_labels(labels: pd.Series) -> str:
    return " and ".join(sorted(set(labels)))
