"""Several workers train as one: the same batches, gradients, statistics and steps."""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from ray.train import ControllerError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
)

from cutis.errors import InputError
from cutis.recipes import load_recipe
from cutis.scale import training
from cutis.scale.cluster import Cluster
from cutis.scale.places import Room
from cutis.scale.training import train_on_cluster
from cutis.training.job import TrainingJob
from cutis.training.train import train

from .nodes import HANG, TwoNodes
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


def assert_alike(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """To the sixth digit, which the file ends with: sums of float32 come in another order.

    Without the weights by photos, the shared statistics or the averaging it is the third at best.
    """
    assert list(found["epoch"]) == list(expected["epoch"])
    assert list(found["stage"]) == list(expected["stage"])
    for name in FIGURES:
        assert found[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=1e-5), name


def test_two_workers_give_the_curves_of_one(
    tiny: Path, alone: pd.DataFrame, local_cluster: str
) -> None:
    out = tiny / "two"
    (out / ".cutis-ray" / "old").mkdir(parents=True)  # as after a kill
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


# In a process of its own, since Ray works on in it.
_WITHOUT_ROOM = """
import sys
import ray
from cutis import cli
from cutis.scale import training
room, held = training.room, []
def taken():
    @ray.remote(num_cpus=2)
    class Other:
        def works(self):
            return True
    held.append(Other.remote())
    assert ray.get(held[0].works.remote())
    return room()
training.room, training.STALL_SECONDS = taken, 2.0
cli.main()
"""


def test_processors_that_others_hold_are_not_waited_for(tiny: Path, local_cluster: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_ROOM, "train", tiny / "tiny.toml", "--data",
         tiny / "catalog", "--out", tiny / "waits", "--weights", "none", "--cluster",
         local_cluster],
        capture_output=True, text=True, timeout=HANG, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: the cluster makes no progress"), done.stderr
    assert f"where: {local_cluster}" in done.stderr
    assert not (tiny / "waits").exists()


def test_places_are_asked_for_again_for_five_minutes(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, left = [0.0], 5

    def wait(*_: object) -> None:
        nonlocal left
        now[0], left = now[0] + 20, left - 1
        cause = WorkerGroupStartupTimeoutError(2) if left else WorkerGroupStartupFailedError()
        raise ControllerError(cause)  # another loss begins the five minutes anew

    monkeypatch.setattr(training, "_wait", wait)
    monkeypatch.setattr(training, "_trainer", lambda *_: SimpleNamespace(fit=None))
    monkeypatch.setattr(training, "room", lambda: Room((1, 1), (0, 0)))
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    job = TrainingJob(
        load_recipe(tiny / "tiny.toml"), tiny / "catalog", tiny / "never", "default", "none", None
    )
    with pytest.raises(InputError, match="the cluster makes no progress"):
        training._fit(Cluster("here", (), 2), job, None, None)
    assert now[0] == 100 + 300 + 20


def test_workers_that_never_begin_are_not_waited_for(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "STALL_SECONDS", 0.5)
    job = TrainingJob("tiny", tiny / "catalog", tiny / "never", "default", "none", None)
    for_ever = threading.Event()
    try:
        with pytest.raises(InputError, match="the cluster makes no progress"):
            training._wait(for_ever.wait, job, "here")
    finally:
        for_ever.set()


def test_a_killed_worker_costs_its_epoch(
    tiny: Path, alone: pd.DataFrame, tmp_path: Path, two_nodes: TwoNodes
) -> None:
    out = tiny / "killed"
    done = two_nodes.run_while_killing(
        tmp_path, 1, "train", tiny / "tiny.toml", "--data", tiny / "catalog", "--out", out,
        "--weights", "none", "--cluster", two_nodes.address,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_alike(curves(out), alone)
    assert (out / "log.txt").read_text().count("threads") == 2  # it was begun twice
