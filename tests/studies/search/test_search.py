"""A search on a few drawn photos: what it finds, keeps, refuses and takes up again."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import save_file

from cutis.cli import run
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, make_split, part_rows, test_uses
from cutis.errors import InputError, MissingDependencyError, RecipeError
from cutis.models.small_cnn import SmallCnn
from cutis.recipes import load_recipe
from cutis.records import Part
from cutis.studies.search import search
from cutis.studies.search_queue import Trials
from cutis.studies.search_record import SearchResult
from cutis.studies.search_trials import figure_of
from cutis.training import job
from cutis.training.run import load_run
from cutis.training.train import train

from .conftest import searched, written


def without_times(result: SearchResult) -> list[dict[str, Any]]:
    return [trial.model_dump(exclude={"seconds"}) for trial in result.trials]


class Stopping:
    """Stands in for `train`: at its `at`-th call Ctrl-C comes after the first epoch."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, *places: Any, watch: Any = None, **options: Any) -> Any:
        self.left -= 1

        def stop(history: Any) -> None:
            raise KeyboardInterrupt

        return train(*places, watch=stop if self.left == 0 else watch, **options)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def out(catalog: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    searched(recipe, catalog, folder)
    return folder


@pytest.fixture(scope="module")
def whole(out: Path) -> SearchResult:
    """What that search found."""
    return SearchResult.model_validate_json((out / "search.json").read_bytes())


@pytest.fixture(autouse=True)
def undrawn(whole: SearchResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the whole search draws curves and a page; they take longer than its trainings."""
    monkeypatch.setattr("cutis.training.fitting.draw_curves", lambda *_: None)
    monkeypatch.setattr("cutis.studies.search.write_page", lambda *_: None)


def test_without_the_test_photos_it_finds_the_best_on_validation(
    catalog: Path, whole: SearchResult
) -> None:
    assert [trial.outcome for trial in whole.trials] == ["complete"] * 3
    figures = [trial.figure or 0.0 for trial in whole.trials]
    assert whole.ranked()[0].figure == max(figures)
    opened = Catalog.open(catalog)
    assert test_uses(opened, load_split(opened)) == 0
    for trial in whole.trials:
        assert trial.values["stage.1.batch_size"] in (4, 8, 12)
        assert 1e-4 <= trial.values["stage.1.learning_rate"] <= 1e-2
        assert ("model.dropout" in trial.values) == (trial.values["model.hidden"] == [8])


def test_not_even_the_rows_of_the_test_part_are_asked_for(
    catalog: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = set()

    def spying(catalog: Catalog, split: Any, part: Part, **options: Any) -> Any:
        asked.add(part)
        return part_rows(catalog, split, part, **options)

    monkeypatch.setattr("cutis.training.train.part_rows", spying)
    searched(recipe, catalog, tmp_path / "out", trials=1)
    assert asked == {Part.TRAIN, Part.VALIDATION}


def test_only_the_best_run_keeps_its_weights(out: Path, whole: SearchResult) -> None:
    best = whole.ranked()[0].number
    kept = [n for n in range(3) if (out / f"trials/{n:04d}/model.safetensors").exists()]
    assert kept == [best]
    assert load_run(out / f"trials/{best:04d}").info.architecture == "small_cnn"
    for number in {0, 1, 2} - {best}:
        names = {file.name for file in (out / f"trials/{number:04d}").iterdir()}
        assert names == {"recipe.toml", "history.csv", "history.png", "log.txt"}


def test_the_best_recipe_trains_the_best_run_again(
    catalog: Path, out: Path, whole: SearchResult, tmp_path: Path
) -> None:
    text = (out / "best.toml").read_text()
    assert text.startswith("# The best of a search: trial")
    assert "therefore optimistic" in text
    assert "[search" not in text.partition("\nname =")[2]
    again = train(out / "best.toml", catalog, tmp_path, weights="none")
    best = out / f"trials/{whole.ranked()[0].number:04d}"
    assert (again.folder / "model.safetensors").read_bytes() == (
        best / "model.safetensors"
    ).read_bytes()


def test_record_and_page(out: Path, whole: SearchResult) -> None:
    record = SearchResult.model_validate_json((out / "search.json").read_text())
    assert record == whole
    page = (out / "page.html").read_text()
    assert "Needs 12 complete or pruned trials; there are 3." in page
    assert "The test part was not read." in page
    assert page.count("<tr>") == 2 + 3 + 5  # heads, trials, settings
    assert page.count("<img") == 1 + 2  # history, five settings on two figures
    assert "http" not in page.replace("http://www.w3.org", "")


def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(
    catalog: Path, recipe: Path, whole: SearchResult, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    place = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(job, "train", Stopping(at=3))
        with pytest.raises(KeyboardInterrupt):
            searched(recipe, catalog, place)
    assert len(json.loads((place / "search.json").read_text())["trials"]) == 2
    assert (place / "trials/0002/checkpoint.pt").exists()
    assert without_times(searched(recipe, catalog, place)) == without_times(whole)
    with monkeypatch.context() as patch:
        patch.setattr(job, "train", lambda *_, **__: pytest.fail("trained again"))
        assert len(searched(recipe, catalog, place).trials) == 3


def test_trials_may_be_trained_at_once_and_end_in_any_order(
    catalog: Path, recipe: Path, whole: SearchResult, tmp_path: Path
) -> None:
    def backwards(trials: Trials) -> None:
        taken = list(iter(trials.next, None))
        for number, begun in reversed(taken):
            trials.ended(number, reason=begun.tried(lambda history: None))

    found = searched(recipe, catalog, tmp_path / "out", run=backwards)
    assert without_times(found) == without_times(whole)


def test_a_point_that_is_being_trained_is_not_begun_again(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutis.studies.search_queue._BARREN", 3)
    file = written(tmp_path, '"model.hidden" = { choices = [[]] }')

    def at_once(trials: Trials) -> None:
        [(number, begun)] = iter(trials.next, None)
        trials.ended(number, reason=begun.tried(lambda history: None))

    result = searched(file, catalog, tmp_path / "out", run=at_once)
    assert [t.outcome for t in result.trials] == ["complete", *["repeated"] * 3]


def test_more_trials_continue_a_search_and_fewer_begin_it(
    catalog: Path, recipe: Path, whole: SearchResult, tmp_path: Path
) -> None:
    first = searched(recipe, catalog, tmp_path / "out", trials=1)
    assert without_times(first) == without_times(whole)[:1]
    assert (
        without_times(searched(recipe, catalog, tmp_path / "out", trials=2))
        == (without_times(whole)[:2])
    )


def test_trials_that_lag_behind_are_pruned(catalog: Path, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '"stage.1.learning_rate" = { low = 1e-5, high = 1e-1, log = true }',
        head='monitor = "validation_loss"',
        sampler="tpe",
    )
    settings = ["stage.1.epochs=3", "search.pruning.factor=3", "search.trials=6"]
    result = searched(file, catalog, tmp_path / "out", overrides=settings)
    epochs = {(trial.outcome, trial.epochs) for trial in result.trials}
    assert epochs == {("complete", 3), ("pruned", 1)}
    complete = [t.figure or 0.0 for t in result.trials if t.outcome == "complete"]
    assert result.ranked()[0].figure == min(complete)
    for trial in result.trials:
        assert not (tmp_path / f"out/trials/{trial.number:04d}/checkpoint.pt").exists()


def test_invalid_and_broken_trials_are_counted_and_the_search_goes_on(
    catalog: Path, tmp_path: Path
) -> None:
    file = written(
        tmp_path,
        '"stage.1.trainable" = { choices = ["all", "last 99"] }\n'
        '"stage.1.learning_rate" = { choices = [1e-3, 1e30] }\n',
    )
    result = searched(file, catalog, tmp_path / "out", trials=2)
    by_value = {
        (t.values["stage.1.trainable"], t.values["stage.1.learning_rate"]): t.outcome
        for t in result.trials
        if t.outcome != "repeated"
    }
    assert by_value[("all", 1e-3)] == "complete"
    assert by_value[("all", 1e30)] == "failed"
    assert {by_value.get(("last 99", rate), "invalid") for rate in (1e-3, 1e30)} == {"invalid"}
    assert len(result.trained()) == 2
    reasons = " ".join(trial.reason for trial in result.trials)
    assert "not a number any more" in reasons


def test_a_backbone_that_the_weights_do_not_fit_is_invalid(catalog: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(SmallCnn().state_dict(), weights)
    space = '"model.backbone" = { choices = ["mobilenet_v2_035", "small_cnn"] }'
    recipe = written(tmp_path, space)
    result = search(recipe, catalog, tmp_path / "out", weights=str(weights), trials=1, seed=2)
    drawn = [(t.values["model.backbone"], t.outcome) for t in result.trials]
    assert drawn[0] == ("mobilenet_v2_035", "invalid")
    assert "do not fit" in result.trials[0].reason
    assert drawn[-1] == ("small_cnn", "complete")


def test_the_figure_is_that_of_the_epoch_that_becomes_the_model(recipe: Path) -> None:
    figures = {"stage": ["1", "2", "2"], "validation_balanced_accuracy": [0.9, 0.8, 0.7]}
    plan = load_recipe(recipe)
    assert figure_of(pd.DataFrame(figures), plan) == 0.8
    assert figure_of(pd.DataFrame(figures), plan.model_copy(update={"keep": "last"})) == 0.7


def test_a_space_that_is_used_up_ends_the_search(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutis.studies.search_queue._BARREN", 5)
    file = written(tmp_path, '"model.hidden" = { choices = [[]] }')
    result = searched(file, catalog, tmp_path / "out")
    assert [t.outcome for t in result.trials] == ["complete", *["repeated"] * 5]


def test_where_no_point_can_be_trained_there_is_one_clear_error(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutis.studies.search_queue._BARREN", 5)
    file = written(tmp_path, '"answer" = { choices = ["prior"] }')
    with pytest.raises(
        RecipeError, match=r"no trial .* 1 invalid, 4 repeated\n(.*\n)*.*needs imbalance"
    ):
        searched(file, catalog, tmp_path / "out")


def test_no_trial_begins_after_the_timeout(catalog: Path, recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none began"):
        searched(recipe, catalog, tmp_path / "out", timeout=1e-9)


@pytest.mark.parametrize(
    ("options", "differs"),
    [({"seed": 1}, "seed"), ({"sampler": "tpe"}, "sampler"), ({"split": "other"}, "split_name"),
     ({"overrides": ["seed=3"]}, "recipe")],
)  # fmt: skip
def test_the_folder_of_another_search_is_refused(
    catalog: Path, recipe: Path, whole: SearchResult, out: Path, options: Any, differs: str
) -> None:
    make_split(Catalog.open(catalog), name="other", shares=(50, 25, 25), seed=5)
    before = (out / "search.json").read_bytes()
    with pytest.raises(InputError, match=f"another search; it differs in .*{differs}"):
        searched(recipe, catalog, out, **options)
    assert (out / "search.json").read_bytes() == before


def test_a_folder_with_something_else_is_refused(
    catalog: Path, recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something else"):
        searched(recipe, catalog, tmp_path)


def test_a_damaged_study_is_named(catalog: Path, recipe: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "out" / "search.db").write_bytes(b"no database " * 100)
    with pytest.raises(InputError, match="the study of the search cannot be used"):
        searched(recipe, catalog, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trials": 0}, "0 trials are not possible"),
        ({"seed": -1}, "-1 is not possible as a seed"),
        ({"timeout": 0}, "0 minutes are not possible"),
        ({"overrides": ["stage.1.batch_size=8"]}, "the search draws stage.1.batch_size"),
        ({"overrides": ["view=ham7"]}, "no train photo shows"),
    ],
)
def test_wrong_options(
    catalog: Path, recipe: Path, tmp_path: Path, options: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        searched(recipe, catalog, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_recipe_without_a_space(catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'demo' says nothing about a search"):
        search("demo", catalog, tmp_path / "out")


def test_the_command_line_prints_the_best(
    catalog: Path, recipe: Path, whole: SearchResult, out: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    line = ["search", str(recipe), "--data", str(catalog), "--weights", "none"]
    assert run([*line, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    best = whole.ranked()[0]
    assert f"Trial {best.number:04d} of 3 has the best balanced accuracy" in printed
    monkeypatch.setattr(job, "train", Stopping(at=1))
    assert run([*line, "--out", str(tmp_path / "out")]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_without_optuna_it_says_what_to_install(
    catalog: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cutis import search as verb

    for name in [n for n in sys.modules if n.split(".")[0] == "optuna" or "studies.search" in n]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cutis\[search\]'"):
        verb(str(recipe), catalog, tmp_path / "out")
