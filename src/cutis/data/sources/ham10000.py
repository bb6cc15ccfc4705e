"""HAM10000 as published on Dataverse and Kaggle.

Tschandl et al. 2018: two folders of images (or one), `HAM10000_metadata` as CSV or as Dataverse's
.tab, optionally a folder of lesion masks called `<image_id>_segmentation.png`.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cutis.data.sources import tables
from cutis.data.sources.base import Reader, SourceTable, collect_photos, match_rows

_COLUMNS = ("lesion_id", "image_id", "dx")


def _recognises(folder: Path) -> bool:
    return folder.is_dir() and tables.find_table(folder, _COLUMNS) is not None


def _read(folder: Path, columns: Mapping[str, str]) -> SourceTable:
    metadata = tables.read_all(tables.find_tables(folder, _COLUMNS))
    optional = tables.known_cells(metadata, ("dx_type", "age", "sex", "localization"))
    table = pd.DataFrame(
        {
            "name": metadata["image_id"],
            "source_label": metadata["dx"],
            "confirmed_by": tables.clean_confirmation(optional["dx_type"]),
            "lesion_id": metadata["lesion_id"],
            "age": tables.clean_age(optional["age"]),
            "sex": tables.clean_sex(optional["sex"]),
            "site": tables.clean_site(optional["localization"]),
        }
    )
    rows, warnings = match_rows(table, collect_photos(folder))
    rows["modality"] = "dermoscopic"
    return SourceTable(
        format=HAM10000.name,
        root=folder,
        rows=rows,
        licence="CC BY-NC 4.0",
        citation="Tschandl, Rosendahl, Kittler: The HAM10000 dataset, a large collection of "
        "multi-source dermatoscopic images of common pigmented skin lesions. "
        "Scientific Data 5, 180161 (2018)",
        warnings=warnings,
    )


HAM10000 = Reader(
    name="ham10000",
    looks_for="a CSV or .tab with the columns lesion_id, image_id and dx, and folders of images",
    recognises=_recognises,
    read=_read,
)
