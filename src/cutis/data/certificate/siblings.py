"""What a split's siblings are worth: the accuracy of a program that only looks them up."""

from collections.abc import Sequence

import pandas as pd

from cutis.data.certificate.records import SiblingOracle
from cutis.data.certificate.relations import nearest
from cutis.records import LinkKind, Part


def tested_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """The parts on which a model is judged: test, else validation; every fold in turn."""
    folds = tuple(part for part in parts if part.startswith("fold"))
    last = [part for part in (Part.TEST.value, Part.VALIDATION.value) if part in parts]
    return folds or tuple(last[:1])


def sibling_oracle(
    rows: pd.DataFrame, links: pd.DataFrame, tested: Sequence[str]
) -> SiblingOracle | None:
    """The oracle over all tested parts; None where photos to test or to look up have no label.

    With folds each is answered from all others, otherwise from the train part.
    """
    labelled = rows[rows["label"].notna()]
    answers = [_answers(labelled, links, part) for part in tested]
    table = pd.concat(answers) if answers else pd.DataFrame()
    if table.empty:
        return None
    right = table["answer"] == table["label"]
    known = table["has_sibling"]
    return SiblingOracle(
        photos=len(table),
        with_sibling=int(known.sum()),
        accuracy=float(right.mean()),
        accuracy_with_sibling=float(right[known].mean()) if known.any() else None,
        commonest_label=str(table["commonest"].mode()[0]),
        accuracy_of_commonest=float((table["commonest"] == table["label"]).mean()),
    )


def _answers(rows: pd.DataFrame, links: pd.DataFrame, part: str) -> pd.DataFrame:
    test = rows[rows["part"] == part]
    learnt = rows["part"] != part if part.startswith("fold") else rows["part"] == Part.TRAIN.value
    train = rows[learnt]
    if train.empty:
        return pd.DataFrame()
    found = nearest(test, train, links)
    siblings = found[found["kind"] != LinkKind.SAME_PATIENT.value].set_index("image_id")["relative"]
    label_of = train.set_index("image_id")["label"]
    looked_up = test["image_id"].map(siblings).map(label_of)
    commonest = train["label"].mode()[0]
    return pd.DataFrame(
        {
            "label": test["label"],
            "answer": looked_up.fillna(commonest),
            "has_sibling": looked_up.notna(),
            "commonest": commonest,
        }
    )
