"""Files and folders that are written whole or not at all."""

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cutis import storage
from cutis.errors import InputError
from cutis.storage import commit_files, finish_commit, sha256_file, staged_folder, write_file


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_sha256_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 4096)
    assert sha256_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_write_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "text.txt"
    write_file(path, "آزمون")
    write_file(path.with_name("bytes"), b"\x00\xff")
    assert path.read_text(encoding="utf-8") == "آزمون"
    assert path.with_name("bytes").read_bytes() == b"\x00\xff"
    assert sorted(file.name for file in path.parent.iterdir()) == ["bytes", "text.txt"]


def put(text: str) -> Callable[[Path], object]:
    return lambda target: target.write_text(text)


def fail(error: BaseException) -> Callable[[Path], object]:
    def write(target: Path) -> None:
        target.write_text("half")
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
        (OSError(errno.ENOSPC, "No space left"), InputError, "the disk is full; nothing was"),
        (OSError(errno.EROFS, "Read-only"), InputError, "no permission to write here"),
        (PermissionError(errno.EACCES, "Denied"), InputError, "no permission to write here"),
        (OSError(errno.EIO, "I/O error"), OSError, "I/O error"),
    ],
)
def test_a_failing_writer_leaves_all_files_as_they_were(
    tmp_path: Path, error: BaseException, raised: type[BaseException], message: str
) -> None:
    commit_files(tmp_path, {"a": put("1"), "b": put("1")})
    with pytest.raises(raised, match=message):
        commit_files(tmp_path, {"a": put("2"), "b": fail(error)})
    assert content(tmp_path) == {"a": "1", "b": "1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("moved", [0, 1])
def test_an_interrupted_move_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    commit_files(tmp_path, {"a": put("1"), "b": put("1")})
    original, calls = Path.replace, []

    def crash(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) > moved:
            raise KeyboardInterrupt
        return original(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            commit_files(tmp_path, {"a": put("2"), "b": put("2")})
    finish_commit(tmp_path)
    assert content(tmp_path) == {"a": "2", "b": "2"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_commit_completes_an_earlier_one_first(tmp_path: Path) -> None:
    commit = tmp_path / ".commit"
    commit.mkdir()
    (commit / "a").write_text("decided")
    commit_files(tmp_path, {"b": put("new")})
    assert content(tmp_path) == {"a": "decided", "b": "new"}


def test_staged_folder_is_new(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with staged_folder(target, "marker.json") as folder:
        assert not target.exists()
        (folder / "marker.json").write_text("1")
    assert content(target) == {"marker.json": "1"}
    assert target.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_a_private_folder_is_its_owners(tmp_path: Path) -> None:
    for _ in range(2):
        with staged_folder(tmp_path / "out", "marker.json", private=True) as folder:
            (folder / "marker.json").write_text("1")
        assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("before", [{}, {"marker.json": "old", "extra": "old"}])
def test_staged_folder_replaces_its_own_kind(tmp_path: Path, before: dict[str, str]) -> None:
    target = tmp_path / "out"
    target.mkdir()
    for name, text in before.items():
        (target / name).write_text(text)
    with staged_folder(target, "marker.json") as folder:
        (folder / "marker.json").write_text("new")
    assert content(target) == {"marker.json": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_staged_folder_spares_other_content(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds"), staged_folder(target, "m"):
        pytest.fail("the block must not run")
    assert content(tmp_path) == {"out/thesis.txt": "mine"}


def test_a_file_is_no_output_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("mine")
    with pytest.raises(InputError, match="already holds"), staged_folder(target, "m"):
        pytest.fail("the block must not run")
    assert target.read_text() == "mine"


def half_write(target: Path, error: BaseException) -> None:
    with staged_folder(target, "marker.json") as folder:
        (folder / "marker.json").write_text("new")
        raise error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), ValueError()]
)
def test_a_failing_block_leaves_the_old_folder(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "out"
    with staged_folder(target, "marker.json") as folder:
        (folder / "marker.json").write_text("old")
    with pytest.raises((type(error), InputError)):
        half_write(target, error)
    assert content(tmp_path) == {"out/marker.json": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_interruption_between_the_two_renames_restores_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    with staged_folder(target, "marker.json") as folder:
        (folder / "marker.json").write_text("old")
    original = Path.rename

    def crash(self: Path, to: Path) -> Path:
        if to == target and not self.name.endswith("-old"):
            raise KeyboardInterrupt
        return original(self, to)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt), staged_folder(target, "marker.json") as folder:
        (folder / "marker.json").write_text("new")
    assert content(tmp_path) == {"out/marker.json": "old"}


def test_files_reach_the_disk_before_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[bool] = []
    path = tmp_path / "a"
    monkeypatch.setattr(storage.os, "fsync", lambda number: committed.append(path.exists()))
    write_file(path, "text")
    assert committed == [False]
    assert path.exists()


def test_folders_that_a_killed_process_left_are_swept_a_day_later(tmp_path: Path) -> None:
    target = tmp_path / "report"
    left = [tmp_path / ".staging-abc", tmp_path / ".report.staging-abc"]
    living = [tmp_path / ".staging-def", tmp_path / ".report.staging-def"]
    for folder in [*left, *living]:
        folder.mkdir()
        (folder / "half").write_text("written")
    two_days_ago = time.time() - 2 * 24 * 3600
    for folder in left:
        os.utime(folder, (two_days_ago, two_days_ago))
    write_file(tmp_path / "note", "text")
    with staged_folder(target, "marker") as staging:
        (staging / "marker").write_text("whole")
    assert not any(folder.exists() for folder in left)
    assert all(folder.exists() for folder in living)
