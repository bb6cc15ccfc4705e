"""A table of predictions as CSV or Parquet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from cutis.errors import InputError, nearest
from cutis.runtime.bundle import MODEL_FILES
from cutis.runtime.parts import TableWork, write_in_parts
from cutis.runtime.predictor import Predictor
from cutis.runtime.stream import FALLBACK, predict_photos, text_columns, value_columns

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
    schema = _schema(predictor)

    def rows(wanted: slice) -> Iterator[pa.Table]:
        for table in predict_photos(predictor, photos[wanted]):
            yield pa.Table.from_pandas(table, schema, preserve_index=False)

    work = TableWork(
        out=out,
        schema=schema,
        key=_key(predictor),
        known={"path": [str(photo) for photo in photos]},
        rows=rows,
        part_rows=part_rows,
    )
    done = write_in_parts(work, counted=text_columns(predictor))
    return PredictionSummary(
        out,
        photos=len(photos),
        unreadable=done.counts["error"].total(),
        resumed=done.resumed,
        fallbacks=done.counts.get(FALLBACK, {}),
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


def _schema(predictor: Predictor) -> pa.Schema:
    return pa.schema(
        [
            pa.field("path", pa.string()),
            *(pa.field(name, pa.float32()) for name in value_columns(predictor)),
            *(pa.field(name, pa.string()) for name in text_columns(predictor)),
        ]
    )


def _key(predictor: Predictor) -> str:
    network = predictor.info.files[MODEL_FILES[predictor.model]]
    return f"{network} {predictor.segmenter.sha256}" if predictor.segmenter else network
