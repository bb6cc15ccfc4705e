"""Kept activations: the same training as without them, checked, bounded, and not needed."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cutis.data.array_file import read_array, write_array
from cutis.errors import InputError
from cutis.training.feature_cache import FeatureCache

SHAPE = (5, 2, 2, 3)
ROWS = torch.arange(60, dtype=torch.float32).reshape(SHAPE)


class Computing:
    """Rows in two chunks, and how often they were asked for."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Iterator[torch.Tensor]:
        self.times += 1
        yield from (ROWS[:3], ROWS[3:])


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", "photos", said.append)


def kept(
    cache: FeatureCache, compute: Computing, key: str = "a", dtype: torch.dtype = torch.float32
) -> torch.Tensor | None:
    return cache.kept(key, SHAPE, dtype, compute)


def only_file(cache: FeatureCache) -> Path:
    (file,) = cache.folder.iterdir()
    return file


def test_rows_are_computed_once_and_named_in_the_log(cache: FeatureCache, said: list[str]) -> None:
    compute = Computing()
    for _ in range(2):
        rows = kept(cache, compute)
        assert rows is not None
        assert torch.equal(rows, ROWS)
    assert compute.times == 1
    assert said == [f"keeping 0.0 MB of activations in {only_file(cache)}"]


def test_bfloat16_comes_back_bit_by_bit(cache: FeatureCache) -> None:
    values = torch.randn(SHAPE).bfloat16()
    first = cache.kept("b", SHAPE, torch.bfloat16, lambda: [values])
    again = cache.kept("b", SHAPE, torch.bfloat16, lambda: [])
    assert first is not None
    assert again is not None
    assert again.dtype == torch.bfloat16
    assert torch.equal(first, values)
    assert torch.equal(again, values)


@pytest.mark.parametrize("place", [0, 9, 200, -40, -1])
def test_a_changed_byte_is_found_and_the_file_built_again(
    cache: FeatureCache, said: list[str], place: int
) -> None:
    kept(cache, compute := Computing())
    file = only_file(cache)
    content = bytearray(file.read_bytes())
    content[place] ^= 0x10
    file.write_bytes(content)
    rows = kept(cache, compute)
    assert rows is not None
    assert torch.equal(rows, ROWS)
    assert compute.times == 2
    assert any("is damaged and computed again" in line for line in said)


@pytest.mark.parametrize("left", [0, 10, 300])
def test_a_truncated_file_is_built_again(cache: FeatureCache, left: int) -> None:
    kept(cache, compute := Computing())
    file = only_file(cache)
    file.write_bytes(file.read_bytes()[:left])
    rows = kept(cache, compute)
    assert rows is not None
    assert torch.equal(rows, ROWS)
    assert compute.times == 2


def test_a_full_disk_leaves_no_trace_and_is_said(
    cache: FeatureCache, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cutis.data.array_file.os.fsync", full)
    assert kept(cache, Computing()) is None
    assert list(cache.folder.iterdir()) == []
    assert "No space left on device" in said[-1]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("")
    assert kept(FeatureCache(tmp_path / "file" / "cache", "x", said.append), Computing()) is None
    assert "not kept" in said[-1]


def test_nothing_is_kept_beyond_the_limit(
    cache: FeatureCache, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTIS_CACHE_GB", "2e-7")
    compute = Computing()
    assert kept(cache, compute) is None
    assert compute.times == 0
    assert "would not fit" in said[-1]


def test_the_least_recently_used_gives_way(
    cache: FeatureCache, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTIS_CACHE_GB", "1e-6")  # two files of 400 bytes
    for key in "ab":
        kept(cache, Computing(), key)
    for age, key in enumerate("ba"):
        file = cache.folder / f"activations-{key}.npy"
        long_ago = 1e9 + age
        os.utime(file, (long_ago, long_ago))
    kept(cache, Computing(), "c")
    assert sorted(f.name for f in cache.folder.iterdir()) == [
        "activations-a.npy",
        "activations-c.npy",
    ]
    assert "removed activations-b.npy to make room" in said


@pytest.mark.parametrize("text", ["much", "-1", "nan", ""])
def test_a_limit_that_is_no_size_is_refused(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CUTIS_CACHE_GB", text)
    with pytest.raises(InputError, match="CUTIS_CACHE_GB is no size"):
        kept(cache, Computing())


def test_an_interruption_leaves_nothing(cache: FeatureCache) -> None:
    def stopped() -> Iterator[torch.Tensor]:
        yield ROWS[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.kept("a", SHAPE, torch.float32, stopped)
    assert list(cache.folder.iterdir()) == []


def test_two_processes_write_the_same_file(tmp_path: Path) -> None:
    program = (
        "import sys, time, numpy as np; from pathlib import Path\n"
        "from cutis.data.array_file import write_array\n"
        "def rows():\n"
        "    for number in range(20):\n"
        "        time.sleep(0.02); yield np.full((1, 1000), number, np.float32)\n"
        "write_array(Path(sys.argv[1]), (20, 1000), np.float32, rows())\n"
    )
    file = tmp_path / "same.npy"
    writers = [subprocess.Popen([sys.executable, "-c", program, file]) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    rows = read_array(file)
    assert rows is not None
    assert rows[:, 0].tolist() == list(range(20))
    assert list(tmp_path.iterdir()) == [file]


def test_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    old, young = tmp_path / ".partial-old", tmp_path / ".partial-young"
    for file in (old, young):
        file.write_bytes(b"")
    os.utime(old, (1e9, 1e9))
    write_array(tmp_path / "a.npy", (1,), np.uint8, [np.zeros(1, np.uint8)])
    assert not old.exists()
    assert young.exists()
