"""A table of predictions as CSV or Parquet."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from cutis.errors import InputError, nearest
from cutis.metrics.quality import THRESHOLDS
from cutis.runtime.parts import TableWork, write_in_parts
from cutis.runtime.predictor import Predictor
from cutis.runtime.stream import FALLBACK, VERDICT, predict_photos, text_columns, value_columns

TABLE_SUFFIXES = (".csv", ".parquet")

PART_ROWS = 2_000
"""Rows between two points from which interrupted work goes on."""


@dataclass(frozen=True)
class PredictionSummary:
    """What a table of predictions came to; the counts are photos."""

    out: Path
    photos: int
    unreadable: int
    resumed: int  # taken over from interrupted work
    fallbacks: Mapping[str, int] = field(default_factory=dict)
    """Taken whole by a model that looks at the lesion, by reason."""
    verdicts: Mapping[str, int] = field(default_factory=dict)
    """Of a bundle with a policy, by verdict."""


def predict_to_file(
    predictor: Predictor,
    photos: Sequence[Path] | Sequence[str],
    out: Path,
    *,
    part_rows: int = PART_ROWS,
    quality: bool = True,
    rows: Callable[[slice], Iterator[pa.Table]] | None = None,
) -> PredictionSummary:
    """Writes the predictions for the photos, with `predict_photos`' columns, as CSV or Parquet.

    Args:
        photos: files, or their names where `rows` finds them.
        out: the table.
        part_rows: rows between two points from which interrupted work goes on.
        quality: as `predict_photos` takes it.
        rows: makes the rows of a slice of the photos, by `table_schema`, a few in each table; the
            slices follow each other. None makes them here.

    Until all are done the rows stand in parts in the folder `<out>.partial`. The same call after
    an interruption takes over the parts that the same bundle made, with the same network, engine
    and `quality`, for the same leading photos. `out` appears, or is replaced, in one step at the
    end. Raises InputError for another suffix, an `out` or partial folder that is something else, a
    full disk and a forbidden folder.
    """
    _check_target(out)
    schema = table_schema(predictor, quality)

    def rows_made_here(wanted: slice) -> Iterator[pa.Table]:
        for table in predict_photos(predictor, map(Path, photos[wanted]), quality=quality):
            yield pa.Table.from_pandas(table, schema, preserve_index=False)

    work = TableWork(
        out=out,
        schema=schema,
        key=_key(predictor, quality),
        known={"path": [str(photo) for photo in photos]},
        rows=rows or rows_made_here,
        part_rows=part_rows,
    )
    counted = {FALLBACK, VERDICT, "error"} & set(schema.names)
    done = write_in_parts(work, counted=sorted(counted))
    return PredictionSummary(
        out,
        photos=len(photos),
        unreadable=done.counts["error"].total(),
        resumed=done.resumed,
        fallbacks=done.counts.get(FALLBACK, {}),
        verdicts=done.counts.get(VERDICT, {}),
    )


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


def table_schema(predictor: Predictor, quality: bool) -> pa.Schema:
    """The columns of a table of predictions: path, `value_columns` and `text_columns`."""
    return pa.schema(
        [
            pa.field("path", pa.string()),
            *(pa.field(name, pa.float32()) for name in value_columns(predictor)),
            *(pa.field(name, pa.string()) for name in text_columns(predictor, quality=quality)),
        ]
    )


def _key(predictor: Predictor, quality: bool) -> str:
    """Names all that the rows depend on: the bundle's record has the hash of every file."""
    segmenter = predictor.segmenter.sha256 if predictor.segmenter else ""
    measured = str(THRESHOLDS) if quality else ""
    parts = [predictor.info.model_dump_json(), predictor.model, predictor.engine, segmenter]
    return hashlib.sha256("\n".join([*parts, measured]).encode()).hexdigest()
