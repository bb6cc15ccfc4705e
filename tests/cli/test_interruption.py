"""A run that is killed or stopped goes on, and ends as if nothing had happened."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

SETTINGS = ("stage.1.epochs=4", "input.size=32")
WEIGHTS = "model.safetensors"

# The child dies by SIGKILL at the call of a function, as a power cut would end it.
_DYING = """
import importlib, os, signal, sys
module, name, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
place = importlib.import_module(module)
function, left = getattr(place, name), [calls]
def dying(*arguments, **options):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*arguments, **options)
setattr(place, name, dying)
from cutis.cli import run
sys.exit(run(sys.argv[4:]))
"""


def command(catalog: Path, out: Path, *settings: str) -> list[str]:
    return ["train", "demo", *(settings or SETTINGS), "--data", str(catalog), "--out", str(out),
            "--weights", "none"]  # fmt: skip


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Obeys Ctrl-C also where the tests themselves run in a background that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole(drawn: Any, cutis: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out: Path = tmp_path_factory.mktemp("whole") / "run"
    assert cutis(*command(drawn.catalog, out)).code == 0
    return out


def assert_same(run: Path, whole: Path) -> None:
    assert (run / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    timed = ["seconds", "images_per_second"]
    histories = [pd.read_csv(f / "history.csv").drop(columns=timed) for f in (run, whole)]
    pd.testing.assert_frame_equal(*histories)
    assert (run / "model.json").read_text() == (whole / "model.json").read_text()
    visible = {p.name for p in run.iterdir() if not p.name.startswith(".staging-")}
    assert visible == {p.name for p in whole.iterdir()}


@pytest.mark.parametrize(
    ("function", "calls", "epochs"),
    [
        ("cutis.training.supply augment_batch", 8, 2),  # in the middle of an epoch
        ("cutis.training.fitting history_csv", 4, 3),  # between checkpoint and curves
        ("cutis.training.run save", 1, 4),  # while the weights are written
    ],
)
def test_killed_run_ends_with_the_weights_of_an_uninterrupted_one(
    drawn: Any, cutis: Any, whole: Path, tmp_path: Path, function: str, calls: int, epochs: int
) -> None:
    out = tmp_path / "run"
    child = [sys.executable, "-c", _DYING, *function.split(), str(calls)]
    killed = subprocess.run(
        [*child, *command(drawn.catalog, out)], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (out / "model.json").exists()
    assert len(pd.read_csv(out / "history.csv")) == epochs
    assert cutis(*command(drawn.catalog, out)).code == 0
    assert_same(out, whole)


def test_interrupted_run_says_so_and_goes_on(
    drawn: Any, cutis: Any, whole: Path, tmp_path: Path
) -> None:
    """SIGINT from outside, whenever it comes: the process ends with 130 and one line."""
    out = tmp_path / "run"
    long = ("stage.1.epochs=400", "input.size=32")
    process = subprocess.Popen(
        [sys.executable, "-m", "cutis", *command(drawn.catalog, out, *long)],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / "history.csv").is_file() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert (process.returncode, message) == (
        130,
        "\nstopped; the same command goes on where it can\n",
    )
    done = len(pd.read_csv(out / "history.csv"))
    assert 0 < done < 400
    assert not (out / "model.json").exists()


@pytest.mark.parametrize("epoch", [1, 3])
def test_run_stopped_after_an_epoch_ends_like_the_others(
    drawn: Any, cutis: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    out = tmp_path / "run"
    from cutis.training import fitting

    written = fitting.history_csv

    def stopping(history: Any) -> str:
        if len(history) == epoch:
            signal.raise_signal(signal.SIGINT)
        return written(history)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "history_csv", stopping)
        stopped = cutis(*command(drawn.catalog, out))
    assert (stopped.code, "stopped" in stopped.err) == (130, True)
    assert cutis(*command(drawn.catalog, out)).code == 0
    assert_same(out, whole)


@pytest.mark.parametrize("verb", ["import", "split", "evaluate", "export", "predict"])
def test_interrupted_verb_leaves_nothing_half_done(
    world: Any, cutis: Any, own_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:  # fmt: skip
    """Ctrl-C at the moment of writing, the worst one."""
    out = tmp_path / "out"
    photos = world.photos / "HAM10000_images_part_1"
    arguments: dict[str, list[object]] = {
        "import": [photos.parent, "--into", own_catalog, "--view", "benign-malignant"],
        "split": [own_catalog, "--seed", 3],
        "evaluate": [world.run, "--part", "validation", "--out", out],
        "export": [world.run, "--out", out],
        "predict": [photos, "--model", world.bundle, "--out", tmp_path / "out.csv"],
    }
    before = {p: p.read_bytes() for p in own_catalog.rglob("*.*") if p.is_file()}

    def stop(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    place = {
        "evaluate": "matplotlib.figure.Figure.savefig",
        "export": "cutis.export.assembly.write_info",
    }
    with monkeypatch.context() as patch:
        patch.setattr(place.get(verb, "os.fsync"), stop)
        stopped = cutis(verb, *arguments[verb])
    assert (stopped.code, stopped.err.count("\n")) == (130, 2)
    assert {p: p.read_bytes() for p in before} == before
    assert not out.exists()
    assert not (tmp_path / "out.csv").exists()
    assert cutis(verb, *arguments[verb]).code == 0
