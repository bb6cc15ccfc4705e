"""Twenty small photos and recipes that search over them."""

from pathlib import Path
from typing import Any

import pytest

from cutis.data.importer import import_sources
from cutis.data.splits import load_split, make_split, part_rows
from cutis.records import Part
from cutis.studies.search import search
from cutis.studies.search_record import SearchResult

SPACE = """
"stage.1.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
"stage.1.batch_size" = { low = 4, high = 12, step = 4 }
"model.hidden" = { choices = [[], [8]] }
"model.dropout" = { low = 0.1, high = 0.5, when = { "model.hidden" = [[8]] } }
"stage.1.augmentation" = { choices = [{}, { flip = "both", rotation = 20 }] }
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos that no one can tell apart, whose test photos are gone from the disk."""
    folder = tmp_path_factory.mktemp("searched")
    made = import_sources([draw(folder / "photos")], folder / "catalog").catalog
    make_split(made, shares=(50, 25, 25))
    rows = part_rows(made, load_split(made), Part.TEST)
    for stored in rows["path"]:
        made.locate(stored).unlink()
    assert len(rows) >= 4
    return made.folder


def draw(folder: Path) -> Path:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("nevus", "melanoma"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            clouds = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
            clouds.resize((48, 36), Image.Resampling.BICUBIC).save(folder / name / f"{number}.png")
    return folder


def written(
    folder: Path, space: str = SPACE, *, head: str = "", stage: str = "", sampler: str = "random"
) -> Path:
    """A recipe for 32-pixel inputs of one epoch, unless `stage` says more."""
    file = folder / "tiny.toml"
    file.write_text(
        f'name = "tiny"\nprecision = "float32"\n{head}\n[input]\nsize = 32\n[model]\n'
        f'backbone = "small_cnn"\n[[stage]]\nepochs = 1\n{stage}\n[search]\ntrials = 3\n'
        f'sampler = "{sampler}"\n[search.space]\n{space}'
    )
    return file


def searched(recipe: Path, catalog: Path, out: Path, **options: Any) -> SearchResult:
    return search(recipe, catalog, out, weights="none", **options)
