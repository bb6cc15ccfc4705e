"""The catalog of a bucket is the catalog of the same folder, but for where its photos lie."""

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cutis.cli import run
from cutis.cli.import_photos import import_photos
from cutis.cli.photo_quality import METER
from cutis.cli.predict import predict
from cutis.data import scan
from cutis.data.catalog import Catalog
from cutis.data.certificate import examine, read_subject
from cutis.data.importer import import_sources
from cutis.data.overview import describe
from cutis.data.overview_page import write_page
from cutis.data.splits import make_split
from cutis.errors import InputError
from cutis.scale.stand_in import stand_in
from cutis.scale.storage import read_photo

from .buckets import Bucket
from .layouts import (
    COLUMNS,
    LAYOUTS,
    PHOTOS,
    assert_same_catalog,
    classes,
    draw,
    fetched_table,
    ham,
    import_url,
    scan_urls,
    table,
    url_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own parts


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return ham(tmp_path / "ham-tiny")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_makes_the_catalog_of_its_folder(
    layout: Callable[[Path], Path], tmp_path: Path
) -> None:
    source = layout(tmp_path / "Some photos")
    folder = source if source.is_dir() else source.parent
    tables = layout in (table, fetched_table)
    options = {"format": "table", "columns": COLUMNS} if tables else {}
    import_sources([source], tmp_path / "here", **options)  # type: ignore[arg-type]
    found = import_url(url_of(source), tmp_path / "there", **options)
    assert found.catalog.photos["path"].str.startswith("file:///").all()
    assert_same_catalog(tmp_path / "there", tmp_path / "here", url_of(folder), folder)
    into = [tmp_path / "copied here", tmp_path / "copied there"]
    import_sources([source], into[0], copy=True, **options)  # type: ignore[arg-type]
    import_url(url_of(source), into[1], copy=True, **options)
    assert_same_catalog(into[1], into[0], url_of(folder), folder)


def test_what_was_read_is_read_again_only_when_it_has_changed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into, photo = tmp_path / "catalog", source / "part_0" / "ISIC_0000002.jpg"
    read: list[str] = []
    whole = scan.scan_photo
    monkeypatch.setattr(
        scan,
        "scan_photo",
        lambda *given: read.append("one") or whole(*given),  # type: ignore[func-returns-value]
    )
    import_url(url_of(source), into)
    before = {path: path.stat().st_mtime_ns for path in into.iterdir() if path.is_file()}
    assert len(read) == PHOTOS
    again = import_url(url_of(source), into)
    assert (len(read), again.changed) == (PHOTOS, False)
    assert {path: path.stat().st_mtime_ns for path in into.iterdir() if path.is_file()} == before
    draw(photo, 77)
    changed = import_url(url_of(source), into)
    assert (len(read), changed.changed) == (PHOTOS + 1, True)
    os.utime(photo, ns=(0, photo.stat().st_mtime_ns + 10**9))  # of the same size
    import_url(url_of(source), into)
    assert len(read) == PHOTOS + 2


def test_other_sources_come_and_go_without_the_bucket(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "catalog"
    with stand_in(url_of(source)) as remote:
        (source / "part_0" / "ISIC_0000002.jpg").unlink()
        found = import_sources([remote], into, quality=METER, scan_blocks=scan_urls)
    before = found.catalog.photos
    assert found.catalog.info.counts.unreadable == 2
    assert before["quality_sharpness"].notna().sum() == PHOTOS - 2
    first = classes(tmp_path / "clinic")
    source.rename(tmp_path / "gone")
    monkeypatch.setattr(scan, "__version__", "99")
    added = import_sources([first], into, quality=METER).catalog
    kept = added.photos[added.photos["source"] == "ham-tiny"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before, check_dtype=False)
    (into / ".cache" / "scan.sqlite").unlink()
    with pytest.raises(InputError, match="read with --cluster alone") as caught:
        import_sources([first], into)
    assert caught.value.where == before["path"][0]
    assert Catalog.open(into).sha256 == added.sha256


def test_a_photo_that_goes_meanwhile_is_unreadable_and_tried_again(
    source: Path, tmp_path: Path
) -> None:
    into, photo = tmp_path / "catalog", source / "part_0" / "ISIC_0000002.jpg"
    other = classes(tmp_path / "clinic")
    for copy in (False, True):
        content, changed = photo.read_bytes(), photo.stat().st_mtime_ns
        with stand_in(url_of(source)) as remote:
            photo.unlink()
            found = import_sources([remote], into, copy=copy, scan_blocks=scan_urls)
        assert found.catalog.info.counts.unreadable == 2
        assert "(the file cannot be read (No such file or directory))" in found.warnings[0]
        # Not with another source, but with its own, although it has the size and time it had.
        assert import_sources([other], into).catalog.info.counts.unreadable == 2
        photo.write_bytes(content)
        os.utime(photo, ns=(changed, changed))
        back = import_url(url_of(source), into, copy=copy)
        assert back.catalog.info.counts.unreadable == 1


def test_a_mask_that_goes_meanwhile_is_left_out(source: Path, tmp_path: Path) -> None:
    with stand_in(url_of(source)) as remote:
        (source / "masks" / "ISIC_0000002_segmentation.png").unlink()
        found = import_sources([remote], tmp_path / "catalog", copy=True)
    masks = found.catalog.photos.set_index("image_id")["mask"]
    assert list(masks.index[masks.isna()]) == ["ham-tiny/ISIC_0000002"]
    note = "1 masks have gone from the storage meanwhile and are left out: ham-tiny/ISIC_0000002"
    assert note in found.warnings


def test_masks_are_those_of_the_storage(tmp_path: Path) -> None:
    source = table(tmp_path / "clinic")
    elsewhere = draw(tmp_path / "elsewhere" / "mask.png", 9)
    rows = pd.read_parquet(source)
    rows["where"] = ["photos/../drawn/m0.png", str(elsewhere), None]
    rows.to_parquet(source)
    url = url_of(source.parent)
    for copy in (False, True):
        found = import_url(
            url_of(source), tmp_path / str(copy), format="table", columns=COLUMNS, copy=copy
        )
        first, *others = found.catalog.photos["mask"]
        assert first == ("photos/metadata/0_segmentation.png" if copy else f"{url}/drawn/m0.png")
        assert pd.isna(others).all()


def test_copied_photos_make_the_catalog_of_the_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_sources([source], tmp_path / "here", copy=True)
    into = tmp_path / "there"
    stopped: list[str] = []

    def stopping(url: str) -> Path | bytes:
        stopped.append(url)
        if len(stopped) == 9:
            raise KeyboardInterrupt
        return read_photo(url)

    with stand_in(url_of(source)) as remote:
        monkeypatch.setattr("cutis.data.copying._AT_ONCE", 1)
        remote.__dict__["read"] = stopping
        with pytest.raises(KeyboardInterrupt):
            import_sources([remote], into, copy=True)
        assert not (into / "catalog.json").exists()
        monkeypatch.undo()
        del stopped[:9]
        remote.__dict__["read"] = lambda url: stopped.append(url) or read_photo(url)  # type: ignore[func-returns-value]
        import_sources([remote], into, copy=True)
        assert len(stopped) <= 2 * PHOTOS - 8
        del stopped[:]
        assert not import_sources([remote], into, copy=True).changed
        assert stopped == []
    assert (into / "catalog.parquet").read_bytes() == (
        tmp_path / "here" / "catalog.parquet"
    ).read_bytes()
    assert_same_catalog(into, tmp_path / "here", url_of(source), source)
    copies = [p for p in (into / "photos").rglob("*") if p.is_file()]
    assert len(copies) == 2 * PHOTOS


def test_a_bucket_does_not_replace_a_folder_of_the_same_name(source: Path, tmp_path: Path) -> None:
    into = tmp_path / "catalog"
    import_sources([source], into)
    other = ham(tmp_path / "other" / "ham-tiny")
    with pytest.raises(InputError, match="two sources are called 'ham-tiny'"):
        import_url(url_of(other), into)
    source.rename(tmp_path / "gone")
    assert import_url(url_of(other), into).changed
    # A storage counts as there although nobody asks it.
    other.rename(tmp_path / "other" / "gone")
    with pytest.raises(InputError, match=f"where: {url_of(other)} and {tmp_path}") as caught:
        import_sources([(tmp_path / "gone").rename(source)], into)
    assert "a bucket that has moved needs a new catalog" in str(caught.value)


def test_the_verbs_that_read_no_urls_say_so(source: Path, tmp_path: Path) -> None:
    catalog = import_url(url_of(source), tmp_path / "catalog").catalog
    source.rename(tmp_path / "gone")
    with pytest.raises(InputError, match="the photo lies in a storage") as caught:
        predict([str(catalog.folder)])
    assert caught.value.where == catalog.photos["path"][0]
    # What needs no photo works.
    make_split(catalog, shares=(50, 25, 25))
    audit = examine(read_subject([catalog.folder]))
    assert audit.certificate.passed
    assert set(audit.places.values()) == {None}
    found = describe(catalog)
    assert found.absent == ()
    write_page(found, tmp_path / "page.html", {})
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("lies in a storage") == len(found.usable)
    assert "<img" not in page


# ---------------------------------------------------------------- S3 and a cluster


def test_a_bucket_makes_the_catalog_of_its_folder(
    local_cluster: str, bucket: Bucket, source: Path, tmp_path: Path
) -> None:
    url = bucket.put(source, "archive/ham-tiny")
    here, there = tmp_path / "here", tmp_path / "there"
    import_photos([str(source)], here)
    summary = import_photos([url], there, cluster=local_cluster)
    assert (summary.changed, summary.catalog.info.counts.unreadable) == (True, 1)
    assert_same_catalog(there, here, url, source)

    found, expected = predict([str(there)], cluster=local_cluster), predict([str(here)])
    assert isinstance(found, pd.DataFrame)
    assert isinstance(expected, pd.DataFrame)
    expected["path"] = expected["path"].str.replace(str(source), url)
    pd.testing.assert_frame_equal(found, expected)

    with stand_in(url) as remote:
        # Without a cluster nobody could read a photo that is not known.
        assert not import_sources([remote], there, quality=METER).changed


@pytest.mark.parametrize(
    "url", ["s3://no-such-bucket/photos", "s3://{bucket}/nothing", "file:///nowhere"]
)
def test_a_source_that_is_not_there_is_named(bucket: Bucket, url: str) -> None:
    url = url.format(bucket=bucket.name)
    with pytest.raises(InputError, match="the source does not exist") as caught, stand_in(url):
        pass
    assert caught.value.where == url


def test_photos_of_a_bucket_are_copied(bucket: Bucket, source: Path, tmp_path: Path) -> None:
    url = bucket.put(source, "ham-tiny")
    bucket.empty_folder("ham-tiny/part_0")
    import_sources([source], tmp_path / "here", copy=True)
    with stand_in(url) as remote:
        import_sources([remote], tmp_path / "there", copy=True)
        assert not import_sources([remote], tmp_path / "there", copy=True).changed
    assert_same_catalog(tmp_path / "there", tmp_path / "here", url, source)


def test_a_storage_that_denies_in_the_middle_leaves_no_catalog(
    local_cluster: str,
    bucket: Bucket,
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = bucket.put(source, "ham-tiny")
    bucket.deny_after(12)  # about five for tables
    code = run(["import", url, "--into", str(tmp_path / "catalog"), "--cluster", local_cluster])
    err = capsys.readouterr().err
    assert (code, err.split("(")[0]) == (2, "error: the storage denies access ")
    assert f"where: {url}/part_" in err
    assert not (tmp_path / "catalog" / "catalog.json").exists()
