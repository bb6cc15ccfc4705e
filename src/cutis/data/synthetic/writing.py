"""Draws a whole collection into a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cutis.data.synthetic.camera import Photo
from cutis.data.synthetic.drawing import draw_lesion
from cutis.data.synthetic.fields import Generator
from cutis.data.synthetic.layouts import LAYOUTS, LayoutName, truth_tables
from cutis.data.synthetic.plan import NEAR, Kind, Row, plan
from cutis.data.synthetic.spec import SyntheticSpec
from cutis.errors import InputError, nearest
from cutis.storage import staged_folder

_FILE = 1000
_COPY = 2000


_DEFAULT = SyntheticSpec()


def generate(out: Path, spec: SyntheticSpec = _DEFAULT, layout: LayoutName = "ham10000") -> Path:
    """Draws the collection `spec` into the folder `out`, laid out as a published one.

    Beside the layout's own files stand `planted.csv` (image_id, kind, of: the original of a copy,
    the true diagnosis behind a wrong label) and `truth.csv` (what was drawn, modality, skin tone).
    Layout "ph2" draws common and atypical nevi and melanomas, dermoscopic only.
    """
    if layout not in LAYOUTS:
        raise InputError(
            f"no such layout: '{layout}'",
            expected=", ".join(LAYOUTS),
            fix=nearest(layout, LAYOUTS) or None,
        )
    form = LAYOUTS[layout]
    if form.diagnosis_shares:
        spec = replace(spec, diagnosis_shares=form.diagnosis_shares, clinical_share=0.0)
    rows = plan(spec, form.prefix, form.first, form.digits)
    with staged_folder(out, "planted.csv") as folder:
        progress = tqdm(
            _drawn(rows, spec), desc="draw", total=len(rows), unit="photo", disable=None
        )
        for number, (row, content, mask) in enumerate(progress):
            _write(folder / form.photo(row, number / len(rows)), content)
            if form.mask:
                _write(folder / form.mask(row), _png(mask))
        tables = {**form.tables(rows), **truth_tables(rows), "source.toml": _NOTE}
        for name, text in tables.items():
            _write(folder / name, text.encode())
    return out


_NOTE = """licence = "CC0-1.0: drawn by a program, nobody's skin"
citation = "Cutis, generated lesion photographs"
"""


def draw_collection(
    spec: SyntheticSpec = _DEFAULT,
) -> Iterator[tuple[Row, bytes, NDArray[np.bool_]]]:
    """Each photo of a collection in memory: its row, the bytes of its file, the lesion's mask."""
    form = LAYOUTS["ham10000"]
    return _drawn(plan(spec, form.prefix, form.first, form.digits), spec)


def _drawn(
    rows: Sequence[Row], spec: SyntheticSpec
) -> Iterator[tuple[Row, bytes, NDArray[np.bool_]]]:
    for row in rows:
        yield row, *render(row, spec)


def render(row: Row, spec: SyntheticSpec) -> tuple[bytes, NDArray[np.bool_]]:
    """The bytes of one image file and the lesion's mask in it."""
    photo, mask = draw_lesion(
        row.drawn,
        row.seed,
        view=row.view,
        clinical=row.clinical,
        width=spec.width,
        height=spec.height,
    )
    rng = np.random.default_rng([row.seed, _FILE + row.view])
    quality = int(rng.integers(72, 96))
    if row.planted in NEAR:
        copier = np.random.default_rng([row.seed, _COPY + row.view])
        photo, mask, quality = _near_copy(photo, mask, row.planted, copier)
    if row.planted == "text":
        return b"This file is named .jpg and holds text.\n", mask
    content = _jpeg(photo, quality)
    if row.planted == "truncated":
        content = content[: len(content) // 3]
    return content, mask


def _near_copy(
    photo: Photo, mask: NDArray[np.bool_], kind: Kind | None, rng: Generator
) -> tuple[Photo, NDArray[np.bool_], int]:
    """The same photograph as another collection may hold it: photo, mask, JPEG quality."""
    height, width = mask.shape
    if kind == "resized":
        share = rng.uniform(0.5, 0.85)
        size = (round(width * share), round(height * share))
        small = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        return photo, small.astype(bool), 90
    if kind == "flipped":
        axis = int(rng.integers(2))
        return np.flip(photo, axis), np.flip(mask, axis), 90
    if kind == "cropped":
        sides = rng.uniform(0.01, 0.03, 4) * (width, height, width, height)
        left, top, right, bottom = np.ceil(sides).astype(int)
        inner = np.s_[top : height - bottom, left : width - right]
        return photo[inner], mask[inner], 90
    return photo, mask, int(rng.integers(40, 60))


def _jpeg(photo: Photo, quality: int) -> bytes:
    bgr = cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _png(mask: NDArray[np.bool_]) -> bytes:
    grey = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)
    return cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
