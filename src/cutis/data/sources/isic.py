"""The ISIC challenges: 2017 with its two binary columns, 2018 and 2019 with one-hot tables."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cutis.data.sources import tables
from cutis.data.sources.base import Reader, SourceTable, collect_photos, match_rows, part_name

_2017 = ("image_id", "melanoma", "seborrheic_keratosis")
_CLASSES = ("mel", "nv", "bcc", "akiec", "ak", "bkl", "df", "vasc", "scc", "unk")
_EXTRAS = ("age_approx", "age_approximate", "sex", "anatom_site_general", "lesion_id")
_PART_IN_NAME = re.compile(r"training|train|validation|test", re.IGNORECASE)

_CITATIONS = {
    "2017": "Codella et al.: Skin lesion analysis toward melanoma detection: a challenge at ISBI "
    "2017, hosted by ISIC. arXiv:1710.05006 (2017)",
    "2018": "Codella et al.: Skin lesion analysis toward melanoma detection 2018. "
    "arXiv:1902.03368 (2019); Tschandl, Rosendahl, Kittler: The HAM10000 dataset. "
    "Scientific Data 5, 180161 (2018)",
    "2019": "Combalia et al.: BCN20000. arXiv:1908.02288 (2019); Codella et al.: "
    "arXiv:1710.05006 (2017); Tschandl, Rosendahl, Kittler: The HAM10000 dataset. "
    "Scientific Data 5, 180161 (2018)",
}


def _recognises_2017(folder: Path) -> bool:
    return folder.is_dir() and tables.find_table(folder, _2017) is not None


def _read_2017(folder: Path, columns: Mapping[str, str]) -> SourceTable:
    truth = _with_parts(tables.find_tables(folder, _2017))
    melanoma = truth["melanoma"].astype(float) == 1
    keratosis = truth["seborrheic_keratosis"].astype(float) == 1
    label = pd.Series("nevus", index=truth.index)
    table = pd.DataFrame(
        {
            "name": truth["image_id"],
            "source_label": label.mask(keratosis, "seborrheic_keratosis").mask(
                melanoma, "melanoma"
            ),
            "source_part": truth["part"],
        }
    )
    return _finish("isic2017", folder, table, licence="CC0", year="2017")


def _recognises_one_hot(folder: Path) -> bool:
    return folder.is_dir() and bool(_one_hot_tables(folder))


def _read_one_hot(folder: Path, columns: Mapping[str, str]) -> SourceTable:
    found = _one_hot_tables(folder)
    truth = _with_parts(found)
    classes = [column for column in truth if column in _CLASSES]
    chosen = truth[classes].astype(float).fillna(0) > 0.5
    single = chosen.sum(axis=1) == 1
    table = pd.DataFrame(
        {
            "name": truth["image"],
            "source_label": chosen.idxmax(axis=1).astype(str).str.upper().where(single, None),
            "source_part": truth["part"],
        }
    )
    year = next((year for year in ("2018", "2019") if any(year in p.name for p in found)), None)
    licence = "CC BY-NC 4.0" if year else None
    return _finish("isic-onehot", folder, table, licence=licence, year=year)


def _finish(
    name: str, folder: Path, table: pd.DataFrame, *, licence: str | None, year: str | None
) -> SourceTable:
    rows, warnings = match_rows(_with_extras(table, folder), collect_photos(folder))
    return SourceTable(
        format=name,
        root=folder,
        rows=rows.assign(modality="dermoscopic"),
        licence=licence,
        citation=_CITATIONS.get(year or ""),
        warnings=warnings,
    )


def _one_hot_tables(folder: Path) -> list[Path]:
    # Two classes or more: a column "mel" alone may mean anything.
    return [
        path
        for path in tables.find_tables(folder, ("image",), any_of=_CLASSES)
        if len(set(tables.read_lower(path, rows=0)) & set(_CLASSES)) > 1
    ]


def _with_parts(paths: list[Path]) -> pd.DataFrame:
    """The tables below one another, with the part that their file names state."""
    read = []
    for path in paths:
        word = _PART_IN_NAME.search(path.name)
        read.append(tables.read_lower(path).assign(part=part_name(word[0]) if word else None))
    return pd.concat(read, ignore_index=True)


def _with_extras(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Adds age, sex, site, lesion and confirmation from whichever further tables there are."""
    paths = {
        path
        for key in ("image", "image_id")
        for path in tables.find_tables(folder, (key,), any_of=(*_EXTRAS, "diagnosis_confirm_type"))
    }
    extras = pd.concat(
        [pd.DataFrame(columns=["image"])]
        + [tables.read_lower(path).rename(columns={"image_id": "image"}) for path in sorted(paths)],
        ignore_index=True,
    )
    known = extras.groupby("image").first().reindex(table["name"]).reset_index(drop=True)
    column = tables.known_cells(known, (*_EXTRAS, "diagnosis_confirm_type"))
    age = column["age_approx"].fillna(column["age_approximate"])
    return table.assign(
        lesion_id=column["lesion_id"],
        age=tables.clean_age(age),
        sex=tables.clean_sex(column["sex"]),
        site=tables.clean_site(column["anatom_site_general"]),
        confirmed_by=tables.clean_confirmation(column["diagnosis_confirm_type"]),
    )


ISIC2017 = Reader(
    name="isic2017",
    looks_for="a CSV with the columns image_id, melanoma and seborrheic_keratosis, and images",
    recognises=_recognises_2017,
    read=_read_2017,
)

ISIC_ONE_HOT = Reader(
    name="isic-onehot",
    looks_for="a CSV with the column image and one column a class (MEL, NV, BCC …), and images",
    recognises=_recognises_one_hot,
    read=_read_one_hot,
)
