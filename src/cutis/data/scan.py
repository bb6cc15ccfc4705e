"""One decode of every photo: hashes, size, fingerprint and quality, remembered between imports."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cutis import __version__
from cutis.data.duplicates import FINGERPRINT, fingerprint
from cutis.errors import PhotoError
from cutis.preprocessing import decode
from cutis.storage import clear_write_errors, sha256_file

CACHE_FILE = Path(".cache") / "scan.sqlite"

_WORKERS = 2
_BATCH = 256
_TABLE = """create table if not exists scan (
    path text primary key, size integer, modified integer, sha256 text, pixels_sha256 text,
    width integer, height integer, fingerprint blob, problem text) without rowid"""
_QUALITY_TABLE = """create table if not exists quality (
    sha256 text, version text, scores text, primary key (sha256, version)) without rowid"""

Scores = Mapping[str, float | None]
Measure = Callable[[NDArray[np.uint8]], Scores]
"""Quality scores by name of a decoded photo, (height, width, 3) RGB."""

_DIGITS = 4
"""Decimal places of a score: few enough that rounding of sums does not show."""


@dataclass(frozen=True)
class Scan:
    """What one decode of a photo tells.

    Of an unreadable photo only `sha256` (empty if not even its bytes can be read) and `problem`
    are known.
    """

    sha256: str
    pixels_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    fingerprint: bytes | None = None
    problem: str | None = None
    quality: Scores | None = None  # None where it was not measured

    def fingerprint_record(self) -> NDArray[np.void]:
        """The fingerprint as an array of shape () and dtype FINGERPRINT; zeros if unreadable."""
        if self.fingerprint is None:
            return np.zeros((), FINGERPRINT)
        return np.frombuffer(self.fingerprint, FINGERPRINT).reshape(())


_KNOWN = [field.name for field in fields(Scan) if field.name != "quality"]
"""What the cache holds of every photo; scores have a table of their own."""


def scan_photo(path: Path, measure: Measure | None = None) -> Scan:
    """Decodes one photo at full size; what cannot be read comes back with its problem."""
    try:
        sha256 = sha256_file(path)
    except OSError as error:
        return Scan(sha256="", problem=f"the file cannot be read ({error.strerror})")
    try:
        rgb = decode(path)
    except PhotoError as error:
        return Scan(sha256=sha256, problem=error.problem)
    height, width = rgb.shape[:2]
    pixels = hashlib.sha256(f"{height}x{width}".encode())
    pixels.update(np.ascontiguousarray(rgb).data)
    mark = np.asarray(fingerprint(rgb), FINGERPRINT).tobytes()
    quality = None if measure is None else _rounded(measure(rgb))
    return Scan(sha256, pixels.hexdigest(), width, height, mark, quality=quality)


def _rounded(scores: Scores) -> Scores:
    return {n: None if score is None else round(score, _DIGITS) for n, score in scores.items()}


ScanBlocks = Callable[[Sequence[Path], Measure | None], Generator[list[Scan], None, None]]
"""Scans photos, a block of them after the other, in their order."""


def scan_in_threads(
    paths: Sequence[Path], measure: Measure | None
) -> Generator[list[Scan], None, None]:
    """Blocks of one photo, some of which are scanned ahead."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        for start in range(0, len(paths), _BATCH):
            batch = paths[start : start + _BATCH]
            for scan in pool.map(partial(scan_photo, measure=measure), batch):
                yield [scan]


def scan_photos(
    paths: Sequence[Path],
    catalog: Path,
    measure: Measure | None = None,
    scan_blocks: ScanBlocks = scan_in_threads,
) -> list[Scan]:
    """Scans photos in the order given, with a progress bar.

    Results are kept in the catalog's cache by path, size and time of change, so that an
    interrupted import goes on where it stopped and an unchanged photo is never decoded again,
    unless its quality is asked for and another version, or none, has measured it.
    """
    with _open_cache(catalog / CACHE_FILE) as cache:
        found = {path: _look_up(cache, path, measure is not None) for path in paths}
        missing = [path for path, scan in found.items() if scan is None]
        # The state before the scan: a photo that changes meanwhile is scanned again.
        states = [_state(path) for path in missing]
        scans: list[Scan] = []
        kept = 0
        with (
            tqdm(total=len(missing), desc="reading", unit="photo", disable=None) as bar,
            closing(scan_blocks(missing, measure)) as blocks,
        ):
            for block in blocks:
                scans += block
                bar.update(len(block))
                if len(scans) - kept >= _BATCH or len(scans) == len(missing):
                    new = slice(kept, len(scans))
                    _remember(cache, missing[new], states[new], scans[new])
                    kept = len(scans)
        found.update(zip(missing, scans, strict=True))
    return [scan for path in paths if (scan := found[path]) is not None]


@contextmanager
def _open_cache(path: Path) -> Iterator[sqlite3.Connection]:
    with clear_write_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as cache:
        # A cache of another fingerprint layout is of no use.
        layout = int(hashlib.sha256(str(FINGERPRINT).encode()).hexdigest()[:7], 16)
        if cache.execute("pragma user_version").fetchone()[0] != layout:
            cache.execute("drop table if exists scan")
            cache.execute(_TABLE)
            cache.execute(f"pragma user_version = {layout}")
            cache.commit()
        cache.execute(_QUALITY_TABLE)
        yield cache


def _look_up(cache: sqlite3.Connection, path: Path, with_quality: bool) -> Scan | None:
    row = cache.execute("select * from scan where path = ?", [os.fspath(path)]).fetchone()
    state = _state(path)
    if row is None:
        return None
    scan = Scan(*row[3:])
    if with_quality and not scan.problem:
        scan = replace(scan, quality=_look_up_quality(cache, scan.sha256))
    lacking = with_quality and scan.quality is None and not scan.problem
    # Photos whose disk is away keep what was read of them.
    return scan if state is None or (state == tuple(row[1:3]) and not lacking) else None


def _look_up_quality(cache: sqlite3.Connection, sha256: str) -> Scores | None:
    row = cache.execute(
        "select scores from quality where sha256 = ? and version = ?", [sha256, __version__]
    ).fetchone()
    return None if row is None else json.loads(row[0])


def _remember(
    cache: sqlite3.Connection,
    paths: Sequence[Path],
    states: Sequence[tuple[int, int] | None],
    scans: Sequence[Scan],
) -> None:
    # What could not be read at all may be readable next time.
    rows = [
        (os.fspath(path), *state, *[vars(scan)[name] for name in _KNOWN])
        for path, state, scan in zip(paths, states, scans, strict=True)
        if state is not None and scan.sha256
    ]
    cache.executemany("insert or replace into scan values (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    measured = [
        (scan.sha256, __version__, json.dumps(scan.quality))
        for scan in scans
        if scan.quality is not None
    ]
    cache.executemany("insert or replace into quality values (?, ?, ?)", measured)
    cache.commit()


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
