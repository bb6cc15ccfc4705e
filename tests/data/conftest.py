"""Small collections and catalogs for the tests of the data layer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.data.catalog import Catalog, CatalogOptions, SourceInfo, write_catalog
from cutis.records import CATALOG_SCHEMA, LINK_SCHEMA

Draw = Callable[..., Path]
MakeCatalog = Callable[..., Catalog]


@pytest.fixture
def draw() -> Draw:
    """Writes a photo of coloured clouds; each seed looks different."""

    def write(path: Path, seed: int, size: tuple[int, int] = (96, 72), **options: Any) -> Path:
        clouds = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC).save(path, **options)
        return path

    return write


@pytest.fixture
def ham(tmp_path: Path, draw: Draw) -> Path:
    """Twelve photos of eight lesions in the layout of HAM10000; two of them are one file."""
    folder = tmp_path / "ham-tiny"
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for number in range(12):
        name = f"ISIC_{number:07d}"
        part = folder / f"HAM10000_images_part_{1 + number // 6}"
        draw(part / f"{name}.jpg", seed=3 if number == 9 else number)
        lesion = number if number < 8 else number - 8
        dx = "mel" if lesion % 2 else "nv"
        lines.append(f"HAM_{lesion:07d},{name},{dx},histo,{40 + lesion}.0,male,lower extremity")
        draw(folder / "masks" / f"{name}_segmentation.png", seed=100 + number)
    folder.joinpath("HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def make_catalog(tmp_path: Path) -> MakeCatalog:
    """A catalog from rows that name only what matters; the photos do not exist."""

    def make(
        rows: Sequence[Mapping[str, object]] | pd.DataFrame,
        links: Sequence[tuple[str, str, str]] = (),
        name: str = "catalog",
        view: str | None = None,
    ) -> Catalog:
        photos = pd.DataFrame(rows).reindex(columns=CATALOG_SCHEMA.names).astype(object)
        photos = photos.where(photos.notna(), None)
        photos["source"] = photos["source"].fillna("one")
        photos["path"] = photos["path"].fillna(photos["image_id"])
        photos["sha256"] = photos["sha256"].fillna(photos["image_id"])
        photos["flags"] = [flags or () for flags in photos["flags"]]
        linked = pd.DataFrame(
            [(*sorted((a, b)), kind, 1.0, "made up") for a, b, kind in links],
            columns=LINK_SCHEMA.names,
        )
        sources = [
            SourceInfo(
                name=str(source),
                format="folders",
                root="/nowhere",
                licence=None,
                citation=None,
                photos=count,
                columns={},
                label_map={},
            )
            for source, count in photos["source"].value_counts().sort_index().items()
        ]
        options = CatalogOptions(view=view)
        return write_catalog(tmp_path / name, photos, linked, sources=sources, options=options)

    return make


@pytest.fixture
def classes(tmp_path: Path, draw: Draw) -> Path:
    """Six photos in the folders of two diagnoses."""
    folder = tmp_path / "Clinic Photos"
    for seed, name in enumerate(("melanoma", "nevus")):
        for number in range(3):
            draw(folder / name / f"{number}.jpg", 1000 + 10 * seed + number)
    return folder
