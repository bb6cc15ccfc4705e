"""A catalog of small photos to train on."""

from pathlib import Path

import numpy as np
from PIL import Image

from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import make_split

COUNTS = {"melanoma": 20, "nevus": 31}


def catalog_in(folder: Path) -> Path:
    """Dark melanomas and nevi that are a little brighter, split: 31 of them train."""
    rng = np.random.default_rng(0)
    for diagnosis, count in COUNTS.items():
        (folder / "photos" / diagnosis).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 200, (40, 48, 3)) + (50 if diagnosis == "nevus" else 0)
            photo = Image.fromarray(pixels.astype(np.uint8))
            photo.save(folder / "photos" / diagnosis / f"{diagnosis}{number}.png")
    import_sources([folder / "photos"], folder / "catalog")
    make_split(Catalog.open(folder / "catalog"), shares=(60, 20, 20))
    return folder / "catalog"
