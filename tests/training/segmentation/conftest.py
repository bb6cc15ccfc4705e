"""A catalog of bright photos with a dark spot and its mask, and a recipe that learns it."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import make_split
from cutis.training.segmentation import SegmenterRun
from cutis.training.train import train

RECIPE = """
task = "segmentation"
name = "tiny"
precision = "float32"
[input]
size = 32
[model]
architecture = "unet"
filters = 4
[[stage]]
epochs = 3
learning_rate = 1e-2
batch_size = 8
augmentation = { flip = "both", rotation = 180, brightness = 0.1 }
"""
PHOTOS = 20


def drawn(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photo (40, 48, 3) and its mask (40, 48) of 0 and 255; 3 has no lesion, 4 has two."""
    pixels = np.random.default_rng(number).integers(170, 250, (40, 48, 3)).astype(np.uint8)
    mask = np.zeros((40, 48), np.uint8)
    spots = {3: [], 4: [(10, 10), (36, 30)]}.get(number, [(14 + number % 20, 20)])
    for spot in spots:
        cv2.circle(mask, spot, 6 + number % 4, 255, -1)
    pixels[mask > 0] //= 4
    return pixels, mask


def import_drawn(
    root: Path, masks: dict[int, Path | None] | None = None, photos: int = PHOTOS
) -> Path:
    """Imports and splits the drawn photos; `masks` replaces files of masks, None takes one away."""
    (root / "photos").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = []
    for number in range(photos):
        pixels, mask = drawn(number)
        drawing = root / "masks" / f"{number}.png"
        Image.fromarray(pixels).save(root / "photos" / f"{number}.png")
        Image.fromarray(mask).save(drawing)
        given = (masks or {}).get(number, drawing)
        diagnosis = "melanoma" if number % 3 else "nevus"
        rows.append({"image": f"{number}.png", "diagnosis": diagnosis, "mask": given})
    table = root / "photos" / "photos.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    columns = {name: name for name in ("image", "diagnosis", "mask")}
    import_sources([table], root / "catalog", format="table", columns=columns)
    make_split(Catalog.open(root / "catalog"), shares=(60, 20, 20))
    return root / "catalog"


@dataclass(frozen=True)
class World:
    """A folder with a catalog, a recipe file and room for runs."""

    root: Path

    @property
    def catalog(self) -> Path:
        return self.root / "catalog"

    def trained(self, out: Path, *overrides: str) -> SegmenterRun:
        run = train(self.root / "tiny.toml", self.catalog, out, weights="none", overrides=overrides)
        assert isinstance(run, SegmenterRun)
        return run


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves take longer than the training; those of `run` are drawn, for it is made before."""
    monkeypatch.setattr("cutis.training.fitting.draw_curves", lambda *_: None)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("segmentation")
    import_drawn(root)
    (root / "tiny.toml").write_text(RECIPE)
    return World(root)


@pytest.fixture(scope="session")
def run(world: World) -> SegmenterRun:
    return world.trained(world.root / "run")
