"""Splits that leave photos with a quality flag out."""

from collections.abc import Callable
from itertools import pairwise

import pandas as pd
import pytest

from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, make_split, part_rows
from cutis.errors import InputError
from cutis.records import Part

MakeCatalog = Callable[..., Catalog]


def lesion_rows(source: str = "one", photos: int = 120) -> list[dict[str, object]]:
    """Photos of which every third shows the lesion of the one before."""
    lesions = [number - 1 if number % 3 == 2 else number for number in range(photos)]
    return [
        {
            "image_id": f"{source}/{number:04d}",
            "source": source,
            "diagnosis": "melanocytic_nevus" if lesion % 4 else "melanoma",
            "lesion_id": f"L{lesion}",
            "quality_hair": 0.0,
        }
        for number, lesion in enumerate(lesions)
    ]


def lesion_links(rows: list[dict[str, object]]) -> list[tuple[str, str, str]]:
    pairs = pairwise(rows)
    return [
        (str(a["image_id"]), str(b["image_id"]), "same_lesion")
        for a, b in pairs
        if (a["source"], a["lesion_id"]) == (b["source"], b["lesion_id"])
    ]


@pytest.fixture
def flagged(make_catalog: MakeCatalog) -> Catalog:
    """Every fifth photo is blurred, the second is hairy."""
    rows = lesion_rows()
    for row in rows[::5]:
        row["flags"] = ("blurred",)
    rows[1]["flags"] = ("hair",)
    return make_catalog(rows, lesion_links(rows))


def test_dropped_photos_are_in_no_part(flagged: Catalog) -> None:
    whole = make_split(flagged, name="whole")
    assert whole.info.left_out == 0
    make_split(flagged, drop=["hair", "blurred", "hair"])
    split = load_split(flagged)
    assert split.info.drop == ("blurred", "hair")
    assert split.info.rules[-1] == "photos flagged blurred or hair are in no part"
    assert split.info.left_out == 25
    parts = pd.concat([part_rows(flagged, split, part) for part in Part])
    assert set(parts["flags"]) == {()}
    assert len(parts) == 95
    # one/0005 is blurred, and its lesion's other photo one/0004 stays
    assert "one/0004" in set(parts["image_id"])
    assert "one/0005" not in set(parts["image_id"])
    assert split.info.certificate is not None
    assert split.info.certificate.passed, split.info.certificate.verdict
    # the promise is part of the hash, even where it changes no row
    assert make_split(flagged, drop=["dark"]).info.sha256 != whole.info.sha256


@pytest.mark.parametrize("fold", range(3))
def test_dropped_photos_are_in_no_fold(flagged: Catalog, fold: int) -> None:
    made = make_split(flagged, folds=3, drop=["blurred"])
    assert made.info.certificate is not None
    assert made.info.certificate.passed
    split = load_split(flagged, f"default:{fold}")
    parts = pd.concat([part_rows(flagged, split, part) for part in Part])
    assert len(parts) == 96
    assert not parts["flags"].map(lambda flags: "blurred" in flags).any()


def test_a_source_held_out_loses_what_is_dropped(make_catalog: MakeCatalog) -> None:
    rows = [*lesion_rows("one"), *lesion_rows("two", 60)]
    rows[130]["flags"] = ("hair",)
    split = make_split(make_catalog(rows, lesion_links(rows)), hold_out="two", drop=["hair"])
    table = split.table.set_index("image_id")["part"]
    assert (table == "test").sum() == 59
    assert table["two/0010"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["blured"], "(?s)no quality flag 'blured'.*did you mean 'blurred'"),
        (["unreadable"], "no quality flag 'unreadable'"),
    ],
)
def test_what_cannot_be_dropped(flagged: Catalog, flags: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_split(flagged, drop=flags)


def test_what_was_not_measured_cannot_be_dropped(make_catalog: MakeCatalog) -> None:
    rows = [{**row, "quality_hair": None} for row in lesion_rows()]
    with pytest.raises(InputError, match="quality has not been measured"):
        make_split(make_catalog(rows), drop=["blurred"])


def test_dropping_all_photos_is_refused(make_catalog: MakeCatalog) -> None:
    rows = [{**row, "flags": ("hair",)} for row in lesion_rows()]
    with pytest.raises(InputError, match="no photo with a diagnosis that is not dropped"):
        make_split(make_catalog(rows), drop=["hair"])
