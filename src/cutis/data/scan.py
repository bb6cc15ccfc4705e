"""One decode of every photo: hashes, size, fingerprint and quality, remembered between imports."""

import hashlib
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cutis import __version__
from cutis.data.duplicates import FINGERPRINT, fingerprint
from cutis.data.remote import Place, State, refuse_urls
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
    are known. The fingerprint is the bytes of one FINGERPRINT; once it is remembered it is None
    here, since those of many photos are more than memory holds: see `fingerprints`.
    """

    sha256: str
    pixels_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    fingerprint: bytes | None = None
    problem: str | None = None
    quality: Scores | None = None  # None where it was not measured


_KNOWN = [field.name for field in fields(Scan) if field.name != "quality"]
"""What the cache holds of every photo; scores have a table of their own."""

_LOOKED_UP = [name for name in _KNOWN if name != "fingerprint"]


def scan_photo(photo: Path | bytes, measure: Measure | None = None) -> Scan:
    """Decodes one photo, a file or a file's bytes, at full size.

    What cannot be read comes back with its problem.
    """
    try:
        sha256 = sha256_file(photo) if isinstance(photo, Path) else _sha256(photo)
    except OSError as error:
        return Scan(sha256="", problem=f"the file cannot be read ({error.strerror})")
    try:
        rgb = decode(photo)
    except PhotoError as error:
        return Scan(sha256=sha256, problem=error.problem)
    height, width = rgb.shape[:2]
    pixels = hashlib.sha256(f"{height}x{width}".encode())
    pixels.update(np.ascontiguousarray(rgb).data)
    mark = np.asarray(fingerprint(rgb), FINGERPRINT).tobytes()
    quality = None if measure is None else _rounded(measure(rgb))
    return Scan(sha256, pixels.hexdigest(), width, height, mark, quality=quality)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _rounded(scores: Scores) -> Scores:
    return {n: None if score is None else round(score, _DIGITS) for n, score in scores.items()}


ScanBlocks = Callable[[Sequence[Place], Measure | None], Generator[list[Scan], None, None]]
"""Scans photos, a block of them after the other, in their order."""


def scan_in_threads(
    places: Sequence[Place], measure: Measure | None
) -> Generator[list[Scan], None, None]:
    """Blocks of one photo, some of which are scanned ahead; InputError for a URL."""
    refuse_urls(places)
    paths = [Path(place) for place in places]
    with ThreadPoolExecutor(_WORKERS) as pool:
        for start in range(0, len(paths), _BATCH):
            batch = paths[start : start + _BATCH]
            for scan in pool.map(partial(scan_photo, measure=measure), batch):
                yield [scan]


def scan_photos(
    places: Sequence[Place],
    catalog: Path,
    measure: Measure | None = None,
    scan_blocks: ScanBlocks = scan_in_threads,
    listed: Mapping[str, State] = MappingProxyType({}),
) -> list[Scan]:
    """Scans photos in the order given, with a progress bar.

    Results are kept in the catalog's cache by place, size and time of change, so that an
    interrupted import goes on where it stopped and an unchanged photo is never decoded again,
    unless its quality is asked for and another version, or none, has measured it. The states of
    URLs are those `listed`; a URL that is not among them keeps what was read of it, even if that
    was nothing, and what any version has measured.
    """
    with _open_cache(catalog / CACHE_FILE) as cache:
        # The states before the scan: a photo that changes meanwhile is scanned again.
        now = {
            place: listed.get(place) if isinstance(place, str) else _state(place)
            for place in places
        }
        found = {p: _look_up(cache, p, state, measure is not None) for p, state in now.items()}
        missing = [place for place, scan in found.items() if scan is None]
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
                    _remember(cache, missing[new], now, scans[new])
                    scans[new] = [replace(scan, fingerprint=None) for scan in scans[new]]
                    kept = len(scans)
        found.update(zip(missing, scans, strict=True))
    return [scan for place in places if (scan := found[place]) is not None]


@contextmanager
def fingerprints(places: Sequence[Place], catalog: Path) -> Iterator[NDArray[np.void]]:
    """The fingerprints of photos that were scanned and are readable, in their order.

    An array (n,) of FINGERPRINT, on the disk and mapped into memory while the block lasts. Raises
    InputError where the catalog's disk has no room for it.
    """
    cached = catalog / CACHE_FILE
    with _open_cache(cached) as cache, tempfile.TemporaryFile(dir=cached.parent) as file:
        with clear_write_errors(cached.parent):
            for place in places:
                file.write(_look_up_fingerprint(cache, place))
            file.flush()
        # No file of no bytes can be mapped.
        yield np.memmap(file, FINGERPRINT, "r") if places else np.zeros(0, FINGERPRINT)


def _look_up_fingerprint(cache: sqlite3.Connection, place: Place) -> bytes:
    found = cache.execute("select fingerprint from scan where path = ?", [os.fspath(place)])
    fingerprint: bytes = found.fetchone()[0]
    return fingerprint


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


def _look_up(
    cache: sqlite3.Connection, place: Place, state: State | None, with_quality: bool
) -> Scan | None:
    wanted = ", ".join(["size", "modified", *_LOOKED_UP])
    row = cache.execute(f"select {wanted} from scan where path = ?", [os.fspath(place)]).fetchone()
    if row is None:
        return None
    scan = Scan(**dict(zip(_LOOKED_UP, row[2:], strict=True)))
    away = state is None  # a disk or a storage, whose photos keep what was read of them
    if with_quality and not scan.problem:
        scan = replace(scan, quality=_look_up_quality(cache, scan.sha256, any_version=away))
    lacking = not scan.sha256 or (with_quality and scan.quality is None and not scan.problem)
    return scan if away or (state == row[:2] and not lacking) else None


def _look_up_quality(cache: sqlite3.Connection, sha256: str, *, any_version: bool) -> Scores | None:
    """The scores of this version, or, with `any_version`, else of the newest that has measured."""
    found: dict[str, str] = dict(
        cache.execute("select version, scores from quality where sha256 = ?", [sha256])
    )
    version = __version__
    if version not in found and any_version:
        version = max(found, key=_version_numbers, default="")
    return json.loads(found[version]) if version in found else None


def _version_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _remember(
    cache: sqlite3.Connection,
    places: Sequence[Place],
    states: Mapping[Place, State | None],
    scans: Sequence[Scan],
) -> None:
    # A file that could not be read at all may be readable next time. A URL then is looked up too,
    # but while it is not listed nobody may be there who reads it.
    rows = [
        (os.fspath(place), *(states[place] or (None, None)), *[vars(scan)[name] for name in _KNOWN])
        for place, scan in zip(places, scans, strict=True)
        if scan.sha256 or isinstance(place, str)
    ]
    cache.executemany("insert or replace into scan values (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    measured = [
        (scan.sha256, __version__, json.dumps(scan.quality))
        for scan in scans
        if scan.quality is not None
    ]
    cache.executemany("insert or replace into quality values (?, ?, ?)", measured)
    cache.commit()


def _state(path: Path) -> State | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
