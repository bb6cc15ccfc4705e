"""What a catalog says of itself: counts, gaps, credits, what is gone from the disk, the page."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cutis.data import overview_page
from cutis.data.batches import decoded_pixels
from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.overview import (
    NOT_KNOWN,
    absent_sources,
    count_disagreements,
    credits,
    describe,
    write_disagreements,
)
from cutis.errors import PhotoError
from cutis.records import Preprocessing

MakeCatalog = Callable[..., Catalog]
Draw = Callable[..., Path]


@pytest.fixture
def catalog(ham: Path, tmp_path: Path, draw: Draw) -> Catalog:
    """HAM10000 in small, and class folders that hold two of its photos, one under another label."""
    folder = tmp_path / "clinic"
    draw(folder / "melanoma" / "copy.jpg", seed=1)
    draw(folder / "melanoma" / "other.jpg", seed=0)
    draw(folder / "nevus" / "own.jpg", seed=500, size=(120, 120))
    folder.joinpath("nevus", "broken.jpg").write_bytes(b"\xff\xd8nothing")
    return import_sources([ham, folder], tmp_path / "catalog").catalog


def test_counts_by_source_and_diagnosis(catalog: Catalog) -> None:
    found = describe(catalog)
    assert found.sources.loc["clinic"].to_dict() == {
        "photos": 4,
        "unreadable": 1,
        "undiagnosed": 0,
        "usable": 2,
    }
    assert found.sources.loc["ham-tiny", "photos"] == 12
    # 15 readable photos; copy and other are HAM's, as are two of HAM's own, of two lesions
    assert found.photographs == 12
    contradicting = int(found.disagreements["photographs"].sum())
    assert len(found.usable) == found.photographs - contradicting
    assert found.diagnoses["all"].sum() == len(found.usable)
    assert found.diagnoses.loc["melanocytic_nevus", "clinic"] == 1


def test_what_is_not_known_by_source(catalog: Catalog) -> None:
    missing = describe(catalog).missing
    assert missing.loc["lesion_id"].to_dict() == {"clinic": 1.0, "ham-tiny": 0.0, "all": 0.25}
    assert missing.loc["patient_id", "all"] == 1.0
    assert missing.loc["diagnosis", "all"] == 0.0
    counts = describe(catalog).counts
    assert counts["modality"].loc["dermoscopic", "all"] == 12
    assert counts["modality"].loc[NOT_KNOWN, "clinic"] == 4
    assert counts["confirmed_by"].loc["histology"].to_dict() == {
        "clinic": 0,
        "ham-tiny": 12,
        "all": 12,
    }


def test_a_view_changes_the_classes(catalog: Catalog) -> None:
    found = describe(catalog, "benign-malignant")
    assert set(found.diagnoses.index) == {"benign", "malignant"}
    assert found.view == "benign-malignant"


def test_credits_name_each_source(catalog: Catalog) -> None:
    ham, clinic = (
        credits(catalog).set_index("source").loc[name] for name in ("ham-tiny", "clinic")
    )
    assert ham["licence"] == "CC BY-NC 4.0"
    assert "Tschandl" in ham["citation"]
    assert clinic["licence"] is None
    assert clinic["citation"] is None
    assert ham["kept"] + clinic["kept"] == len(catalog.usable())
    assert (ham["photos"], clinic["photos"]) == (12, 4)


def test_disagreements_are_counted_and_written(make_catalog: MakeCatalog, tmp_path: Path) -> None:
    rows = [
        {"image_id": "one/a", "diagnosis": "melanoma", "source_label": "mel"},
        {"image_id": "two/a", "source": "two", "diagnosis": "melanocytic_nevus"},
        {"image_id": "one/b", "diagnosis": "melanocytic_nevus", "source_label": "nv"},
        {
            "image_id": "two/b",
            "source": "two",
            "diagnosis": "melanoma",
            "source_label": "MEL, sure",
        },
        {"image_id": "one/c", "diagnosis": "melanocytic_nevus"},
        {"image_id": "two/c", "source": "two", "diagnosis": "blue_nevus"},
    ]
    pairs = [(f"one/{name}", f"two/{name}", "identical_pixels") for name in "abc"]
    found = make_catalog(rows, pairs).merged().disagreements
    counted = count_disagreements(found)
    assert counted[["kind", "diagnoses", "photographs"]].to_numpy().tolist() == [
        ["conflict", "melanocytic_nevus / melanoma", 2],
        ["refinement", "blue_nevus / melanocytic_nevus", 1],
    ]
    write_disagreements(found, tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(newline="") as file:
        first, second, _ = csv.DictReader(file)
    assert first["labels"] == "mel; not known"
    assert second["appearances"] == "one/b; two/b"
    assert second["labels"] == "nv; MEL, sure"
    empty = count_disagreements(found[:0])
    assert list(empty.columns) == list(counted.columns)
    assert empty.empty


def test_a_source_removed_from_disk_is_named(
    catalog: Catalog, ham: Path, tmp_path: Path, draw: Draw
) -> None:
    assert absent_sources(catalog) == ()
    before = catalog.photos
    shutil.move(ham, tmp_path / "gone")
    opened = Catalog.open(catalog.folder)
    (absent,) = describe(opened).absent
    assert (absent.source, absent.photos, absent.missing) == ("ham-tiny", 12, 12)
    assert absent.root == str(ham)
    assert len(opened.usable()) > 0

    # another source may be added meanwhile: what was read of the absent one is not forgotten
    draw(tmp_path / "third" / "melanoma" / "new.jpg", seed=900)
    added = import_sources([tmp_path / "third"], catalog.folder).catalog
    kept = added.photos[added.photos["source"] != "third"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before, check_dtype=False)
    assert added.info.counts.unreadable == 1

    # and it may come back from elsewhere, under its name
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "gone", tmp_path / "elsewhere" / "ham-tiny")
    back = import_sources([tmp_path / "elsewhere" / "ham-tiny"], catalog.folder).catalog
    assert absent_sources(back) == ()


def test_training_on_photos_that_are_gone_says_how_many(
    catalog: Catalog, ham: Path, tmp_path: Path
) -> None:
    shutil.move(ham, tmp_path / "gone")
    rows = catalog.usable()
    paths = [catalog.locate(stored) for stored in rows["path"]]
    gone = sum(not path.is_file() for path in paths)
    message = rf"{gone} of {len(rows)} photos are not on disk(.|\n)*import them again"
    with pytest.raises(PhotoError, match=message):
        decoded_pixels(paths, list(rows["sha256"]), Preprocessing(size=32), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_page_is_one_file_with_a_contact_sheet(
    catalog: Catalog, ham: Path, tmp_path: Path
) -> None:
    (ham / "HAM10000_images_part_1" / "ISIC_0000002.jpg").unlink()
    overview_page.write_page(describe(catalog), tmp_path / "page.html", {})
    page = (tmp_path / "page.html").read_text("utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page)
    # the unlinked photo has no thumbnail, and is named where it would stand
    assert page.count("<img ") == len(describe(catalog).usable) - 1
    assert "the photo is missing" in page
    for text in ("ham-tiny/ISIC_0000004", "CC BY-NC 4.0", "Melanoma (", "1 of 12 photos"):
        assert text in page


def test_the_contact_sheet_is_capped_and_shows_every_source(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(overview_page, "SHOWN", 2)
    overview_page.write_page(describe(catalog), tmp_path / "page.html", {})
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<img ") == 2 * describe(catalog).usable["diagnosis"].nunique()
    assert "clinic/nevus/own" in page


def test_names_are_escaped(make_catalog: MakeCatalog, tmp_path: Path) -> None:
    rows = [{"image_id": "one/<script>alert(1)</script>", "diagnosis": "melanoma"}]
    overview_page.write_page(describe(make_catalog(rows)), tmp_path / "page.html", {})
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_an_empty_catalog_is_described(make_catalog: MakeCatalog, tmp_path: Path) -> None:
    catalog = make_catalog([{"image_id": "one/a", "diagnosis": None}])
    found = describe(catalog)
    assert (found.photographs, len(found.usable)) == (1, 0)
    overview_page.write_page(found, tmp_path / "page.html", {})
    assert "1 photos of 1 sources" in (tmp_path / "page.html").read_text("utf-8")
