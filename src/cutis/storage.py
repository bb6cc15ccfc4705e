"""Files and folders that are written whole or not at all."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cutis.errors import InputError

_COMMIT = ".commit"
_STAGING = ".staging-"
_ABANDONED = 24 * 3600  # seconds after which a staging folder is what a killed process left behind


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def clear_write_errors(target: Path) -> Iterator[None]:
    """Turns a full disk or a forbidden folder into one message that names the target."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise InputError(
                "the disk is full; nothing was changed",
                where=target,
                fix="free some space or choose another place, then run the same command again",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                "no permission to write here",
                where=target,
                fix="choose a folder that you may write to, or change its permissions",
            ) from error
        raise


def write_file(path: Path, content: str | bytes) -> None:
    """Replaces one file in a single step; a reader sees the old content or the new."""
    data = content.encode() if isinstance(content, str) else content
    commit_files(path.parent, {path.name: lambda target: _write_bytes(target, data)})


def _write_bytes(target: Path, data: bytes) -> None:
    target.write_bytes(data)


def commit_files(folder: Path, writers: Mapping[str, Callable[[Path], object]]) -> None:
    """Writes several files of one folder together: after a crash all are old or all are new.

    Each writer gets the path to write to. The files are staged in a subfolder whose rename is the
    commit; `finish_commit` (called by whoever opens the folder) completes an interrupted move.
    """
    with clear_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        finish_commit(folder)
        _sweep(folder, _STAGING)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder))
        try:
            for name, write in writers.items():
                write(staging / name)
                _flush(staging / name)
            staging.rename(folder / _COMMIT)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        finish_commit(folder)


def finish_commit(folder: Path) -> None:
    """Completes a commit that was interrupted between its decision and its last rename."""
    commit = folder / _COMMIT
    if commit.is_dir():
        for file in sorted(commit.iterdir()):
            file.replace(folder / file.name)
        commit.rmdir()


@contextlib.contextmanager
def staged_folder(target: Path, marker: str, *, private: bool = False) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `target` when the block ends well.

    `marker` names the file by which an older artefact of the same kind is recognised: only such a
    folder, or an empty one, is replaced; any other content is the user's and is refused. A private
    one is for its owner's eyes only (mode 0700).
    """
    refuse_other_content(target, marker)
    with clear_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.name}{_STAGING}"
        _sweep(target.parent, prefix)
        staging = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        if not private:
            staging.chmod(0o755)  # mkdtemp makes it private
        retired = staging.with_name(staging.name + "-old")
        try:
            yield staging
            if target.exists():
                target.rename(retired)
            staging.rename(target)
        except BaseException:
            if retired.exists() and not target.exists():
                retired.rename(target)
            shutil.rmtree(staging, ignore_errors=True)
            raise
        shutil.rmtree(retired, ignore_errors=True)


def refuse_other_content(target: Path, marker: str) -> None:
    """Raises InputError where `staged_folder` would; long work asks before it begins."""
    replaceable = target.is_dir() and ((target / marker).exists() or not any(target.iterdir()))
    if target.exists() and not replaceable:
        raise InputError(
            "the output folder already holds something else",
            where=target,
            expected=f"a new or empty folder, or one that holds {marker}",
            fix="choose another --out",
        )


def _sweep(folder: Path, prefix: str) -> None:
    """Removes what processes that were killed have left; a living one's folder is younger."""
    for staging in folder.glob(f"{prefix}*"):
        if time.time() - staging.stat().st_mtime > _ABANDONED:
            shutil.rmtree(staging, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
