"""Masks, overlays and measures of any number of photos, in bounded memory."""

import csv
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from PIL import Image

from cutis.errors import InputError, PhotoError
from cutis.lesion import Pixels
from cutis.metrics.lesion_colours import COLOURS
from cutis.metrics.lesion_measures import LesionMeasures, measure_lesion
from cutis.runtime.ahead import batched, map_ahead
from cutis.runtime.overlay import draw_overlay
from cutis.runtime.parts import (
    TableWork,
    partial_folder,
    refuse_strange_parts,
    write_in_parts,
)
from cutis.runtime.photos import name_photos
from cutis.runtime.segmenter import Segmenter
from cutis.storage import clear_write_errors, refuse_other_content

MEASURES_FILE = "measures.csv"

PART_ROWS = 500
"""Photos between two points from which interrupted work goes on."""

_FORMATS = {".png": "PNG", ".jpg": "JPEG"}
_ROWS = 8  # photos between two movements of the progress bar

_FLOATS = (
    "area_share",
    "asymmetry_smaller",
    "asymmetry_larger",
    "compactness",
    "solidity",
    "colour_spread",
    *(f"share_{name}" for name in COLOURS),
    "longest_diameter",
    "equal_area_diameter",
    "largest_share",
)
SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("name", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("pieces", pa.int32()),
        pa.field("touches_frame", pa.bool_()),
        pa.field("colours", pa.string()),
        *(pa.field(name, pa.float32()) for name in _FLOATS),
        pa.field("fallback", pa.string()),
        pa.field("error", pa.string()),
    ]
)
"""Columns of measures.csv; docs/verbs/segment.md says what each means."""


@dataclass(frozen=True)
class SegmentSummary:
    """What segmenting a number of photos came to; the counts are photos."""

    out: Path
    photos: int
    unreadable: int
    resumed: int  # taken over from interrupted work
    fallbacks: Mapping[str, int]  # whose mask a classifier would not use, by reason


def segment_to_folder(
    segmenter: Segmenter, paths: Sequence[Path], out: Path, *, part_rows: int = PART_ROWS
) -> SegmentSummary:
    """Writes masks, overlays and measures of photos and folders of photos.

    `out` mirrors the folders: of each photo `NAME.png` (255 on the lesion, else 0, at the photo's
    size), `NAME-overlay.jpg`, and a row of measures.csv, which appears when all are done; until
    then the rows stand in `measures.csv.partial`. The same call after an interruption goes on;
    another segmenter starts anew. An older result in `out` is removed first. A photo that cannot
    be read gives a row with the reason in `error`, and the work goes on.

    Raises InputError for paths as `find_photos`, an `out` that holds something else or lies in a
    folder of the photos, a full disk and a forbidden folder.
    """
    names = name_photos(paths)
    photos = list(names)
    table = out / MEASURES_FILE
    _check_target(paths, out)
    scratch = partial_folder(table)

    def rows(wanted: slice) -> Iterator[pa.Table]:
        one = partial(_segment, segmenter, names, out, scratch)
        made = map_ahead(one, photos[wanted], segmenter.network.threads)
        with closing(made):
            for some in batched(made, _ROWS):
                yield pa.Table.from_pylist(some, SCHEMA)

    work = TableWork(
        out=table,
        schema=SCHEMA,
        key=f"{segmenter.sha256} {segmenter.network.engine}",
        known={"path": [str(photo) for photo in photos], "name": list(names.values())},
        rows=rows,
        part_rows=part_rows,
    )
    with clear_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        _remove_older(table)
    done = write_in_parts(
        work, ("fallback", "error"), drop=lambda part: _remove(out, _names(pq.read_table(part)))
    )
    return SegmentSummary(
        out,
        photos=len(photos),
        unreadable=done.counts["error"].total(),
        resumed=done.resumed,
        fallbacks=done.counts["fallback"],
    )


def _check_target(paths: Sequence[Path], out: Path) -> None:
    place = out.resolve()
    for path in paths:
        given = path.resolve()
        if given == place or given in place.parents or place in given.parents:
            raise InputError(
                "the output and the photos lie in one another",
                where=out,
                expected="a folder apart from the photos, so that masks are not taken for photos",
                fix="choose another --out",
            )
    table = out / MEASURES_FILE
    refuse_strange_parts(partial_folder(table))
    if not partial_folder(table).is_dir():
        refuse_other_content(out, MEASURES_FILE)
    if table.is_file() and _columns(table) != SCHEMA.names:
        raise InputError(
            f"the {MEASURES_FILE} of the output folder is something else",
            where=table,
            fix="move it away, or choose another --out",
        )


def _segment(
    segmenter: Segmenter, names: Mapping[Path, str], out: Path, scratch: Path, photo: Path
) -> dict[str, object]:
    """Writes the files of one photo and returns its row."""
    row: dict[str, object] = {"path": str(photo), "name": names[photo]}
    try:
        found = segmenter.segment(photo)
    except PhotoError as error:
        return {**row, "error": error.problem}
    height, width = found.mask.shape
    mask_file, overlay_file = _files(out, names[photo])
    mask_file.parent.mkdir(parents=True, exist_ok=True)
    _save(found.mask.view("uint8") * 255, mask_file, scratch, compress_level=1)
    _save(draw_overlay(found.rgb, found.mask), overlay_file, scratch, quality=85, subsampling=0)
    return {
        **row,
        "width": width,
        "height": height,
        "fallback": found.fallback,
        **_measures(measure_lesion(found.rgb, found.mask)),
    }


def _measures(found: LesionMeasures | None) -> dict[str, object]:
    if found is None:
        return {"pieces": 0, "area_share": 0.0}
    smaller, larger = found.asymmetry
    return {
        "pieces": found.pieces,
        "touches_frame": found.touches_frame,
        "colours": " ".join(found.colours.present),
        "area_share": found.area_share,
        "asymmetry_smaller": smaller,
        "asymmetry_larger": larger,
        "compactness": found.compactness,
        "solidity": found.solidity,
        "colour_spread": found.colours.spread,
        **{f"share_{name}": share for name, share in found.colours.shares.items()},
        "longest_diameter": found.longest_diameter,
        "equal_area_diameter": found.equal_area_diameter,
        "largest_share": found.largest_share,
    }


def _save(pixels: Pixels, path: Path, scratch: Path, **options: Any) -> None:
    """Writes a picture whole or not at all; a thread works on one at a time."""
    written = scratch / f"{threading.get_ident()}{path.suffix}"
    with written.open("wb") as file:
        Image.fromarray(pixels).save(file, _FORMATS[path.suffix], **options)
        os.fsync(file.fileno())
    written.replace(path)


def _files(out: Path, name: str) -> tuple[Path, Path]:
    return out / f"{name}.png", out / f"{name}-overlay.jpg"


def _remove_older(table: Path) -> None:
    """Removes an older result; its table goes last, so that an interruption leaves no orphans."""
    if table.is_file():
        shutil.rmtree(partial_folder(table), ignore_errors=True)
        _remove(table.parent, _names(_read(table)))
        partial_folder(table).mkdir()
        table.unlink()


def _columns(table: Path) -> list[str]:
    with table.open(encoding="utf-8", errors="replace", newline="") as file:
        return next(csv.reader(file), [])


def _read(table: Path) -> pa.Table:
    as_text = pyarrow.csv.ConvertOptions(
        include_columns=["name"], column_types={"name": pa.string()}
    )
    return pyarrow.csv.read_csv(table, convert_options=as_text)


def _names(table: pa.Table) -> list[str]:
    names: list[str] = table.column("name").to_pylist()
    return names


def _remove(out: Path, names: Sequence[str]) -> None:
    for name in names:
        for file in _files(out, name):
            if file.resolve().is_relative_to(out.resolve()):  # a table may have been edited
                file.unlink(missing_ok=True)
