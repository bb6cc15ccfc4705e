"""Long work into one table: row by row, whole at the end, resumed after an interruption."""

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from cutis.errors import InputError, nearest
from cutis.runtime.bundle import MODEL_FILES
from cutis.runtime.predictor import Predictor
from cutis.runtime.stream import predict_photos
from cutis.storage import clear_write_errors, commit_files, write_file

TABLE_SUFFIXES = (".csv", ".parquet")

PART_ROWS = 2_000
"""Rows between two points from which interrupted work goes on."""

_JOB = "job.txt"


@dataclass(frozen=True)
class PredictionSummary:
    """What a table of predictions came to; the counts are photos."""

    out: Path
    photos: int
    unreadable: int
    resumed: int  # taken over from interrupted work


def predict_to_file(
    predictor: Predictor, photos: Sequence[Path], out: Path, *, part_rows: int = PART_ROWS
) -> PredictionSummary:
    """Writes the predictions for the photos, with `predict_photos`' columns, as CSV or Parquet.

    Until all are done the rows stand in parts in the folder `<out>.partial`. The same call after
    an interruption takes over the parts that the same network made for the same leading photos.
    `out` appears, or is replaced, in one step at the end. Raises InputError for another suffix, an
    `out` or partial folder that is something else, a full disk and a forbidden folder.
    """
    _check_target(out)
    partial = out.with_name(out.name + ".partial")
    schema = _schema(predictor)
    with clear_write_errors(out):
        done = _take_over(partial, predictor.info.files[MODEL_FILES[predictor.model]], photos)
        _predict_parts(predictor, photos, partial, done, part_rows)
        parts = _parts(partial)
        commit_files(out.parent, {out.name: lambda target: _join(parts, target, schema)})
        unreadable = sum(len(_column(part, "error").drop_null()) for part in parts)
        shutil.rmtree(partial)
    return PredictionSummary(out, len(photos), unreadable, done)


def _check_target(out: Path) -> None:
    if out.suffix not in TABLE_SUFFIXES:
        raise InputError(
            f"predictions are not written as '{out.suffix}'",
            where=out,
            expected="a name that ends in " + " or ".join(TABLE_SUFFIXES),
            fix=nearest(out.suffix, TABLE_SUFFIXES) or "change the name after --out",
        )
    if out.is_dir():
        raise InputError("the output is a folder", where=out, fix="name a file after --out")


def _schema(predictor: Predictor) -> pa.Schema:
    diagnoses = predictor.info.model.diagnoses
    values = [f"logit_{name}" for name in diagnoses] + list(diagnoses)
    return pa.schema(
        [
            pa.field("path", pa.string()),
            *(pa.field(name, pa.float32()) for name in values),
            pa.field("error", pa.string()),
        ]
    )


def _take_over(partial: Path, network: str, photos: Sequence[Path]) -> int:
    """Photos that earlier work answered; the folder then holds exactly their parts."""
    job = partial / _JOB
    if partial.exists() and not job.is_file() and any(partial.iterdir()):
        raise InputError(
            "the folder for unfinished predictions holds something else",
            where=partial,
            fix="move it away, or choose another --out",
        )
    partial.mkdir(parents=True, exist_ok=True)
    done = 0
    same = job.is_file() and job.read_text(encoding="utf-8") == network
    for part in _parts(partial):
        paths = _column(part, "path").to_pylist() if same else []
        same = bool(paths) and paths == [str(p) for p in photos[done : done + len(paths)]]
        if same:
            done += len(paths)
        else:
            part.unlink()
    write_file(job, network)
    return done


def _predict_parts(
    predictor: Predictor, photos: Sequence[Path], partial: Path, done: int, part_rows: int
) -> None:
    schema = _schema(predictor)
    number = len(_parts(partial))
    progress = tqdm(total=len(photos), initial=done, unit="photo", disable=None)
    with progress:
        for start in range(done, len(photos), part_rows):
            rows = []
            for table in predict_photos(predictor, photos[start : start + part_rows]):
                rows.append(table)
                progress.update(len(table))
            part = pa.Table.from_pandas(pd.concat(rows), schema, preserve_index=False)
            name = f"part-{number:06}.parquet"
            commit_files(partial, {name: functools.partial(pq.write_table, part)})
            number += 1


def _join(parts: Sequence[Path], target: Path, schema: pa.Schema) -> None:
    with _writer(target, schema) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, schema=schema))


def _writer(target: Path, schema: pa.Schema) -> pq.ParquetWriter | pa.csv.CSVWriter:
    if target.suffix == ".parquet":
        return pq.ParquetWriter(target, schema)
    return pa.csv.CSVWriter(target, schema)


def _parts(partial: Path) -> list[Path]:
    return sorted(partial.glob("part-*.parquet"))


def _column(part: Path, name: str) -> pa.ChunkedArray:
    return pq.read_table(part, columns=[name]).column(name)
