"""Splits that keep the parts of a smaller catalog's split."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, make_split, part_rows
from cutis.errors import InputError
from cutis.records import Part

MakeCatalog = Callable[..., Catalog]
Row = dict[str, object]


def rows_of(source: str, photos: int) -> list[Row]:
    return [
        {
            "image_id": f"{source}/{number:03d}",
            "source": source,
            "diagnosis": "melanoma" if number % 2 else "melanocytic_nevus",
        }
        for number in range(photos)
    ]


@pytest.fixture
def base(make_catalog: MakeCatalog) -> Catalog:
    catalog = make_catalog(rows_of("one", 40), [])
    make_split(catalog)
    return catalog


def members(catalog: Catalog, part: Part, name: str = "default") -> list[str]:
    return sorted(part_rows(catalog, load_split(catalog, name), part)["image_id"])


def folder_of(catalog: Catalog) -> Path:
    return catalog.folder / "splits" / "default"


def test_parts_stay_and_the_rest_trains_unless_it_belongs_to_judged_photos(
    base: Catalog, make_catalog: MakeCatalog
) -> None:
    train, validation, test = (members(base, part) for part in Part)
    larger = make_catalog(
        rows_of("one", 40) + rows_of("two", 8),
        [
            (test[0], "two/000", "same_photograph"),
            (validation[0], "two/001", "same_photograph"),
            (train[0], "two/002", "same_photograph"),
            # only the second source shows that a photo that trained belongs to a judged one
            (test[1], "two/003", "same_photograph"),
            (train[1], "two/003", "same_photograph"),
            (test[2], "two/004", "same_photograph"),
            (validation[1], "two/004", "same_photograph"),
        ],
        "larger",
    )
    split = make_split(larger, name="more", extend=folder_of(base))
    assert members(larger, Part.TEST, "more") == test
    assert members(larger, Part.VALIDATION, "more") == sorted({*validation} - {validation[1]})
    added = {"two/002", "two/005", "two/006", "two/007"}
    assert members(larger, Part.TRAIN, "more") == sorted({*train, *added} - {train[1]})
    assert split.info.left_out == 6
    assert split.info.extends == load_split(base).info.sha256
    assert split.info.shares is None
    assert split.info.certificate is not None
    assert [c.name for c in split.info.certificate.checks if c.passed is False] == []


def test_what_the_smaller_split_left_out_stays_out(make_catalog: MakeCatalog) -> None:
    rows = rows_of("one", 40)
    for row in rows:
        row["quality_hair"] = 0.0
    rows[0]["flags"] = ("blurred",)
    small = make_catalog(rows, [])
    make_split(small, drop=["blurred"])
    larger = make_catalog(rows + rows_of("two", 4), [], "larger")
    make_split(larger, name="more", extend=folder_of(small))
    assert "one/000" not in members(larger, Part.TRAIN, "more")
    assert "two/000" in members(larger, Part.TRAIN, "more")


def test_a_judged_photo_that_is_missing_is_named(base: Catalog, make_catalog: MakeCatalog) -> None:
    gone = members(base, Part.TEST)[0]
    rows = [row for row in rows_of("one", 40) if row["image_id"] != gone]
    larger = make_catalog(rows + rows_of("two", 4), [], "larger")
    with pytest.raises(InputError, match="1 photos that the split judges") as caught:
        make_split(larger, extend=folder_of(base))
    assert gone in str(caught.value)


def test_refuses_what_is_no_base(base: Catalog, make_catalog: MakeCatalog) -> None:
    larger = make_catalog(rows_of("one", 40), [], "larger")
    with pytest.raises(InputError, match="there is no such split"):
        make_split(larger, extend=base.folder)
    with pytest.raises(InputError, match="dealt in another way"):
        make_split(larger, extend=folder_of(base), folds=3)
    make_split(base, name="leaky", unsafe_by_image=True)
    with pytest.raises(InputError, match="does not leak"):
        make_split(larger, extend=base.folder / "splits" / "leaky")
    assert not (larger.folder / "splits").exists()
