"""A drawn collection in which every lesion has one to three photos."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.synthetic import SyntheticSpec, generate

SPEC = SyntheticSpec(
    photos=90,
    width=48,
    height=36,
    clinical_share=0.0,
    several_photos_share=0.6,
    identical_share=0.0,
    near_share=0.0,
    wrong_label_share=0.0,
    corrupt_share=0.0,
    diagnosis_shares=(("nv", 0.6), ("mel", 0.4)),
)
RECIPE = """
name = "tiny"
[input]
size = 32
[model]
backbone = "small_cnn"
[[stage]]
epochs = 1
batch_size = 16
imbalance = "logit_adjustment"
"""


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A catalog of 90 photos of nevi and melanomas."""
    folder = tmp_path_factory.mktemp("drawn")
    generate(folder / "photos", SPEC)
    return import_sources([folder / "photos"], folder / "catalog").catalog


@pytest.fixture
def catalog(drawn: Catalog, tmp_path: Path) -> Catalog:
    """A catalog of the test's own: what is made of the drawn one is nobody else's."""
    shutil.copytree(drawn.folder, tmp_path / "catalog")
    return Catalog.open(tmp_path / "catalog")


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe for 32-pixel inputs without a view."""
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    file.write_text(RECIPE)
    return file


@pytest.fixture
def draw_folder() -> Callable[[Path], Path]:
    """Draws photos that have nothing to do with each other, a folder a diagnosis."""

    def write(folder: Path) -> Path:
        rng = np.random.default_rng(0)
        for name in ("nevus", "melanoma"):
            (folder / name).mkdir(parents=True)
            for number in range(10):
                clouds = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
                photo = clouds.resize((48, 36), Image.Resampling.BICUBIC)
                photo.save(folder / name / f"{number}.png")
        return folder

    return write
