"""Long work into one table: part by part, whole at the end, resumed after an interruption."""

import functools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from cutis.errors import InputError
from cutis.storage import clear_write_errors, commit_files, finish_commit, write_file

Known = Mapping[str, Sequence[str]]

_JOB = "job.txt"


@dataclass(frozen=True)
class TableWork:
    """A table to be made, a row a photo.

    Attributes:
        out: the table, CSV or Parquet; it appears, or is replaced, in one step at the end.
        schema: its columns.
        key: all that the rows depend on, the photos aside; other parts are not taken over.
        known: the text columns that are known before the work, with their value in every row.
        rows: makes the rows of a slice, by the schema, a few in each table.
        part_rows: rows between two points from which interrupted work goes on.
    """

    out: Path
    schema: pa.Schema
    key: str
    known: Known
    rows: Callable[[slice], Iterator[pa.Table]]
    part_rows: int

    @property
    def partial(self) -> Path:
        """The folder of the parts until all are done."""
        return partial_folder(self.out)


@dataclass(frozen=True)
class TableDone:
    """What a table came to: rows taken over, and the values of each counted column."""

    resumed: int
    counts: dict[str, Counter[str]] = field(default_factory=dict)


def partial_folder(out: Path) -> Path:
    """Where the parts of a table lie until all are done."""
    return out.with_name(out.name + ".partial")


def write_in_parts(
    work: TableWork, counted: Sequence[str], drop: Callable[[Path], object] | None = None
) -> TableDone:
    """Does the work, or goes on with what an interruption has left of it.

    Args:
        counted: text columns whose values are counted.
        drop: called with each part that is not taken over, before it is removed. One that was
            begun and not finished holds the known columns alone.

    Raises InputError for a partial folder that is something else, a full disk and a forbidden
    folder.
    """
    with clear_write_errors(work.out):
        done = _take_over(work, drop)
        _make_parts(work, done, note=drop is not None)
        parts = part_files(work.partial)
        commit_files(
            work.out.parent, {work.out.name: lambda target: _join(parts, target, work.schema)}
        )
        counts = {name: _count(parts, name) for name in counted}
        shutil.rmtree(work.partial)
    return TableDone(done, counts)


def refuse_strange_parts(partial: Path) -> None:
    """Raises InputError where the folder of the parts holds something else."""
    if partial.exists() and not (partial / _JOB).is_file() and any(partial.iterdir()):
        raise InputError(
            "the folder for unfinished work holds something else",
            where=partial,
            fix="move it away, or choose another --out",
        )


def part_files(partial: Path) -> list[Path]:
    """The finished parts in order."""
    return sorted(partial.glob("part-*.parquet"))


def _take_over(work: TableWork, drop: Callable[[Path], object] | None) -> int:
    """Rows that earlier work made; the partial folder then holds exactly their parts."""
    partial = work.partial
    job = partial / _JOB
    refuse_strange_parts(partial)
    partial.mkdir(parents=True, exist_ok=True)
    finish_commit(partial)
    for note in partial.glob("begun-*.parquet"):
        finished = note.with_name(note.name.replace("begun", "part"))
        if drop is not None and not finished.is_file():  # its rows are made anew in any case
            drop(note)
        note.unlink()
    done = 0
    same = job.is_file() and job.read_text(encoding="utf-8") == work.key
    for part in part_files(partial):
        rows = pq.read_table(part, columns=list(work.known)) if same else None
        same = rows is not None and len(rows) > 0 and _agree(rows, work.known, done)
        if rows is not None and same:
            done += len(rows)
        else:
            if drop is not None:
                drop(part)
            part.unlink()
    write_file(job, work.key)
    return done


def _agree(rows: pa.Table, known: Known, start: int) -> bool:
    return all(
        rows.column(name).to_pylist() == list(values[start : start + len(rows)])
        for name, values in known.items()
    )


def _make_parts(work: TableWork, done: int, *, note: bool) -> None:
    """Makes the rows that are left; `note` keeps the known columns of a part while it is made."""
    total = len(next(iter(work.known.values())))
    number = len(part_files(work.partial))
    with tqdm(total=total, initial=done, unit="photo", disable=None) as progress:
        for start in range(done, total, work.part_rows):
            wanted = slice(start, start + work.part_rows)
            begun = f"begun-{number:06}.parquet"
            if note:
                known = {name: list(values[wanted]) for name, values in work.known.items()}
                _commit(pa.table(known), work.partial / begun)
            rows = []
            for table in work.rows(wanted):
                rows.append(table)
                progress.update(len(table))
            _commit(pa.concat_tables(rows), work.partial / f"part-{number:06}.parquet")
            (work.partial / begun).unlink(missing_ok=True)
            number += 1


def _commit(rows: pa.Table, path: Path) -> None:
    commit_files(path.parent, {path.name: functools.partial(pq.write_table, rows)})


def _join(parts: Sequence[Path], target: Path, schema: pa.Schema) -> None:
    with _writer(target, schema) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, schema=schema))


def _writer(target: Path, schema: pa.Schema) -> pq.ParquetWriter | pa.csv.CSVWriter:
    if target.suffix == ".parquet":
        return pq.ParquetWriter(target, schema)
    return pa.csv.CSVWriter(target, schema)


def _count(parts: Sequence[Path], name: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for part in parts:
        found.update(pq.read_table(part, columns=[name]).column(name).drop_null().to_pylist())
    return found
