"""Photo quality in the catalog: measured while photos are decoded, kept, counted, shown."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from cutis.cli.photo_quality import METER, flag_guides
from cutis.data import overview_page, scan
from cutis.data.catalog import CATALOG_FILE, Catalog
from cutis.data.importer import QualityMeter, import_sources
from cutis.data.overview import describe
from cutis.metrics.quality import FLAG_TEXTS, QualityScores, measure_quality
from cutis.preprocessing import decode
from cutis.records import CATALOG_SCHEMA, QUALITY_COLUMNS, QualityFlag
from cutis.storage import sha256_file

Draw = Callable[..., Path]
MakeCatalog = Callable[..., Catalog]


@pytest.fixture
def clinic(tmp_path: Path, draw: Draw) -> Path:
    """Clouds of colour, a black photo, and one that cannot be read."""
    folder = tmp_path / "clinic"
    for number in range(3):
        draw(folder / "nevus" / f"{number}.png", seed=number)
    draw(folder / "melanoma" / "3.png", seed=3)
    Image.new("RGB", (40, 40)).save(folder / "melanoma" / "black.png")
    folder.joinpath("melanoma", "broken.png").write_bytes(b"nothing")
    return folder


def counting(photos: list[int]) -> QualityMeter:
    def measure(rgb: NDArray[np.uint8]) -> scan.Scores:
        photos.append(rgb.size)
        return METER.measure(rgb)

    return QualityMeter(measure, METER.flags)


def test_names_are_those_of_the_metrics() -> None:
    assert [f"quality_{field.name}" for field in fields(QualityScores)] == QUALITY_COLUMNS
    assert [flag.value for flag in QualityFlag] == list(FLAG_TEXTS)
    assert list(flag_guides()) == list(FLAG_TEXTS)


def test_scores_and_flags_stand_in_the_catalog(clinic: Path, tmp_path: Path) -> None:
    catalog = import_sources([clinic], tmp_path / "catalog", quality=METER).catalog
    photos = catalog.photos.set_index("image_id")
    measured = measure_quality(decode(clinic / "nevus" / "0.png"))
    for name, score in vars(measured).items():
        found = photos.loc["clinic/nevus/0", f"quality_{name}"]
        expected = np.float32(np.nan if score is None else round(score, 4))
        assert np.array_equal(found, expected, equal_nan=True), name
    assert {"dark", "low_contrast"} <= set(photos.loc["clinic/melanoma/black", "flags"])
    broken = photos.loc["clinic/melanoma/broken"]
    assert broken["flags"] == ("unreadable",)
    assert broken[QUALITY_COLUMNS].isna().all()
    counts = catalog.info.counts.flags
    assert (counts["dark"], counts["unreadable"]) == (1, 1)
    assert list(counts) == sorted(counts)


def test_each_photo_is_measured_once(clinic: Path, tmp_path: Path, draw: Draw) -> None:
    into, photos = tmp_path / "catalog", list[int]()
    first = import_sources([clinic], into, quality=counting(photos)).catalog
    assert len(photos) == 5
    again = import_sources([clinic], into, quality=counting(photos))
    assert not again.changed
    assert len(photos) == 5
    draw(clinic / "nevus" / "4.png", seed=4)
    import_sources([clinic], into, quality=counting(photos))
    assert len(photos) == 6
    other = import_sources([clinic], tmp_path / "other", quality=METER).catalog
    assert other.sha256 != first.sha256
    clinic.joinpath("nevus", "4.png").unlink()
    same = import_sources([clinic], tmp_path / "same", quality=METER).catalog
    files = [(folder / "catalog.parquet").read_bytes() for folder in (into, same.folder)]
    assert import_sources([clinic], into, quality=METER).catalog.sha256 == same.sha256
    assert files[0] != files[1]
    assert (into / "catalog.parquet").read_bytes() == files[1]


def test_without_a_meter_scores_are_null(clinic: Path, tmp_path: Path) -> None:
    into = tmp_path / "catalog"
    plain = import_sources([clinic], into).catalog
    assert plain.photos[QUALITY_COLUMNS].isna().all(axis=None)
    # The cache of such an import lacks the scores: photos are decoded once more to get them.
    photos = list[int]()
    measured = import_sources([clinic], into, quality=counting(photos))
    assert measured.changed
    assert len(photos) == 5
    assert import_sources([clinic], into).catalog.sha256 == plain.sha256


def test_scores_of_another_version_are_measured_again(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into, photos = tmp_path / "catalog", list[int]()
    import_sources([clinic], into, quality=METER)
    monkeypatch.setattr(scan, "__version__", "0.0.1")
    import_sources([clinic], into, quality=counting(photos))
    assert len(photos) == 5


def test_an_interrupted_import_measures_the_rest(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_BATCH", 2)
    monkeypatch.setattr(scan, "_WORKERS", 1)
    photos = list[int]()

    def interrupted(rgb: NDArray[np.uint8]) -> scan.Scores:
        if len(photos) == 3:
            raise KeyboardInterrupt
        photos.append(rgb.size)
        return METER.measure(rgb)

    with pytest.raises(KeyboardInterrupt):
        import_sources([clinic], tmp_path / "c", quality=QualityMeter(interrupted, METER.flags))
    before = len(photos)
    catalog = import_sources([clinic], tmp_path / "c", quality=counting(photos)).catalog
    assert len(photos) - before < 5
    assert catalog.photos["quality_sharpness"].notna().sum() == 5


def test_a_catalog_from_before_the_scores_opens(clinic: Path, tmp_path: Path) -> None:
    catalog = import_sources([clinic], tmp_path / "catalog").catalog
    path, record = (catalog.folder / name for name in ("catalog.parquet", CATALOG_FILE))
    older = pa.schema([f for f in CATALOG_SCHEMA if f.name not in QUALITY_COLUMNS])
    pq.write_table(pq.read_table(path).select(older.names), path)
    counts = catalog.info.counts.model_dump_json(exclude={"flags"})
    content = catalog.info.model_dump(exclude={"counts"}) | {
        "counts": catalog.info.counts.model_dump(exclude={"flags"})
    }
    content["files"]["catalog.parquet"] = sha256_file(path)
    record.write_text(pd.Series(content).to_json())
    assert "flags" not in counts
    opened = Catalog.open(catalog.folder)
    assert opened.photos[QUALITY_COLUMNS].isna().all(axis=None)
    assert opened.info.counts.flags == {}
    assert describe(opened).flags is None


def test_flags_are_counted_by_source(make_catalog: MakeCatalog) -> None:
    rows = [
        {"image_id": "one/a", "flags": ("hair", "ruler"), "quality_hair": 0.5},
        {"image_id": "two/a", "source": "two", "flags": ("hair",), "quality_hair": 0.1},
        {"image_id": "three/a", "source": "three", "quality_hair": 0.0},
    ]
    flags = describe(make_catalog(rows)).flags
    assert flags is not None
    assert flags.loc["hair"].to_dict() == {"one": 1, "three": 0, "two": 1, "all": 2}
    assert flags.loc["ruler", "all"] == 1
    assert list(flags.index) == list(FLAG_TEXTS)
    assert flags["all"].sum() == 3


def test_the_page_shows_the_most_extreme_photos_of_a_flag(
    make_catalog: MakeCatalog, tmp_path: Path
) -> None:
    rows = [
        {"image_id": f"one/{n}", "flags": ("blurred",), "quality_sharpness": 1.1 - n / 100}
        for n in range(overview_page.EXTREMES + 2)
    ]
    page = tmp_path / "page.html"
    overview_page.write_page(describe(make_catalog(rows)), page, flag_guides())
    text = page.read_text("utf-8")
    quality = text[text.index("<h2>Photo quality") : text.index("<h2>Contact sheet")]
    assert "Blurred (10)" in quality
    assert FLAG_TEXTS["blurred"].split("'")[0] in quality
    assert "sharpness below 1.15" in quality
    shown = [f"one/{n}" for n in range(10) if f"<code>one/{n}</code>" in quality]
    assert shown == [f"one/{n}" for n in range(2, 10)]
    assert quality.index("one/9") < quality.index("one/2")
    assert "sharpness 1.0100<" in quality
    assert "Hair (" not in quality
