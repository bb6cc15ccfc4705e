"""One measurement of benchmarks/scale.py: `scale_driver.py TASK ARGUMENT…`, a process of its own.

The last line printed is JSON; "peak_mb" is this process's memory, which is that of a cluster's
driver where there is one.
"""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from duplicates import GeneratedFingerprints, measure_growth

from cutis.data.duplicates import FINGERPRINT

HERE = "here"
"""In place of a cluster's address: the verb without the flag."""

COMPARED = 10_000
"""Rows up to which all photos are compared, which takes hours for a million."""

_BLOCK = 80
_STAND_IN_SECONDS = 1.0  # for a block, where losses are measured

Figures = dict[str, Any]


# ---------------------------------------------------------------- time within a verb


class Watch:
    """When each block of a generator came, and how long named functions took."""

    def __init__(self) -> None:
        self.start = time.time()
        self.times: list[float] = []  # of the clock that other processes read too
        self.rows: list[int] = []
        self.seconds: dict[str, float] = {}

    def blocks(self, module: object, name: str) -> None:
        """Watches a generator function, which gives tables or pairs of a table and a node."""
        whole = getattr(module, name)

        def watched(*given: Any, **named: Any) -> Iterator[Any]:
            for made in whole(*given, **named):
                self.times.append(time.time())
                self.rows.append(len(made[0] if isinstance(made, tuple) else made))
                yield made

        setattr(module, name, watched)

    def function(self, module: object, name: str) -> None:
        """Watches a function."""
        whole = getattr(module, name)

        def watched(*given: Any, **named: Any) -> Any:
            start, used = time.perf_counter(), time.process_time()
            result = whole(*given, **named)
            self.seconds[name] = time.perf_counter() - start
            self.seconds[f"{name} cpu"] = time.process_time() - used
            return result

        setattr(module, name, watched)

    def figures(self) -> Figures:
        """Seconds to the first block, and after the last; what came behind the first quarter.

        When the first block is there, all workers may have done one, and some may yet begin.
        """
        quarter = len(self.times) // 4
        return {
            "until_first": self.times[0] - self.start,
            "rows": sum(self.rows[quarter + 1 :]),
            "from": self.times[quarter],
            "to": self.times[-1],
            "after_last": time.time() - self.times[-1],
        }


def import_photos(source: str, catalog: str, address: str) -> Figures:
    """`cutis import`."""
    from cutis.cli.import_photos import import_photos
    from cutis.data import importer, scan
    from cutis.scale import importing

    watch = Watch()
    watch.function(importer, "link_photos")
    watch.blocks(*((scan, "scan_in_threads") if address == HERE else (importing, "map_blocks")))
    done = import_photos([source], into=Path(catalog), cluster=_given(address))
    return watch.figures() | watch.seconds | {"sha256": done.catalog.sha256}


def predict(source: str, out: str, address: str) -> Figures:
    """`cutis predict`, with the model that comes with Cutis."""
    from cutis.cli.predict import predict
    from cutis.runtime import table
    from cutis.scale import predicting

    watch = Watch()
    watch.blocks(*((table, "predict_photos") if address == HERE else (predicting, "map_blocks")))
    predict([source], out=Path(out), engine="onnxruntime", cluster=_given(address))
    said = Path(out).read_text().replace(source, "")  # wherever the photos lie
    return watch.figures() | {"sha256": hashlib.sha256(said.encode()).hexdigest()}


def _given(address: str) -> str | None:
    return None if address == HERE else address


# ---------------------------------------------------------------- rows without photos


def catalog(rows: str, folder: str) -> Figures:
    """The driver's part of an import: all but decoding, for which generated scans stand in.

    Up to COMPARED rows all photos are compared; of more nothing is linked (see `index`).
    """
    from cutis.data import importer

    count, place = int(rows), Path(folder)
    source = place / "photos"
    for number in range(count):
        photo = source / f"{number // 1000:04}" / "nevus" / f"{number:07}.jpg"
        if number % 1000 == 0:
            photo.parent.mkdir(parents=True)
        photo.touch()
    watch, generated = Watch(), _GeneratedScans(count)
    if count > COMPARED:
        importer.link_photos = lambda photos, _: _no_links()
    for name in ("_read_sources", "scan_photos", "link_photos", "write_catalog"):
        watch.function(importer, name)
    start = time.perf_counter()
    done = importer.import_sources([source], place / "catalog", scan_blocks=generated.blocks)
    seconds = time.perf_counter() - start - generated.seconds
    watch.seconds["scan_photos"] -= generated.seconds
    watch.seconds["scan_photos cpu"] -= generated.cpu
    tables = [done.catalog.folder / f"{name}.parquet" for name in ("catalog", "links")]
    cache = done.catalog.folder / ".cache" / "scan.sqlite"
    return watch.seconds | {
        "total": seconds,
        "links": len(done.catalog.links),
        "catalog_bytes": tables[0].stat().st_size,
        "links_bytes": tables[1].stat().st_size,
        "cache_bytes": cache.stat().st_size,
    }


def _no_links() -> Any:
    from cutis.records import LINK_SCHEMA

    return LINK_SCHEMA.empty_table().to_pandas()


class _GeneratedScans:
    """What decoding would tell of photos that are not there."""

    def __init__(self, count: int) -> None:
        self._fingerprints = GeneratedFingerprints(count) if count <= COMPARED else None
        self.seconds = self.cpu = 0.0

    def blocks(self, paths: Sequence[Path], _: object) -> Iterator[list[Any]]:
        for start in range(0, len(paths), _BLOCK):
            begun, used = time.perf_counter(), time.process_time()
            numbers = np.arange(start, min(start + _BLOCK, len(paths)))
            made = [self._scan(*row) for row in zip(numbers, self._marks(numbers), strict=True)]
            self.seconds += time.perf_counter() - begun
            self.cpu += time.process_time() - used
            yield made

    def _marks(self, numbers: np.ndarray) -> list[bytes]:
        if self._fingerprints is None:
            return [os.urandom(FINGERPRINT.itemsize) for _ in numbers]
        return [mark.tobytes() for mark in self._fingerprints[numbers]]

    def _scan(self, number: int, fingerprint: bytes) -> Any:
        from cutis.data.scan import Scan
        from cutis.records import QUALITY_COLUMNS

        hashes = [hashlib.sha256(f"{word}{number}".encode()).hexdigest() for word in ("f", "p")]
        values = np.random.default_rng(number).random(len(QUALITY_COLUMNS)).round(4).tolist()
        names = [name.removeprefix("quality_") for name in QUALITY_COLUMNS]
        scores = dict(zip(names, values, strict=True))
        return Scan(*hashes, 600, 450, fingerprint, quality=scores)


def index(rows: str) -> Figures:
    """The index of duplicates alone, on all processors."""
    return measure_growth(int(rows), threads=0)


@dataclass(frozen=True)
class _Answers:
    """In place of `predict`'s work in a process of the cluster: the same row for each photo."""

    schema: pa.Schema

    def __call__(self) -> Callable[[list[str]], pa.Table]:
        def work(names: list[str]) -> pa.Table:
            kinds = {pa.float32(): 0.25, pa.string(): "answer"}
            columns = [pa.array([kinds[kind]] * len(names), kind) for kind in self.schema.types]
            table = pa.table(columns, schema=self.schema)
            table = table.set_column(0, "path", pa.array(names))
            error = self.schema.get_field_index("error")
            return table.set_column(error, "error", pa.nulls(len(names), pa.string()))

        return work


def plan(catalog: str, out: str) -> Figures:
    """The driver's part of `predict` on one node: nothing is decoded or answered."""
    from cutis.runtime import Predictor
    from cutis.runtime.table import table_schema
    from cutis.scale import predicting

    answers = _Answers(table_schema(Predictor.load(None, engine="onnxruntime"), True))
    predicting._OpenWork = lambda *_: answers
    watch = Watch()
    watch.function(predicting, "find_places")
    watch.blocks(predicting, "map_blocks")
    predicting.predict_on_cluster([catalog], "local", out=Path(out))
    total = time.time() - watch.start
    size = Path(out).stat().st_size
    return watch.figures() | watch.seconds | {"total": total, "out_bytes": size}


# ---------------------------------------------------------------- losses


@dataclass(frozen=True)
class _Marking:
    """Work that does nothing for a while and notes when it begins and ends, and where."""

    notes: Path

    def __call__(self) -> Callable[[list[str]], pa.Table]:
        def work(names: list[str]) -> pa.Table:
            self._note("begun", names[0])
            time.sleep(_STAND_IN_SECONDS)
            self._note("done", names[0])
            return pa.table({"name": names})

        return work

    def _note(self, word: str, block: str) -> None:
        line = {"what": word, "block": block, "pid": os.getpid(), "time": time.time()}
        with self.notes.open("a") as notes:
            notes.write(json.dumps(line) + "\n")


def blocks(count: str, notes: str, address: str) -> Figures:
    """So many blocks, of which `notes` tells."""
    from cutis.scale.blocks import map_blocks
    from cutis.scale.cluster import connected

    names = [f"{number:07}" for number in range(int(count) * _BLOCK)]
    with connected(address) as cluster:
        start = time.perf_counter()
        rows = sum(len(table) for table, _ in map_blocks(cluster, names, _Marking(Path(notes))))
        return {"photos": rows, "seconds": time.perf_counter() - start}


def _peak_mb() -> float:
    held = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(held[1]) / 1024 if held else float("nan")


TASKS = (import_photos, predict, catalog, index, plan, blocks)


def main() -> None:
    """Does one task."""
    task, *arguments = sys.argv[1:]
    figures = {work.__name__: work for work in TASKS}[task](*arguments)
    own = {"peak_mb": _peak_mb(), "all_cpu": time.process_time()}
    print(json.dumps(figures | own))


if __name__ == "__main__":
    main()
