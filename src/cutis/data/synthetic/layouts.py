"""Where the files of a drawn collection lie and what its tables say, in three published layouts."""

import csv
import io
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cutis.data.synthetic.plan import Row

LayoutName = Literal["ham10000", "folders", "ph2"]

_CLASS_FOLDERS = {
    "akiec": "actinic keratosis",
    "bcc": "basal cell carcinoma",
    "bkl": "pigmented benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "nevus",
    "vasc": "vascular lesion",
}
_PH2_CODES = {"nv": 0, "nv-atypical": 1, "mel": 2}


@dataclass(frozen=True)
class Layout:
    """Paths are relative to the collection's folder; `tables` maps each to its text."""

    prefix: str
    first: int
    digits: int
    photo: Callable[[Row, float], str]
    """Path of a photo, given its row and its place in the collection (0 to 1)."""
    mask: Callable[[Row], str] | None
    tables: Callable[[Sequence[Row]], dict[str, str]]
    diagnosis_shares: tuple[tuple[str, float], ...] | None = None
    """Where the layout has diagnoses of its own: their shares, in place of the spec's."""


def _table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def truth_tables(rows: Sequence[Row]) -> dict[str, str]:
    """What was planted, and what each photo truly shows; the same for every layout."""
    planted = [(row.image_id, row.planted, row.of) for row in rows if row.planted]
    truth = [
        (
            row.image_id,
            row.lesion_id,
            row.drawn,
            "clinical" if row.clinical else "dermoscopic",
            row.tone,
        )
        for row in rows
    ]
    return {
        "planted.csv": _table(("image_id", "kind", "of"), planted),
        "truth.csv": _table(("image_id", "lesion_id", "drawn", "modality", "skin_tone"), truth),
    }


def _ham10000_photo(row: Row, place: float) -> str:
    return f"HAM10000_images_part_{1 if place < 0.5 else 2}/{row.image_id}.jpg"


def _ham10000_mask(row: Row) -> str:
    return f"HAM10000_segmentations_lesion_tschandl/{row.image_id}_segmentation.png"


def _ham10000_tables(rows: Sequence[Row]) -> dict[str, str]:
    header = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
    lines = [
        (row.lesion_id, row.image_id, row.dx, row.dx_type, row.age, row.sex, row.site)
        for row in rows
    ]
    return {"HAM10000_metadata.csv": _table(header, lines)}


def _folders_photo(row: Row, place: float) -> str:
    # By photo, not by lesion: such arrangements leak, and an audit has to find it.
    part = "Test" if zlib.crc32(row.image_id.encode()) % 5 == 0 else "Train"
    return f"{part}/{_CLASS_FOLDERS[row.dx]}/{row.image_id}.jpg"


def _no_tables(rows: Sequence[Row]) -> dict[str, str]:
    return {}


def _ph2_folder(row: Row) -> str:
    return f"PH2 Dataset images/{row.image_id}/{row.image_id}"


def _ph2_photo(row: Row, place: float) -> str:
    return f"{_ph2_folder(row)}_Dermoscopic_Image/{row.image_id}.jpg"


def _ph2_mask(row: Row) -> str:
    return f"{_ph2_folder(row)}_lesion/{row.image_id}_lesion.png"


def _ph2_tables(rows: Sequence[Row]) -> dict[str, str]:
    lines = [(row.image_id, code := _PH2_CODES[row.dx], code) for row in rows]
    table = _table(("Name", "Clinical Diagnosis", "Asymmetry"), lines)
    return {"PH2_dataset.txt": table.replace(",", "\t").replace("\n", "\r\n")}


LAYOUTS: dict[LayoutName, Layout] = {
    "ham10000": Layout("ISIC_", 9_000_000, 7, _ham10000_photo, _ham10000_mask, _ham10000_tables),
    "folders": Layout("ISIC_", 9_000_000, 7, _folders_photo, None, _no_tables),
    "ph2": Layout(
        "IMD",
        1,
        3,
        _ph2_photo,
        _ph2_mask,
        _ph2_tables,
        diagnosis_shares=(("nv", 0.4), ("nv-atypical", 0.4), ("mel", 0.2)),
    ),
}
