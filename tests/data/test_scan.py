"""The cache of what was read of photos: nothing is read twice, and fingerprints wait in it."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cutis.data import scan
from cutis.data.importer import import_sources


def test_photos_are_not_decoded_twice(
    ham: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "catalog"
    before = import_sources([ham], into).catalog.sha256
    shutil.rmtree(ham / "masks")
    monkeypatch.setattr(scan, "decode", lambda path: pytest.fail("decoded again"))
    changed = import_sources([ham], into)
    assert changed.changed
    assert changed.catalog.sha256 != before


def test_photos_whose_disk_is_away_keep_the_newest_scores(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, into = next(classes.rglob("*.jpg")), tmp_path / "catalog"
    for version in ("0.10.0", "0.9.0"):
        monkeypatch.setattr(scan, "__version__", version)
        scan.scan_photos([photo], into, lambda rgb, said=version: {"hair": float(said[2:-2])})
    monkeypatch.setattr(scan, "__version__", "0.11.0")
    measured: list[int] = []

    def measure(rgb: object) -> scan.Scores:
        measured.append(1)
        return {"hair": 11.0}

    content = photo.read_bytes()
    changed = photo.stat().st_mtime_ns
    photo.unlink()
    assert [found.quality for found in scan.scan_photos([photo], into, measure)] == [{"hair": 10.0}]
    assert not measured
    photo.write_bytes(content)
    os.utime(photo, ns=(changed, changed))
    assert [found.quality for found in scan.scan_photos([photo], into, measure)] == [{"hair": 11.0}]
    assert measured == [1]


def test_the_cache_of_another_fingerprint_is_thrown_away(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "catalog"
    import_sources([classes], into)
    other = np.dtype([("other", "u8")])
    monkeypatch.setattr(scan, "FINGERPRINT", other)
    monkeypatch.setattr(scan, "fingerprint", lambda rgb: np.zeros((), other))
    photos = sorted(classes.rglob("*.jpg"))
    scan.scan_photos(photos, into)
    with scan.fingerprints(photos, into) as found:
        assert (found.dtype, len(found)) == (other, len(photos))


def test_fingerprints_wait_on_the_disk_in_the_order_asked_for(
    classes: Path, tmp_path: Path
) -> None:
    photos = sorted(classes.rglob("*.jpg"))
    into = tmp_path / "catalog"
    for _ in ("scanned", "looked up"):
        scans = scan.scan_photos(photos, into)
        assert all(found.pixels_sha256 and found.fingerprint is None for found in scans)
    expected = [scan.scan_photo(photo).fingerprint for photo in reversed(photos)]
    with scan.fingerprints(photos[::-1], into) as found:
        assert isinstance(found, np.memmap)
        assert [mark.tobytes() for mark in found] == expected
    with scan.fingerprints([], into) as found:
        assert len(found) == 0
    assert [path.name for path in (into / ".cache").iterdir()] == ["scan.sqlite"]
