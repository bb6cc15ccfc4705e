"""Tables of predictions are whole, and long work goes on where it was interrupted."""

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from cutis.errors import InputError
from cutis.runtime import Predictor, parts, predict_photos, predict_to_file, table

from .conftest import DIAGNOSES


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


@pytest.fixture
def predictor(bundle: Path) -> Predictor:
    return Predictor.load(bundle, threads=2)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The photos that were really worked on."""
    seen: list[Path] = []

    def watched(
        predictor: Predictor, photos: Iterable[Path], **options: bool
    ) -> Iterator[pd.DataFrame]:
        photos = list(photos)
        seen.extend(photos)
        return predict_photos(predictor, photos, **options)

    monkeypatch.setattr(table, "predict_photos", watched)
    return seen


def interrupt_after(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    done = 0

    def interrupted(
        predictor: Predictor, photos: Iterable[Path], **options: bool
    ) -> Iterator[pd.DataFrame]:
        nonlocal done
        if done == parts:
            raise KeyboardInterrupt
        done += 1
        return predict_photos(predictor, photos, **options)

    monkeypatch.setattr(table, "predict_photos", interrupted)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_is_the_streams(
    predictor: Predictor, photos: list[Path], tmp_path: Path, suffix: str
) -> None:
    photos[5].write_text('a "text", no photo')
    out = tmp_path / "new" / f"answers{suffix}"
    summary = predict_to_file(predictor, photos, out, part_rows=10)
    assert (summary.photos, summary.unreadable, summary.resumed) == (23, 1, 0)
    expected = pd.concat(predict_photos(predictor, photos), ignore_index=True)
    pd.testing.assert_frame_equal(read(out), expected, check_dtype=False, rtol=1e-5)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_unknown_values_are_null_in_parquet(
    predictor: Predictor, photos: list[Path], tmp_path: Path
) -> None:
    photos[5].write_text("no photo")
    predict_to_file(predictor, photos, tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert {found.column(name).null_count for name in DIAGNOSES} == {1}
    assert found.column("error").null_count == 22


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_interrupted_work_goes_on(
    predictor: Predictor,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answered: list[Path],
    suffix: str,
) -> None:
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    predict_to_file(predictor, photos, whole, part_rows=5)
    with monkeypatch.context() as patch:
        interrupt_after(patch, parts=2)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(predictor, photos, out, part_rows=5)
    assert not out.exists()
    answered.clear()
    summary = predict_to_file(predictor, photos, out, part_rows=5)
    assert summary.resumed == 10
    assert answered == photos[10:]
    assert out.read_bytes() == whole.read_bytes()
    assert not out.with_name(out.name + ".partial").exists()


def test_only_the_same_leading_photos_are_taken_over(
    predictor: Predictor, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        interrupt_after(patch, parts=3)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(predictor, photos, out, part_rows=5)
    fewer = photos[:7] + photos[8:]
    assert predict_to_file(predictor, fewer, out, part_rows=5).resumed == 5
    assert read(out)["path"].tolist() == [str(photo) for photo in fewer]


def test_another_networks_work_is_not_taken_over(
    predictor: Predictor,
    bundle: Path,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        interrupt_after(patch, parts=3)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(predictor, photos, out, part_rows=5)
    other = Predictor.load(bundle, model="fp32")
    assert predict_to_file(other, photos, out).resumed == 0
    expected = pd.concat(predict_photos(other, photos), ignore_index=True)
    pd.testing.assert_frame_equal(read(out), expected, check_dtype=False, rtol=1e-5)


def test_an_older_table_stays_until_the_new_one_is_whole(
    predictor: Predictor, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")
    with monkeypatch.context() as patch:
        interrupt_after(patch, parts=1)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(predictor, photos, out, part_rows=5)
    assert out.read_text() == "old"
    predict_to_file(predictor, photos, out)
    assert len(read(out)) == 23


def test_no_photo_gives_an_empty_table(predictor: Predictor, tmp_path: Path) -> None:
    predict_to_file(predictor, [], tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().startswith('"path","logit_melanoma"')


def test_other_suffixes_and_folders_are_refused(
    predictor: Predictor, photos: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"did you mean '\.parquet'"):
        predict_to_file(predictor, photos, tmp_path / "out.parquett")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="the output is a folder"):
        predict_to_file(predictor, photos, tmp_path / "folder.csv")


def test_a_strangers_folder_is_left_alone(
    predictor: Predictor, photos: list[Path], tmp_path: Path
) -> None:
    strange = tmp_path / "out.csv.partial" / "part-diary.parquet"
    strange.parent.mkdir()
    strange.write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        predict_to_file(predictor, photos, tmp_path / "out.csv")
    assert strange.read_text() == "mine"


def test_a_full_disk_is_one_message(
    predictor: Predictor, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts.pq, "write_table", full)
    with pytest.raises(InputError, match="the disk is full"):
        predict_to_file(predictor, photos, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
