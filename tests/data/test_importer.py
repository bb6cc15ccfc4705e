"""Import: what ends up in the catalog, and that nothing is lost when something goes wrong."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis import preprocessing
from cutis.data import copying, scan
from cutis.data.catalog import Catalog
from cutis.data.flags import UNREADABLE
from cutis.data.importer import import_sources, source_name
from cutis.errors import InputError

Draw = Callable[..., Path]


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time of change and content of every file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_rows_links_and_counts(ham: Path, tmp_path: Path) -> None:
    summary = import_sources([ham], tmp_path / "catalog")
    catalog = summary.catalog
    assert summary.changed
    assert summary.warnings == ()
    row = catalog.photos.set_index("image_id").loc["ham-tiny/ISIC_0000009"]
    assert (row["source"], row["diagnosis"], row["lesion_id"]) == (
        "ham-tiny",
        "melanoma",
        "HAM_0000001",
    )
    assert (row["width"], row["height"], row["flags"]) == (96, 72, ())
    assert catalog.locate(row["path"]).read_bytes()
    assert catalog.locate(row["mask"]).name == "ISIC_0000009_segmentation.png"
    links = catalog.links.groupby("kind").size().to_dict()
    assert links.pop("same_lesion") == 4
    assert links == {"identical_bytes": 1}
    exact = catalog.links[catalog.links["kind"] == "identical_bytes"].iloc[0]
    assert (exact["image_id_a"], exact["image_id_b"]) == (
        "ham-tiny/ISIC_0000003",
        "ham-tiny/ISIC_0000009",
    )
    counts = catalog.info.counts
    assert (counts.photos, counts.lesions, counts.unreadable) == (12, 8, 0)
    assert counts.diagnoses == {"melanocytic_nevus": 6, "melanoma": 6}
    source = catalog.info.sources[0]
    assert source.label_map == {"mel": "melanoma", "nv": "melanocytic_nevus"}
    assert source.licence == "CC BY-NC 4.0"


def test_photos_of_one_patient_are_linked_within_their_source(tmp_path: Path, draw: Draw) -> None:
    for source in ("one", "two"):
        for number in range(3):
            draw(tmp_path / source / f"{number}.jpg", 10 * len(source) + number + ord(source[0]))
        (tmp_path / source / "t.csv").write_text("f,dx,who\n0,mel,p\n1,mel,p\n2,nv,p\n")
    columns = {"image": "f", "diagnosis": "dx", "patient_id": "who"}
    sources = [tmp_path / "one", tmp_path / "two"]
    links = import_sources(
        sources, tmp_path / "catalog", format="table", columns=columns
    ).catalog.links
    pairs = links.loc[links["kind"] == "same_patient", ["image_id_a", "image_id_b"]]
    assert sorted(map(tuple, pairs.to_numpy())) == [
        ("one/0", "one/1"),
        ("one/0", "one/2"),
        ("two/0", "two/1"),
        ("two/0", "two/2"),
    ]


def test_importing_again_changes_no_file(ham: Path, classes: Path, tmp_path: Path) -> None:
    into = tmp_path / "catalog"
    first = import_sources([ham, classes], into)
    before = state(into)
    again = import_sources([classes, ham], into)
    assert not again.changed
    assert again.catalog.sha256 == first.catalog.sha256
    assert state(into) == before


def test_a_source_is_added_and_replaced(
    ham: Path, classes: Path, tmp_path: Path, draw: Draw
) -> None:
    into = tmp_path / "catalog"
    import_sources([ham], into)
    both = import_sources([classes], into).catalog
    assert both.photos["source"].value_counts().to_dict() == {"ham-tiny": 12, "clinic-photos": 6}
    assert [source.name for source in both.info.sources] == ["clinic-photos", "ham-tiny"]
    (classes / "nevus" / "0.jpg").unlink()
    draw(classes / "nevus" / "new.png", 77)
    replaced = import_sources([classes], into).catalog
    names = set(replaced.photos["image_id"])
    assert "clinic-photos/nevus/new" in names
    assert "clinic-photos/nevus/0" not in names
    assert len(names) == 18


def test_duplicates_are_linked_across_sources(ham: Path, classes: Path, tmp_path: Path) -> None:
    into = tmp_path / "catalog"
    import_sources([ham], into)
    shutil.copy(ham / "HAM10000_images_part_1" / "ISIC_0000000.jpg", classes / "nevus" / "x.jpg")
    links = import_sources([classes], into).catalog.links
    exact = links[links["kind"] == "identical_bytes"]
    assert ("clinic-photos/nevus/x", "ham-tiny/ISIC_0000000") in set(
        zip(exact["image_id_a"], exact["image_id_b"], strict=True)
    )


def test_two_sources_of_one_name_are_refused_unless_one_has_moved(
    classes: Path, tmp_path: Path
) -> None:
    into = tmp_path / "catalog"
    other = tmp_path / "elsewhere" / classes.name
    shutil.copytree(classes, other)
    with pytest.raises(InputError, match="two sources are called 'clinic-photos'"):
        import_sources([classes, other], into)
    import_sources([classes], into)
    with pytest.raises(InputError, match="rename one of the folders"):
        import_sources([other], into)
    shutil.rmtree(classes)
    moved = import_sources([other], into).catalog
    assert moved.photos["path"].str.startswith(str(other)).all()


def test_content_hash_does_not_depend_on_the_place(classes: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / classes.name
    shutil.copytree(classes, other)
    stays = import_sources([classes], tmp_path / "a").catalog
    copied = import_sources([other], tmp_path / "b", copy=True).catalog
    assert stays.sha256 == copied.sha256
    (other / "nevus" / "0.jpg").write_bytes((other / "nevus" / "1.jpg").read_bytes())
    assert import_sources([other], tmp_path / "c").catalog.sha256 != stays.sha256


def test_copy_makes_the_catalog_independent_of_its_sources(ham: Path, tmp_path: Path) -> None:
    into = tmp_path / "catalog"
    import_sources([ham], into, copy=True)
    before = state(into)
    assert not import_sources([ham], into, copy=True).changed
    assert state(into) == before
    shutil.rmtree(ham)
    moved = into.rename(tmp_path / "moved")
    catalog = Catalog.open(moved)
    row = catalog.photos.iloc[0]
    assert row["path"] == "photos/ham-tiny/ISIC_0000000.jpg"
    assert row["mask"] == "photos/ham-tiny/ISIC_0000000_segmentation.png"
    assert catalog.locate(row["path"]).is_file()
    assert catalog.locate(row["mask"]).is_file()


def test_unknown_labels_are_all_named_with_the_lines_to_add(
    classes: Path, tmp_path: Path, draw: Draw
) -> None:
    draw(classes / "melanooma" / "a.jpg", 1)
    draw(classes / "qqq, zzz" / "a.jpg", 2)
    with pytest.raises(InputError) as caught:
        import_sources([classes], tmp_path / "catalog")
    message = str(caught.value)
    assert "2 labels are not known" in message
    assert "'melanooma' (1 photos; nearest: 'melanoma'" in message
    assert "\n    melanooma,melanoma" in message
    assert '\n    "qqq, zzz",DIAGNOSIS' in message
    assert "--map labels.csv" in message
    assert not (tmp_path / "catalog").exists()
    mapping = tmp_path / "labels.csv"
    mapping.write_text('label,diagnosis\nmelanooma,melanoma\n"qqq, zzz",melanocytic_nevus\n')
    catalog = import_sources([classes], tmp_path / "catalog", map_file=mapping).catalog
    assert catalog.info.sources[0].label_map["qqq, zzz"] == "melanocytic_nevus"
    assert catalog.info.counts.diagnoses == {"melanoma": 4, "melanocytic_nevus": 4}


def test_labels_that_say_nothing_give_no_diagnosis(classes: Path, tmp_path: Path) -> None:
    (classes / "nevus").rename(classes / "unclassified")
    summary = import_sources([classes], tmp_path / "catalog")
    assert summary.catalog.info.counts.undiagnosed == 3
    assert len(summary.catalog.usable()) == 3
    assert "3 photos have a label that names no diagnosis" in summary.warnings[0]


def test_unreadable_photos_stay_as_flagged_rows(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nevus = classes / "nevus"
    (nevus / "text.jpg").write_text("this is text")
    (nevus / "empty.jpg").touch()
    whole = (nevus / "0.jpg").read_bytes()
    (nevus / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((100, 100, 3), np.uint8)).save(nevus / "huge.png")
    monkeypatch.setattr(preprocessing, "MAX_PIXELS", 9999)
    summary = import_sources([classes], tmp_path / "catalog")
    photos = summary.catalog.photos.set_index("image_id")
    flagged = photos[photos["flags"].map(lambda flags: UNREADABLE in flags)]
    assert sorted(Path(name).name for name in flagged.index) == [
        "empty",
        "huge",
        "text",
        "truncated",
    ]
    assert flagged[["width", "height", "pixels_sha256"]].isna().all(axis=None)
    assert flagged["sha256"].str.len().eq(64).all()
    assert len(summary.catalog.usable()) == 6
    assert "4 photos cannot be read and are set aside" in summary.warnings[0]
    assert "clinic-photos/nevus/text (this is not a photo)" in summary.warnings[0]


def test_a_photo_without_permission_is_flagged_and_tried_again(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = scan.sha256_file

    def forbidden(path: Path) -> str:
        if path.name == "1.jpg":
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(path)

    into = tmp_path / "catalog"
    monkeypatch.setattr(scan, "sha256_file", forbidden)
    summary = import_sources([classes], into)
    assert summary.catalog.info.counts.unreadable == 2
    assert "(the file cannot be read (Permission denied))" in summary.warnings[0]
    monkeypatch.undo()
    assert import_sources([classes], into).catalog.info.counts.unreadable == 0


def test_a_very_wide_photo_is_read(classes: Path, tmp_path: Path, draw: Draw) -> None:
    draw(classes / "nevus" / "wide.png", 5, size=(20_000, 12))
    catalog = import_sources([classes], tmp_path / "catalog").catalog
    row = catalog.photos.set_index("image_id").loc["clinic-photos/nevus/wide"]
    assert (row["width"], row["height"], row["flags"]) == (20_000, 12, ())


@pytest.mark.parametrize("existing", [True, False])
def test_an_interruption_leaves_the_old_catalog_and_keeps_what_was_read(
    ham: Path,
    classes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    existing: bool,
) -> None:
    into = tmp_path / "catalog"
    if existing:
        import_sources([classes], into)
    before = {name: file for name, file in state(into).items() if not name.startswith(".cache")}
    original = scan.scan_photo
    decoded: list[str] = []

    def interrupted(path: Path, measure: None) -> scan.Scan:
        if path.name == "ISIC_0000007.jpg":
            raise KeyboardInterrupt
        decoded.append(path.name)
        return original(path)

    monkeypatch.setattr(scan, "_BATCH", 4)
    monkeypatch.setattr(scan, "scan_photo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_sources([ham], into)
    after = state(into)
    assert {name: file for name, file in after.items() if not name.startswith(".cache")} == before
    assert [name for name in after if name.startswith(".cache")] == [".cache/scan.sqlite"]
    monkeypatch.undo()
    assert {"ISIC_0000000.jpg", "ISIC_0000003.jpg"} <= set(decoded)
    again: list[str] = []

    def counting(path: Path, measure: None) -> scan.Scan:
        again.append(path.name)
        return original(path)

    monkeypatch.setattr(scan, "scan_photo", counting)
    assert len(import_sources([ham], into).catalog.photos) == (18 if existing else 12)
    # Whole batches are remembered; the one that was interrupted is read again.
    assert sorted(again) == [f"ISIC_{number:07d}.jpg" for number in range(4, 12)]


def test_a_full_disk_leaves_the_old_catalog(
    ham: Path, classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "catalog"
    import_sources([classes], into)
    before = state(into)

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cutis.data.catalog.pq.write_table", full)
    with pytest.raises(InputError, match="the disk is full; nothing was changed"):
        import_sources([ham], into)
    monkeypatch.undo()
    after = state(into)
    assert {k: v for k, v in after.items() if k != ".cache/scan.sqlite"} == {
        k: v for k, v in before.items() if k != ".cache/scan.sqlite"
    }
    assert len(Catalog.open(into).photos) == 6


def test_a_full_disk_while_copying_leaves_no_partial_file(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(origin: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copying.shutil, "copy2", full)
    with pytest.raises(InputError, match="the disk is full"):
        import_sources([classes], tmp_path / "catalog", copy=True)
    assert not [path for path in (tmp_path / "catalog").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda into: (into.mkdir(), (into / "mine.txt").touch()), "holds other files"),
        (lambda into: into.touch(), "the catalog must be a folder"),
    ],
)
def test_what_is_no_catalog_is_not_touched(
    classes: Path, tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    into = tmp_path / "catalog"
    prepare(into)
    with pytest.raises(InputError, match=message):
        import_sources([classes], into)


@pytest.mark.parametrize("url", ["s3://bucket/catalog", "gs:/bucket"])
def test_a_catalog_is_not_made_in_a_storage(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scan, "decode", lambda path: pytest.fail("photos are read"))
    with pytest.raises(InputError, match="a catalog lies in a folder, not in a storage"):
        import_sources([classes], Path(url), copy=True)
    assert [path.name for path in tmp_path.iterdir()] == [classes.name]


def test_a_view_reduces_what_splits_and_training_see(classes: Path, tmp_path: Path) -> None:
    into = tmp_path / "catalog"
    plain = import_sources([classes], into).catalog
    viewed = import_sources([classes], into, view="benign-malignant").catalog
    assert viewed.sha256 != plain.sha256
    assert set(viewed.photos["diagnosis"]) == {"melanoma", "melanocytic_nevus"}
    assert set(viewed.usable()["diagnosis"]) == {"benign", "malignant"}
    kept = import_sources([classes], into).catalog
    assert kept.info.options.view == "benign-malignant"
    with pytest.raises(InputError, match="benign-malignent"):
        import_sources([classes], into, view="benign-malignent")


def test_names_of_sources(tmp_path: Path) -> None:
    folder = tmp_path / "Skin cancer (ISIC), 2.0"
    folder.mkdir()
    assert source_name(folder) == "skin-cancer-isic-2-0"
    table = tmp_path / "PAD meta.csv"
    pd.DataFrame().to_csv(table)
    assert source_name(table) == "pad-meta"


def test_nothing_to_import(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to import"):
        import_sources([], tmp_path / "catalog")
