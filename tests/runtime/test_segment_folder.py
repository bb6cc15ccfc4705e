"""Segmenting folders: every photo its files and row, nothing overwritten, resumed, in order."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.errors import InputError
from cutis.metrics.lesion_measures import measure_lesion
from cutis.records import SegmenterInfo
from cutis.runtime import Segmenter, segment_folder, segment_to_folder
from cutis.runtime.overlay import LONGEST_SIDE, draw_overlay
from cutis.runtime.photos import name_photos
from cutis.runtime.segmenter import Segmentation

from .conftest import record_files, with_disk

SIZES = {"a/one.jpg": (60, 80), "a/two.png": (90, 50), "b/one.jpg": (64, 64), "three.jpg": (40, 70)}


@pytest.fixture
def segmenter(segmenter_bundle: Path) -> Segmenter:
    return Segmenter.load(segmenter_bundle, threads=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos of disks in two folders, with one name in both."""
    place = tmp_path / "photos"
    for name, (height, width) in SIZES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(with_disk(height, width)).save(path)
    return place


def read(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "measures.csv", index_col="name", dtype={"name": str})


def files(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def expected_files(*names: str) -> set[str]:
    return {"measures.csv"} | {name + end for name in names for end in (".png", "-overlay.jpg")}


def interrupt_at(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Path]:
    """Stops at the photo of that name; the list gets the photos that are worked on."""
    seen: list[Path] = []
    segment = Segmenter.segment

    def stopped(self: Segmenter, photo: Path | bytes) -> Segmentation:
        assert isinstance(photo, Path)
        if photo.stem == name:
            raise KeyboardInterrupt
        seen.append(photo)
        return segment(self, photo)

    monkeypatch.setattr(Segmenter, "segment", stopped)
    return seen


def test_every_photo_gets_its_files_and_its_row(
    segmenter: Segmenter, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    summary = segment_to_folder(segmenter, [folder], out)
    assert (summary.photos, summary.unreadable, summary.resumed) == (4, 0, 0)
    assert summary.fallbacks == {}
    assert files(out) == expected_files("a/one", "a/two", "b/one", "three")
    table = read(out)
    assert table["path"].tolist() == [str(folder / name) for name in sorted(SIZES)]
    for photo, (height, width) in SIZES.items():
        name = photo.rpartition(".")[0]
        with Image.open(out / f"{name}.png") as image:
            assert image.mode == "L"
            written = np.asarray(image)
        assert set(np.unique(written)) == {0, 255}
        found = segmenter.segment(folder / photo)
        assert (written == np.where(found.mask, 255, 0)).all()
        assert (table["height"][name], table["width"][name]) == (height, width)
        measured = measure_lesion(found.rgb, found.mask)
        assert measured is not None
        assert table["asymmetry_larger"][name] == pytest.approx(measured.asymmetry[1], abs=1e-6)
        assert table["area_share"][name] == pytest.approx(measured.area_share, rel=1e-5)
        assert table["colours"][name].split() == list(measured.colours.present)
        assert table["share_black"][name] == pytest.approx(measured.colours.shares["black"])
        with Image.open(out / f"{name}-overlay.jpg") as image:
            assert image.size == (width, height)


def test_names_that_repeat_are_numbered(folder: Path, tmp_path: Path) -> None:
    twin = folder / "a" / "ONE.png"
    shutil.copy(folder / "a" / "two.png", twin)
    direct = tmp_path / "three.tar.jpg"
    shutil.copy(folder / "three.jpg", direct)
    again = tmp_path / "other"
    shutil.copytree(folder, again)
    names = name_photos([direct, folder, again, folder / "three.jpg"])
    assert [*names.values()][:6] == ["three.tar", "a/ONE", "a/one-2", "a/two", "b/one", "three"]
    assert [*names.values()][6:] == ["a/ONE-3", "a/one-4", "a/two-2", "b/one-2", "three-2"]


def test_a_number_that_is_taken_is_passed_over(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("x.jpg", "x-2.jpg", "x.png")]
    for path in paths:
        path.touch()
    assert [*name_photos(paths).values()] == ["x", "x-2", "x-3"]


def test_bad_photos_and_empty_masks_have_rows(
    segmenter: Segmenter, folder: Path, tmp_path: Path
) -> None:
    (folder / "a" / "one.jpg").write_text("a text")
    Image.fromarray(np.full((30, 40, 3), 255, np.uint8)).save(folder / "b" / "white.png")
    out = tmp_path / "out"
    summary = segment_to_folder(segmenter, [folder], out)
    assert (summary.photos, summary.unreadable) == (5, 1)
    assert summary.fallbacks == {"empty": 1}
    assert files(out) == expected_files("a/two", "b/one", "b/white", "three")
    table = read(out)
    assert table["error"].dropna().to_dict() == {"a/one": "this is not a photo"}
    assert np.isnan(table["width"]["a/one"])
    assert table["fallback"].dropna().to_dict() == {"b/white": "empty"}
    assert (table["pieces"]["b/white"], table["area_share"]["b/white"]) == (0, 0)
    assert np.isnan(table["compactness"]["b/white"])


def test_interrupted_work_goes_on(
    segmenter: Segmenter, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    segment_to_folder(segmenter, [folder], whole)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "three")
        with pytest.raises(KeyboardInterrupt):
            segment_to_folder(segmenter, [folder], out, part_rows=2)
    assert not (out / "measures.csv").exists()
    seen = interrupt_at(monkeypatch, "nothing")
    summary = segment_to_folder(segmenter, [folder], out, part_rows=2)
    assert summary.resumed == 2
    assert sorted(path.name for path in seen) == ["one.jpg", "three.jpg"]
    assert files(out) == files(whole)
    for name in files(whole):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


def test_another_segmenter_starts_anew(
    segmenter: Segmenter,
    segmenter_bundle: Path,
    segmenter_info: SegmenterInfo,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_at(patch, "three")
        with pytest.raises(KeyboardInterrupt):
            segment_to_folder(segmenter, [folder], out, part_rows=2)
    update = segmenter_info.model_copy(update={"threshold": 0.9999999})
    record_files(segmenter_bundle, None, update)
    summary = segment_to_folder(Segmenter.load(segmenter_bundle), [folder], out, part_rows=2)
    assert (summary.resumed, summary.fallbacks) == (0, {})


@pytest.mark.parametrize("unfinished", [None, 1, 2])
def test_nothing_of_older_work_stays(
    segmenter: Segmenter,
    segmenter_bundle: Path,
    segmenter_info: SegmenterInfo,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unfinished: int | None,
) -> None:
    """Of a finished result, of work that ended after a part, and of work that ended within one."""
    out = tmp_path / "out"
    first = tmp_path / "first"
    first.mkdir()
    for number in ("001", "002"):  # a table of nothing but numbers
        shutil.copy(folder / "three.jpg", first / f"{number}.jpg")
    with monkeypatch.context() as patch:
        if unfinished is None:
            segment_to_folder(segmenter, [first], out)
        else:
            interrupt_at(patch, "002")
            with pytest.raises(KeyboardInterrupt):
                segment_to_folder(segmenter, [first], out, part_rows=unfinished)
    assert (out / "001.png").exists()
    update = segmenter_info.model_copy(update={"threshold": 0.9})
    record_files(segmenter_bundle, None, update)
    another = Segmenter.load(segmenter_bundle, threads=2)
    assert segment_to_folder(another, [folder / "b"], out).resumed == 0
    assert files(out) == expected_files("one")


@pytest.mark.parametrize("place", [".", ".commit"])
def test_what_a_kill_left_behind_a_finished_part_costs_nothing(
    segmenter: Segmenter,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """The note of a part outlived it, or the part was decided on and not yet in its place."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    segment_to_folder(segmenter, [folder], whole)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "three")
        with pytest.raises(KeyboardInterrupt):
            segment_to_folder(segmenter, [folder], out, part_rows=2)
    partial = out / "measures.csv.partial"
    part = partial / "part-000000.parquet"
    shutil.copy(part, partial / "begun-000000.parquet")
    (partial / place).mkdir(exist_ok=True)
    part.rename(partial / place / part.name)
    assert segment_to_folder(segmenter, [folder], out, part_rows=2).resumed == 2
    assert files(out) == files(whole)
    assert (out / "measures.csv").read_bytes() == (whole / "measures.csv").read_bytes()


def test_the_output_and_the_photos_stay_apart(
    segmenter: Segmenter, folder: Path, tmp_path: Path
) -> None:
    before = files(folder)
    for out in (folder, folder / "masks", tmp_path):
        with pytest.raises(InputError, match="lie in one another"):
            segment_to_folder(segmenter, [folder], out)
    with pytest.raises(InputError, match="lie in one another"):
        segment_to_folder(segmenter, [folder / "a" / "two.png"], folder / "a")
    assert files(folder) == before


def test_a_folder_with_other_content_is_left_alone(
    segmenter: Segmenter, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something else"):
        segment_to_folder(segmenter, [folder], out)
    (out / "measures.csv").write_text("name,height\nme,180\n")
    with pytest.raises(InputError, match=r"measures\.csv of the output folder is something else"):
        segment_to_folder(segmenter, [folder], out)
    assert files(out) == {"diary.txt", "measures.csv"}


def test_an_edited_table_removes_nothing_elsewhere(
    segmenter: Segmenter, folder: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "out", tmp_path / "dear.png"
    segment_to_folder(segmenter, [folder], out)
    other.touch()
    table = out / "measures.csv"
    table.write_text(table.read_text().replace('"three"', '"../dear"'))
    segment_to_folder(segmenter, [folder], out)
    assert other.exists()


def test_a_full_disk_is_one_message(
    segmenter: Segmenter, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segment_folder, "_save", full)
        with pytest.raises(InputError, match="the disk is full"):
            segment_to_folder(segmenter, [folder], tmp_path / "out")
    assert segment_to_folder(segmenter, [folder], tmp_path / "out").photos == 4


def test_the_overlay_outlines_the_lesion_and_dims_the_rest() -> None:
    rgb = with_disk(100, 120)
    mask = rgb[..., 0] < 100
    before = rgb.copy()
    drawn = draw_overlay(rgb, mask)
    assert (rgb == before).all()
    assert (drawn[50, 60] == rgb[50, 60]).all()  # the middle
    np.testing.assert_allclose(drawn[2, 2], rgb[2, 2] * 0.75, atol=1)
    line = (drawn == (240, 228, 66)).all(axis=2)
    rows, columns = np.nonzero(line)
    away = np.hypot(rows - 49.5, columns - 59.5)
    assert len(away) > 100
    assert np.abs(away - 30).max() < 2


def test_the_overlay_of_a_large_photo_is_smaller() -> None:
    rgb = with_disk(LONGEST_SIDE // 2 + 50, 2 * LONGEST_SIDE)
    drawn = draw_overlay(rgb, rgb[..., 0] < 100)
    assert drawn.shape == (round((LONGEST_SIDE // 2 + 50) / 2), LONGEST_SIDE, 3)
    assert (drawn[drawn.shape[0] // 2, LONGEST_SIDE // 2] == (70, 40, 30)).all()


def test_columns_say_what_they_hold() -> None:
    rgb = with_disk(60, 80)
    mask = rgb[..., 0] < 100
    mask[:30, :40] = False
    mask[2:5, 2:5] = True
    row = segment_folder._measures(measure_lesion(rgb, mask))
    found = measure_lesion(rgb, mask)
    assert found is not None
    assert row["asymmetry_smaller"] == found.asymmetry[0] < 0.1 < found.asymmetry[1]
    assert row["asymmetry_larger"] == found.asymmetry[1]
    assert (row["pieces"], row["touches_frame"]) == (2, False)
    assert row["largest_share"] == found.largest_share < 1
    assert row["solidity"] == found.solidity < 0.9 < 1 < found.compactness == row["compactness"]
    assert row["longest_diameter"] == found.longest_diameter > found.equal_area_diameter
    assert row["equal_area_diameter"] == found.equal_area_diameter
    assert set(row) == set(segment_folder.SCHEMA.names) - {
        "path", "name", "width", "height", "fallback", "error"
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["none", "all", "corner"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (30, 40)])
def test_odd_masks_have_rows(size: tuple[int, int], kind: str) -> None:
    rgb = with_disk(*size)
    mask = np.full(size, kind == "all")
    mask[0, 0] |= kind == "corner"
    assert draw_overlay(rgb, mask).shape == rgb.shape
    row = segment_folder._measures(measure_lesion(rgb, mask))
    assert (row["pieces"] == 0) == (kind == "none")
    assert set(row) <= set(segment_folder.SCHEMA.names)
