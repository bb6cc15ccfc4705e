"""Several workers train as one: the same batches, gradients, statistics and steps."""

from pathlib import Path

import pandas as pd
import pytest

from cutis.scale.training import train_on_cluster
from cutis.training.train import train

from .conftest import TwoNodes, finish, wait_for
from .photos import catalog_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own parts

# 31 training photos make batches of 8, 8, 8 and 7, which two workers cannot halve, in the first
# stage, and 12, 12 and 7 with photos that do not count the same in the second.
RECIPE = """
name = "tiny"
precision = "float32"
moving_average = 0.5
view = "benign-malignant"
[input]
size = 32
[model]
backbone = "small_cnn"
[[stage]]
epochs = 2
learning_rate = 1e-3
optimiser = "sgd"
batch_size = 8
augmentation = { flip = "both", rotation = 20, brightness = 0.1, erase = 0.5 }
[[stage]]
epochs = 2
learning_rate = 1e-3
optimiser = "adamw"
batch_size = 12
imbalance = "class_weights"
augmentation = { flip = "both" }
"""
FIGURES = ["train_loss", "validation_loss", "train_accuracy", "validation_accuracy"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog and a recipe."""
    root = tmp_path_factory.mktemp("tiny")
    catalog_in(root)
    (root / "tiny.toml").write_text(RECIPE)
    return root


@pytest.fixture(scope="module")
def alone(tiny: Path) -> pd.DataFrame:
    """The curves of one machine."""
    run = train(tiny / "tiny.toml", tiny / "catalog", tiny / "alone", weights="none")
    return pd.read_csv(run.folder / "history.csv")


def curves(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv")


def assert_alike(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Sums of float32 come in another order, 1e-7 of a sum of order one, and steps add to it."""
    assert list(found["epoch"]) == list(expected["epoch"])
    assert list(found["stage"]) == list(expected["stage"])
    for name in FIGURES:
        assert found[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=2e-4), name


def test_two_workers_give_the_curves_of_one(
    tiny: Path, alone: pd.DataFrame, local_cluster: str
) -> None:
    out = tiny / "two"
    run = train_on_cluster(
        tiny / "tiny.toml", tiny / "catalog", out, local_cluster, weights="none", workers=2
    )
    assert_alike(curves(out), alone)
    assert {file.name for file in out.iterdir()} == {f.name for f in (tiny / "alone").iterdir()}
    assert "2 workers" in (out / "log.txt").read_text()
    assert (out / "log.txt").read_text().count("done") == 1
    assert run.folder == out


def test_a_killed_worker_costs_its_epoch(tiny: Path, two_nodes: TwoNodes) -> None:
    out, long = tiny / "killed", ["stage.1.epochs=60", "stage.1.learning_rate=1e-5"]
    train(tiny / "tiny.toml", tiny / "catalog", tiny / "whole", weights="none", overrides=long)
    under_way = two_nodes.start(
        "train", tiny / "tiny.toml", *long, "--data", tiny / "catalog", "--out", out,
        "--weights", "none", "--cluster", two_nodes.address,
    )  # fmt: skip
    wait_for(lambda: (out / "history.csv").is_file(), 60)
    two_nodes.kill_worker()
    done = finish(under_way, 100)
    assert done.returncode == 0, done.stderr
    assert_alike(curves(out), curves(tiny / "whole"))
    assert (out / "log.txt").read_text().count("threads") == 2  # it was begun twice
