"""Splits: what they promise, when they refuse, and what is written."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cutis.data.catalog import Catalog
from cutis.data.splits import (
    load_split,
    make_split,
    part_rows,
    record_test_use,
    split_names,
    test_uses,
)
from cutis.errors import InputError
from cutis.records import FORMAT_VERSION, Part

MakeCatalog = Callable[..., Catalog]


def rows_of(source: str = "one", photos: int = 120, start: int = 0) -> list[dict[str, object]]:
    """Photos of which every third shows the lesion of the one before."""
    rows = []
    for number in range(start, start + photos):
        lesion = number - 1 if number % 3 == 2 else number
        diagnosis = "melanoma" if lesion % 4 == 0 else "melanocytic_nevus"
        rows.append(
            {
                "image_id": f"{source}/{number:04d}",
                "source": source,
                "diagnosis": diagnosis,
                "lesion_id": f"L{lesion}",
            }
        )
    return rows


def lesion_links(rows: list[dict[str, object]]) -> list[tuple[str, str, str]]:
    table = pd.DataFrame(rows)
    return [
        (ids.iloc[0], other, "same_lesion")
        for _, ids in table.groupby(["source", "lesion_id"])["image_id"]
        for other in ids.iloc[1:]
    ]


@pytest.fixture
def catalog(make_catalog: MakeCatalog) -> Catalog:
    rows = rows_of()
    return make_catalog(rows, lesion_links(rows))


@pytest.fixture
def two_sources(make_catalog: MakeCatalog) -> Catalog:
    rows = [*rows_of("one"), *rows_of("two", 60)]
    copies = [
        ("one/0000", "two/0000", "identical_bytes"),
        ("one/0003", "two/0003", "same_photograph"),
    ]
    return make_catalog(rows, [*lesion_links(rows), *copies])


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()}


def test_a_split_keeps_lesions_together_and_shares(catalog: Catalog) -> None:
    split = make_split(catalog)
    rows = catalog.usable().merge(split.table, on="image_id")
    assert len(rows) == 120
    assert rows.groupby("lesion_id")["part"].nunique().max() == 1
    assert list(split.info.counts) == ["train", "validation", "test"]
    wanted = {"train": (63, 21), "validation": (13.5, 4.5), "test": (13.5, 4.5)}
    for part, (nevi, melanomas) in wanted.items():
        counts = split.info.counts[part]
        assert counts["melanocytic_nevus"] == pytest.approx(nevi, abs=1)
        assert counts["melanoma"] == pytest.approx(melanomas, abs=1)
    assert sum(split.info.groups.values()) == 80
    assert not split.info.unsafe
    assert split.info.certificate is not None
    assert split.info.certificate.passed


def test_a_split_is_read_back_as_it_was_made(catalog: Catalog) -> None:
    made = make_split(catalog, name="mine", seed=3)
    read = load_split(catalog, "mine")
    assert read.info == made.info
    assert read.table["part"].tolist() == made.table["part"].tolist()
    assert split_names(catalog) == ["mine"]


def test_making_a_split_again_changes_no_file(catalog: Catalog) -> None:
    made = make_split(catalog)
    folder = catalog.folder / "splits" / "default"
    before = files(folder)
    assert make_split(catalog).info == made.info
    assert files(folder) == before
    assert make_split(catalog, seed=1).info.sha256 != made.info.sha256


def test_the_order_of_the_catalog_plays_no_role(make_catalog: MakeCatalog) -> None:
    rows = rows_of()
    first = make_split(make_catalog(rows, lesion_links(rows), name="a"))
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    second = make_split(make_catalog(mixed, lesion_links(rows)[::-1], name="b"))
    assert first.info == second.info


def test_a_photo_without_diagnosis_still_connects_two_others(make_catalog: MakeCatalog) -> None:
    rows = rows_of(photos=40)
    bridge = {"image_id": "one/bridge", "source": "one"}
    chain = [("one/0000", "one/bridge", "same_patient"), ("one/0039", "one/bridge", "same_patient")]
    catalog = make_catalog([*rows, bridge], chain)
    for seed in range(4):
        table = make_split(catalog, seed=seed).table.set_index("image_id")
        assert "one/bridge" not in table.index
        assert table.loc["one/0000", "part"] == table.loc["one/0039", "part"]
        assert table.loc["one/0039", "group"] == "one/0000"


def test_part_rows(catalog: Catalog) -> None:
    split = make_split(catalog)
    parts = {part: part_rows(catalog, split, part) for part in Part}
    names = pd.concat(parts.values())["image_id"]
    assert names.is_unique
    assert len(names) == 120
    assert parts[Part.TEST]["image_id"].is_monotonic_increasing
    second = parts[Part.TRAIN].set_index("image_id").filter(like="2", axis=0)
    assert (second["group"] <= second.index).all()


def test_part_rows_through_another_view(catalog: Catalog) -> None:
    rows = part_rows(catalog, make_split(catalog), Part.TRAIN, view="benign-malignant")
    assert rows["diagnosis"].value_counts().to_dict() == {"benign": 63, "malignant": 21}


def test_folds(catalog: Catalog) -> None:
    split = make_split(catalog, folds=4)
    assert split.table["part"].isna().all()
    rows = catalog.usable().merge(load_split(catalog).table, on="image_id")
    assert rows.groupby("lesion_id")["fold"].nunique().max() == 1
    assert rows.groupby("fold").size().between(29, 31).all()
    fold_3 = load_split(catalog, "default:3")
    test, validation, train = (
        part_rows(catalog, fold_3, part) for part in (Part.TEST, Part.VALIDATION, Part.TRAIN)
    )
    assert fold_3.info.sha256 != load_split(catalog, "default:2").info.sha256
    assert set(test["image_id"]) == set(rows.loc[rows["fold"] == 3, "image_id"])
    assert set(validation["image_id"]) == set(rows.loc[rows["fold"] == 0, "image_id"])
    assert len(test) + len(validation) + len(train) == 120
    assert split.info.certificate is not None
    assert split.info.certificate.passed
    with pytest.raises(InputError, match="default:0 … default:3"):
        part_rows(catalog, split, Part.TEST)
    with pytest.raises(InputError, match="has no fold '4'"):
        load_split(catalog, "default:4")
    make_split(catalog, name="parts")
    with pytest.raises(InputError, match="give its name alone"):
        load_split(catalog, "parts:0")


def test_a_source_held_out_is_the_test_part(two_sources: Catalog) -> None:
    split = make_split(two_sources, hold_out="two")
    rows = two_sources.usable().merge(split.table, on="image_id")
    assert set(rows.loc[rows["part"] == "test", "source"]) == {"two"}
    assert (rows["part"] == "test").sum() == 60
    left_out = rows.loc[rows["part"].isna(), "image_id"]
    assert sorted(left_out) == ["one/0000", "one/0003"]
    assert split.info.left_out == 2
    train, validation = ((rows["part"] == part).sum() for part in ("train", "validation"))
    assert train + validation == 118
    assert train / validation == pytest.approx(70 / 15, rel=0.15)
    assert split.info.certificate is not None
    assert split.info.certificate.passed


def test_what_is_left_of_a_rare_diagnosis_goes_to_train(make_catalog: MakeCatalog) -> None:
    rare = [
        {"image_id": "one/rare", "source": "one", "diagnosis": "dermatofibroma"},
        {"image_id": "two/rare", "source": "two", "diagnosis": "dermatofibroma"},
    ]
    split = make_split(make_catalog([*rows_of("one"), *rows_of("two"), *rare]), hold_out="two")
    assert split.info.counts["train"]["dermatofibroma"] == 1
    assert split.info.warnings == ("'dermatofibroma' has no photo in validation",)


def test_sources_are_shared_out_too(two_sources: Catalog) -> None:
    rows = two_sources.usable().merge(make_split(two_sources).table, on="image_id")
    shares = pd.crosstab(rows["source"], rows["part"], normalize="index")
    assert shares["train"].between(0.66, 0.74).all()
    assert shares["test"].between(0.11, 0.19).all()


def test_an_unsafe_split_says_so(catalog: Catalog) -> None:
    split = make_split(catalog, unsafe_by_image=True)
    rows = catalog.usable().merge(split.table, on="image_id")
    assert rows.groupby("lesion_id")["part"].nunique().max() > 1
    # The true groups stay in the table, so that intervals can still be resampled by them.
    assert rows.groupby("lesion_id")["group"].nunique().max() == 1
    assert load_split(catalog).info.unsafe
    assert "unsafe" in split.info.rules[0]
    assert split.info.certificate is not None
    assert not split.info.certificate.passed


def test_a_part_without_a_share_stays_empty(catalog: Catalog) -> None:
    split = make_split(catalog, shares=(80, 20, 0))
    assert set(split.table["part"]) == {"train", "validation"}
    assert part_rows(catalog, split, Part.TEST).empty


def test_a_diagnosis_with_one_group_is_refused(make_catalog: MakeCatalog) -> None:
    rows = rows_of()
    rare = [
        {"image_id": f"one/x{i}", "source": "one", "diagnosis": "dermatofibroma", "lesion_id": "X"}
        for i in range(3)
    ]
    catalog = make_catalog([*rows, *rare], lesion_links([*rows, *rare]))
    message = r"single group(.|\n)*'dermatofibroma' \(3 photos\)"
    with pytest.raises(InputError, match=message) as caught:
        make_split(catalog)
    assert "--view" in str(caught.value)
    assert not (catalog.folder / "splits").exists()


def test_a_diagnosis_that_misses_a_part_is_noted(make_catalog: MakeCatalog) -> None:
    rare = [{"image_id": f"one/x{i}", "diagnosis": "dermatofibroma"} for i in range(2)]
    split = make_split(make_catalog([*rows_of(), *rare]))
    assert split.info.warnings == ("'dermatofibroma' has no photo in validation",)


def test_no_photo_with_a_diagnosis(make_catalog: MakeCatalog) -> None:
    with pytest.raises(InputError, match="no photo with a diagnosis"):
        make_split(make_catalog([{"image_id": "one/a"}]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": (70, 15, 10)}, "70/15/10 are not possible"),
        ({"shares": (110, -5, -5)}, "are not possible"),
        ({"shares": (0, 50, 50)}, "are not possible"),
        ({"folds": 1}, "1 folds are not possible"),
        ({"folds": 3, "hold_out": "two"}, "exclude each other"),
        ({"hold_out": "tow"}, r"'tow' cannot be held out(.|\n)*'two'\?"),
        ({"name": "../x"}, r"'../x' cannot name a split"),
    ],
)
def test_wrong_options(two_sources: Catalog, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_split(two_sources, **options)  # type: ignore[arg-type]


def test_the_only_source_cannot_be_held_out(catalog: Catalog) -> None:
    with pytest.raises(InputError, match="one of several sources"):
        make_split(catalog, hold_out="one")


def test_a_split_of_an_older_catalog_is_refused(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(rows_of())
    split = make_split(catalog)
    grown = make_catalog(rows_of(photos=121))
    assert load_split(grown).info == split.info
    with pytest.raises(InputError, match=r"has changed since the split(.|\n)*cutis split"):
        part_rows(grown, split, Part.TRAIN)


def test_a_missing_split_names_those_there_are(catalog: Catalog) -> None:
    with pytest.raises(InputError, match="there is none yet"):
        load_split(catalog)
    make_split(catalog, name="seed-1")
    with pytest.raises(InputError, match=r"one of seed-1(.|\n)*'seed-1'\?"):
        load_split(catalog, "seed1")


def test_a_changed_split_is_noticed(catalog: Catalog) -> None:
    folder = catalog.folder / "splits" / "default"
    make_split(catalog, name="other", seed=1)
    make_split(catalog)
    (catalog.folder / "splits" / "other" / "split.parquet").rename(folder / "split.parquet")
    with pytest.raises(InputError, match="the split has been changed or damaged"):
        load_split(catalog)
    (folder / "split.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(InputError, match="the split has been changed or damaged"):
        load_split(catalog)


def test_a_split_of_a_later_version_is_refused(catalog: Catalog) -> None:
    make_split(catalog)
    path = catalog.folder / "splits" / "default" / "split.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format_version": FORMAT_VERSION + 1}))
    with pytest.raises(InputError, match="a later version of Cutis"):
        load_split(catalog)


def test_a_full_disk_leaves_the_old_split(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_split(catalog)
    before = files(catalog.folder / "splits" / "default")

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cutis.data.splits.pq.write_table", full)
    with pytest.raises(InputError, match="the disk is full"):
        make_split(catalog, seed=1)
    assert files(catalog.folder / "splits" / "default") == before


def test_uses_of_the_test_part_are_counted_by_split(catalog: Catalog) -> None:
    split = make_split(catalog)
    assert test_uses(catalog, split) == 0
    assert record_test_use(catalog, split, "run-1") == 1
    assert record_test_use(catalog, split, "run-2") == 2
    assert test_uses(catalog, load_split(catalog)) == 2
    # Another split under the same name has a test part of its own; going back does not reset.
    assert test_uses(catalog, make_split(catalog, seed=1)) == 0
    assert test_uses(catalog, make_split(catalog)) == 2
    uses = json.loads((catalog.folder / "splits" / "default" / "uses.json").read_text())
    assert [use["what"] for use in uses] == ["run-1", "run-2"]
