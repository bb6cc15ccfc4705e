"""`predict` on a cluster: the same table, made by many processes."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from cutis.data.remote import is_url
from cutis.errors import InputError
from cutis.runtime import PredictionSummary, Predictor, predict_to_file
from cutis.runtime.box import box_bundle
from cutis.runtime.bundle import INFO_FILE
from cutis.runtime.stream import predict_named
from cutis.runtime.table import table_schema
from cutis.scale.blocks import Work, map_blocks, refuse_unread
from cutis.scale.cluster import Cluster, connected
from cutis.scale.storage import fetch_ahead, find_places, read_photo


def predict_on_cluster(
    photos: Sequence[str],
    address: str,
    *,
    bundle: Path | None = None,
    out: Path | None = None,
    engine: str = "onnxruntime",
    quality: bool = True,
) -> pd.DataFrame | PredictionSummary:
    """What `predict_photos` and `predict_to_file` give, made on a cluster.

    Args:
        photos: files, folders and catalogs that all nodes see at the same place, and URLs.
        address: as `cutis.scale.cluster.connected` takes it.
        bundle: None takes the model that comes with Cutis. It goes to the nodes by itself.
        out: a table, which goes on after an interruption; None returns all rows.
        engine: one for all nodes; "auto" is the fastest of this computer.
        quality: as `predict_photos` takes it.

    Raises InputError as these do, and for a cluster or a storage that fails.
    """
    names = find_places(photos)
    bundle = box_bundle() if bundle is None else bundle
    predictor = Predictor.load(bundle, engine=engine)
    with connected(address) as cluster:
        job = _Job(cluster, names, predictor, bundle, quality)
        if out is not None:
            return predict_to_file(predictor, names, out, quality=quality, rows=job.rows)
        tables = list(job.rows(slice(0, len(names))))
    rows: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return rows


class _Job:
    """One stream of rows over all photos that are left, from which the parts are filled."""

    def __init__(
        self,
        cluster: Cluster,
        names: Sequence[str],
        predictor: Predictor,
        bundle: Path,
        quality: bool,
    ) -> None:
        import ray

        held = [bundle / name for name in (INFO_FILE, *predictor.info.files)]
        files = ray.put({file.name: file.read_bytes() for file in held if file.is_file()})
        self._open_work = _OpenWork(files, predictor.model, predictor.engine, quality, Path.cwd())
        self._cluster = cluster
        self._names = names
        self._predictor = predictor
        self._made: Iterator[pa.Table] | None = None
        self._rest: pa.Table | None = None

    def rows(self, wanted: slice) -> Iterator[pa.Table]:
        """The rows of a slice; each begins where the one before has ended."""
        if self._made is None:
            self._made = self._stream(wanted.start)
        left = len(self._names[wanted])
        while left:
            table = next(self._made) if self._rest is None else self._rest
            taken, rest = table.slice(0, left), table.slice(left)
            self._rest = rest if len(rest) else None
            left -= len(taken)
            yield taken

    def _stream(self, start: int) -> Iterator[pa.Table]:
        done = start
        for table, node in map_blocks(self._cluster, self._names[start:], self._open_work):
            names = self._names[done : done + len(table)]
            refuse_unread(names, table.column("error").to_pylist(), node, self._reads)
            done += len(table)
            yield table

    def _reads(self, name: str) -> bool:
        """Whether this computer reads a photo."""
        try:
            self._predictor.read(read_photo(name) if is_url(name) else Path(name))
        except InputError:  # of the photo or the storage
            return False
        return True


@dataclass(frozen=True)
class _OpenWork:
    """Loads the bundle in a process of the cluster, from its files' bytes in Ray's store."""

    files: Any
    model: str
    engine: str
    quality: bool
    folder: Path  # where paths start that are not absolute

    def __call__(self) -> Work:
        import ray

        with tempfile.TemporaryDirectory() as place:
            for name, content in ray.get(self.files).items():
                (Path(place) / name).write_bytes(content)
            # One thread, since there is a process for each processor; answers do not depend on it.
            predictor = Predictor.load(Path(place), model=self.model, engine=self.engine, threads=1)
        schema = table_schema(predictor, self.quality)

        def work(names: list[str]) -> pa.Table:
            tables = [
                predict_named(predictor, photos, quality=self.quality)
                for photos in fetch_ahead(names, self.folder)
            ]
            return pa.Table.from_pandas(pd.concat(tables), schema, preserve_index=False)

        return work
