"""Opening a catalog: what is checked, and how it says what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cutis.data.catalog import CATALOG_FILE, Catalog
from cutis.errors import InputError
from cutis.records import CATALOG_SCHEMA, FORMAT_VERSION

MakeCatalog = Callable[..., Catalog]

ROWS = [
    {"image_id": "one/b", "diagnosis": "melanoma", "age": 40.0},
    {"image_id": "one/a", "diagnosis": "melanocytic_nevus", "mask": "/masks/a.png"},
    {"image_id": "one/c", "diagnosis": None},
    {"image_id": "one/d", "diagnosis": "melanoma", "flags": ("unreadable",)},
    {"image_id": "one/e", "diagnosis": "psoriasis", "flags": ("blurred",)},
]


def test_usable_rows(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(ROWS)
    assert list(catalog.usable()["image_id"]) == ["one/a", "one/b", "one/e"]


def test_a_view_leaves_out_what_it_has_no_place_for(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(ROWS, view="ham7")
    assert list(catalog.usable()["image_id"]) == ["one/a", "one/b"]
    assert set(catalog.usable("benign-malignant")["diagnosis"]) == {"benign", "malignant"}


def test_tables_have_the_schema_and_keep_null(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(ROWS)
    table = pq.read_table(catalog.folder / "catalog.parquet")
    assert table.schema.remove_metadata().equals(CATALOG_SCHEMA)
    assert table["age"].to_pylist() == [None, 40.0, None, None, None]
    assert table["flags"].to_pylist() == [[], [], [], ["unreadable"], ["blurred"]]


def test_counts(make_catalog: MakeCatalog) -> None:
    counts = make_catalog(ROWS, [("one/a", "one/b", "same_lesion")]).info.counts
    assert counts.model_dump() == {
        "photos": 5,
        "unreadable": 1,
        "undiagnosed": 1,
        "lesions": 0,
        "diagnoses": {"melanoma": 2, "melanocytic_nevus": 1, "psoriasis": 1},
        "links": {"same_lesion": 1},
        "flags": {"blurred": 1, "unreadable": 1},
    }


@pytest.mark.parametrize(
    ("change", "equal"),
    [
        (lambda rows: rows[::-1], True),
        (lambda rows: [{**row, "path": "/elsewhere"} for row in rows], True),
        (lambda rows: [row | ({"mask": "/b.png"} if "mask" in row else {}) for row in rows], True),
        (lambda rows: [{**row, "mask": None} for row in rows], False),
        (lambda rows: [{**row, "age": 41.0} for row in rows], False),
        (lambda rows: rows[:-1], False),
    ],
)
def test_content_hash(
    make_catalog: MakeCatalog, change: Callable[[list[dict[str, object]]], object], equal: bool
) -> None:
    first = make_catalog(ROWS, name="first")
    second = make_catalog(change(list(ROWS)), name="second")
    assert (first.sha256 == second.sha256) is equal


def test_links_and_view_are_part_of_the_content_hash(make_catalog: MakeCatalog) -> None:
    hashes = {
        make_catalog(ROWS, name="a").sha256,
        make_catalog(ROWS, [("one/a", "one/b", "same_lesion")], name="b").sha256,
        make_catalog(ROWS, [("one/a", "one/b", "same_patient")], name="c").sha256,
        make_catalog(ROWS, name="d", view="ham7").sha256,
    }
    assert len(hashes) == 4


def test_a_missing_folder_and_one_that_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist(.|\n)*cutis import PHOTOS --into"):
        Catalog.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"this folder is not a catalog(.|\n)*catalog\.json"):
        Catalog.open(tmp_path)


@pytest.mark.parametrize("name", ["catalog.parquet", "links.parquet"])
def test_a_changed_byte_is_noticed(make_catalog: MakeCatalog, name: str) -> None:
    path = make_catalog(ROWS).folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"changed or damaged(.|\n)*{name}"):
        Catalog.open(path.parent)
    path.unlink()
    with pytest.raises(InputError, match="changed or damaged"):
        Catalog.open(path.parent)


def test_a_catalog_of_a_later_version_is_refused(make_catalog: MakeCatalog) -> None:
    path = make_catalog(ROWS).folder / CATALOG_FILE
    content = json.loads(path.read_text())
    # Later versions may also have keys that this one does not know.
    path.write_text(json.dumps({**content, "format_version": FORMAT_VERSION + 1, "new": 1}))
    with pytest.raises(InputError, match="a later version of Cutis"):
        Catalog.open(path.parent)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format_version": 1}', '{"format_version": "x"}']
)
def test_a_damaged_catalog_json_is_refused(make_catalog: MakeCatalog, content: str) -> None:
    path = make_catalog(ROWS).folder / CATALOG_FILE
    path.write_text(content)
    with pytest.raises(InputError, match="changed or damaged"):
        Catalog.open(path.parent)


def test_an_interrupted_commit_is_completed(make_catalog: MakeCatalog) -> None:
    old, new = make_catalog(ROWS[:2], name="old"), make_catalog(ROWS, name="new")
    commit = old.folder / ".commit"
    commit.mkdir()
    for name in ("catalog.parquet", "links.parquet", CATALOG_FILE):
        (new.folder / name).rename(commit / name)
    assert len(Catalog.open(old.folder).photos) == len(ROWS)
    assert not commit.exists()
