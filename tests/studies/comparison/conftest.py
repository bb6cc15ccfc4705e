"""Tiny runs on one drawn collection, trained once."""

import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from cutis.data.catalog import Catalog
from cutis.data.splits import make_split
from cutis.studies.comparison import Comparison, Entry, compare, comparing
from cutis.training.train import train

RECIPE = """
name = "{name}"
seed = {seed}
batch_norm_momentum = 0.5
[input]
size = 32
[model]
backbone = "small_cnn"
{stages}
"""
HEAD = """
[[stage]]
name = "head"
epochs = 6
batch_size = 16
"""
FINE = """
[[stage]]
name = "fine"
epochs = 4
batch_size = 16
augmentation = { flip = "both", rotation = 90 }
"""


@dataclass(frozen=True)
class World:
    """A catalog with two splits, and the runs trained on it."""

    catalog: Path
    runs: dict[str, Path]

    def entry(self, name: str, arm: str = "") -> Entry:
        """An entry called after its run."""
        return Entry(name, self.runs[name], arm or name)


@pytest.fixture(scope="session")
def world(drawn: Catalog, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two seeds of two stages, the same cut off after the first, and an unsafe run."""
    folder = tmp_path_factory.mktemp("comparison")
    shutil.copytree(drawn.folder, folder / "catalog")
    catalog = Catalog.open(folder / "catalog")
    make_split(catalog, seed=0)
    make_split(catalog, name="by-image", seed=1, unsafe_by_image=True)
    plans = {
        "both-0": ("two", 0, HEAD + FINE, "default"),
        "both-1": ("two", 1, HEAD + FINE, "default"),
        "cut-0": ("one", 0, HEAD, "default"),
        "unsafe-0": ("two", 0, HEAD + FINE, "by-image"),
    }
    runs = {}
    for run, (name, seed, stages, split) in plans.items():
        recipe = folder / f"{run}.toml"
        recipe.write_text(RECIPE.format(name=name, seed=seed, stages=stages))
        train(recipe, catalog.folder, folder / run, split=split, weights="none")
        runs[run] = folder / run
    return World(catalog.folder, runs)


@pytest.fixture(scope="session")
def compared(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    """All four runs on one page, and its folder."""
    out = tmp_path_factory.mktemp("page") / "page"
    entries = [
        world.entry("both-0", "both stages"),
        world.entry("both-1", "both stages"),
        world.entry("cut-0", "head only"),
        world.entry("unsafe-0", "by image"),
    ]
    return compare(entries, out, title="Four runs", notes={"Photos": ["They are drawn."]}), out


@pytest.fixture(scope="session")
def trained_with_view(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that answers benign or malignant."""
    folder = tmp_path_factory.mktemp("view")
    recipe = folder / "view.toml"
    text = RECIPE.format(name="view", seed=0, stages=HEAD)
    recipe.write_text(text.replace("[input]", 'view = "benign-malignant"\n[input]', 1))
    train(recipe, world.catalog, folder / "run", weights="none")
    return folder / "run"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the figures, which take most of the time, where a test does not look at them."""
    monkeypatch.setattr(comparing, "draw_all", lambda *a: defaultdict(lambda: b"<svg/>"))
