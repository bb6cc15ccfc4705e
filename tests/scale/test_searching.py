"""A search on a cluster leaves the study of one machine, whatever happens to its workers."""

import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray

from cutis.errors import InputError
from cutis.scale import searching
from cutis.scale.searching import training_on
from cutis.studies.search import search
from cutis.studies.search_queue import Trials
from cutis.studies.search_record import SearchResult, TrialRecord

from .nodes import TwoNodes, hold_processors
from .photos import catalog_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own parts

RECIPE = """
name = "tiny"
precision = "float32"
view = "benign-malignant"
[input]
size = 32
[model]
backbone = "small_cnn"
[[stage]]
epochs = EPOCHS
batch_size = 8
[search]
trials = 4
sampler = "random"
pruning = { min_epochs = LEAST, factor = 2 }
[search.space]
"stage.1.learning_rate" = { low = 1e-5, high = 1e-2, log = true }
"model.hidden" = { choices = [[], [8]] }
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return catalog_in(tmp_path_factory.mktemp("searched"))


def written(folder: Path, epochs: int, least: int) -> Path:
    file = folder / "tiny.toml"
    file.write_text(RECIPE.replace("EPOCHS", str(epochs)).replace("LEAST", str(least)))
    return file


def without_times(result: SearchResult) -> list[TrialRecord]:
    return [trial.model_copy(update={"seconds": 0.0}) for trial in result.trials]


def stored(folder: Path) -> list[tuple[Any, ...]]:
    """What the study holds of each trial."""
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'search.db'}")
    return [(t.number, t.state, t.params, t.values, t.intermediate_values) for t in study.trials]


def test_a_killed_trial_is_trained_again(
    catalog: Path, tmp_path: Path, two_nodes: TwoNodes
) -> None:
    recipe = written(tmp_path, epochs=3, least=100)  # none is pruned, but all epochs are told
    whole = search(recipe, catalog, tmp_path / "whole", weights="none", trials=2)
    out = tmp_path / "killed"
    done = two_nodes.run_while_killing(
        tmp_path, 2, "search", recipe, "--data", catalog, "--out", out, "--weights", "none",
        "--trials", 2, "--cluster", two_nodes.address,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = SearchResult.model_validate_json((out / "search.json").read_text())
    assert without_times(found) == without_times(whole)
    assert stored(out) == stored(tmp_path / "whole")
    logs = [(out / f"trials/{number:04d}/log.txt").read_text() for number in (0, 1)]
    assert sorted(log.count("threads") for log in logs) == [1, 2]  # it was begun twice
    assert "2 trials" in (out / "page.html").read_text()


def test_a_search_that_waits_or_is_interrupted_goes_on_and_lagging_trials_are_stopped(
    catalog: Path, tmp_path: Path, local_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = written(tmp_path, epochs=4, least=1)
    whole = search(recipe, catalog, tmp_path / "whole", weights="none")
    out, ended = tmp_path / "cut", Trials.ended

    def end(self: Trials, number: int, **how: Any) -> None:
        ended(self, number, **how)
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    with monkeypatch.context() as patch, training_on(local_cluster, workers=1) as run:
        patch.setattr(searching, "STALL_SECONDS", 2.0)
        others = hold_processors(2)
        with pytest.raises(InputError, match="the cluster makes no progress"):
            search(recipe, catalog, out, weights="none", run=run)
        patch.undo()
        ray.kill(others)
        patch.setattr(Trials, "ended", end)
        with pytest.raises(KeyboardInterrupt):
            search(recipe, catalog, out, weights="none", run=run)
    assert (out / "best.toml").is_file()
    with training_on(local_cluster, workers=1) as run:
        found = search(recipe, catalog, out, weights="none", run=run)
    assert without_times(found) == without_times(whole)
    assert "pruned" in whole.counts()
    assert stored(out) == stored(tmp_path / "whole")
