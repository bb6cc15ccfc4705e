"""Several workers train as one: the same batches, gradients, statistics and steps."""

from pathlib import Path

import pandas as pd
import pytest

from cutis.errors import InputError
from cutis.scale.training import train_on_cluster
from cutis.training.train import train

from .nodes import TwoNodes, finish, wait_for
from .photos import catalog_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own parts

# Batches of 5 and 7 photos, which two workers cannot halve; in the second stage the photos do not
# count the same. With higher rates a network as small as this makes much of the last digit.
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
learning_rate = 1e-4
optimiser = "sgd"
batch_size = 5
augmentation = { flip = "both", rotation = 20, brightness = 0.1, erase = 0.5 }
[[stage]]
epochs = 2
learning_rate = 1e-4
optimiser = "adamw"
batch_size = 7
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


def assert_alike(found: pd.DataFrame, expected: pd.DataFrame, *, within: float = 1e-5) -> None:
    """To the sixth digit, which the file ends with: sums of float32 come in another order.

    Without the weights by photos, the shared statistics or the averaging it is the third at best.
    """
    assert list(found["epoch"]) == list(expected["epoch"])
    assert list(found["stage"]) == list(expected["stage"])
    for name in FIGURES:
        assert found[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=within), name


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


def test_a_wrong_interface_is_named_and_nothing_is_begun(tiny: Path, local_cluster: str) -> None:
    with pytest.raises(InputError, match=r"interface 'nope'\n  where: [\d.]+\n.*lo \(127.0.0.1"):
        train_on_cluster(
            tiny / "tiny.toml", tiny / "catalog", tiny / "wrong", local_cluster, weights="none",
            workers=2, interface="nope",
        )  # fmt: skip
    assert not (tiny / "wrong").exists()


def test_a_killed_worker_costs_its_epoch(tiny: Path, two_nodes: TwoNodes) -> None:
    out, long = tiny / "killed", ["stage.1.epochs=15", "stage.1.learning_rate=1e-5"]
    train(tiny / "tiny.toml", tiny / "catalog", tiny / "whole", weights="none", overrides=long)
    under_way = two_nodes.start(
        "train", tiny / "tiny.toml", *long, "--data", tiny / "catalog", "--out", out,
        "--weights", "none", "--cluster", two_nodes.address,
    )  # fmt: skip
    wait_for(lambda: (out / "history.csv").is_file(), 120)
    two_nodes.kill_worker()
    done = finish(under_way, 100)
    assert done.returncode == 0, done.stderr
    assert_alike(curves(out), curves(tiny / "whole"), within=1e-3)  # more steps add up
    assert (out / "log.txt").read_text().count("threads") == 2  # it was begun twice
