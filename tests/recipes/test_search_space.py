"""The space of a search: what is refused, and what a point of it holds."""

from pathlib import Path
from typing import Any

import pytest

from cutis.errors import RecipeError
from cutis.recipes import load_recipe, parse_recipe, takes_whole_numbers
from cutis.recipes.search_space import Parameter, Search

BASE = 'name = "x"\n[[stage]]\nepochs = 1\n'
NESTED = """
"stage.1.optimiser" = { choices = ["adam", "adamw"] }
"model.hidden" = { choices = [[], [8]], when = { "stage.1.optimiser" = "adamw" } }
"model.dropout" = { low = 0.1, high = 0.5, when = { "model.hidden" = [[8]] } }
"""


def space(parameters: str, *settings: str) -> Search:
    text = f"{BASE}[search]\n[search.space]\n{parameters}"
    found = parse_recipe(text, settings).search
    assert found is not None
    return found


def drawn(search: Search, **wanted: Any) -> dict[str, Any]:
    """A point: the wanted values by the last part of the key, else the first choice or `low`."""

    def suggest(key: str, parameter: Parameter) -> Any:
        first = parameter.choices[0] if parameter.choices else parameter.low
        return wanted.get(key.split(".")[-1], first)

    return search.drawn(suggest)


@pytest.mark.parametrize(
    ("optimiser", "hidden", "names"),
    [
        ("adam", [8], {"optimiser"}),
        ("adamw", [], {"optimiser", "hidden"}),
        ("adamw", [8], {"optimiser", "hidden", "dropout"}),
    ],
)
def test_a_parameter_is_drawn_only_where_its_conditions_hold(
    optimiser: str, hidden: list[int], names: set[str]
) -> None:
    values = drawn(space(NESTED), optimiser=optimiser, hidden=hidden)
    assert {key.split(".")[-1] for key in values} == names


def test_conditions_are_drawn_first_whatever_their_place() -> None:
    backwards = space("\n".join(reversed(NESTED.strip().splitlines())))
    assert backwards.order() == ["stage.1.optimiser", "model.hidden", "model.dropout"]
    assert "model.dropout" in drawn(backwards, optimiser="adamw", hidden=[8])


def test_a_table_is_put_in_before_a_setting_inside_it() -> None:
    search = space(
        '"stage.1.schedule.warmup" = { low = 0.1, high = 0.4 }\n'
        '"stage.1.schedule" = { choices = [{ kind = "one-cycle" }] }\n'
    )
    assert list(drawn(search)) == ["stage.1.schedule", "stage.1.schedule.warmup"]


def test_whole_numbers_are_known_from_the_schema() -> None:
    assert takes_whole_numbers("stage.1.epochs")
    assert takes_whole_numbers("stage.2.early_stopping.patience")
    assert not takes_whole_numbers("model.dropout")
    assert not takes_whole_numbers("model.hidden")


def test_settings_change_the_search_too() -> None:
    search = space(NESTED, "search.trials=3", "search.sampler=random", "search.pruning.factor=2")
    assert (search.trials, search.sampler) == (3, "random")
    assert search.pruning is not None
    assert search.pruning.factor == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("", "at least one parameter"),
        ('"model.dropout" = {}', "needs choices, or both low and high"),
        ('"model.dropout" = { low = 0.1 }', "needs choices, or both low and high"),
        ('"model.dropout" = { choices = [] }', "no valid point"),
        ('"model.dropout" = { low = 0.5, high = 0.1 }', "no valid point"),
        ('"model.dropout" = { choices = [0.1], low = 0.1 }', "choices or a range, not both"),
        ('"model.dropout" = { choices = [0.1, 0.1] }', "a choice stands there twice"),
        ('"model.dropout" = { low = 0.0, high = 0.1, log = true }', "starts above 0"),
        ('"model.dropout" = { low = 0.1, high = 0.2, log = true, step = 0.1 }', "no step"),
        ('"model.dropout" = { low = nan, high = 0.2 }', "finite number"),
        ('"model.dropout" = { lo = 0.1, high = 0.2 }', "did you mean 'low'"),
        ('"model.dropout" = { low = 0.5, high = 1.5 }', "less than or equal to 1, got 1.5"),
        ('"model.droput" = { low = 0.1, high = 0.2 }', "unknown key 'model.droput': did you mean"),
        ('"modell.dropout" = { low = 0.1, high = 0.2 }', "unknown key 'modell'"),
        ('"1" = { low = 1, high = 2 }', "unknown key '1'"),
        ('model.dropout = { low = 0.1, high = 0.2 }', "unknown key 'search.space.model.dropout'"),
        ('"stage.2.epochs" = { low = 1, high = 2 }', "not a number from 1 to 1"),
        ('"stage.1.epochs" = { low = 1.5, high = 4 }', "valid integer"),
        ('"stage.1.epochs" = { low = 1, high = 4, step = 0.5 }', "got 1.5"),
        ('"model.sigmoid" = { low = 0, high = 1 }', "valid boolean"),
        ('"model.hidden" = { low = 1, high = 2 }', "'model.hidden': Input should be a valid"),
        ('"stage.1.optimiser" = { choices = ["adam", "adm"] }', "got 'adm'"),
        ('"seed" = { low = 0, high = 9 }', "the best of many seeds is luck"),
        ('"view" = { choices = ["ham7"] }', "cannot be compared"),
        ('"model.dropout" = { low = 0.0, high = 0.1, when = { "model.hiden" = [[]] } }',
         "depends on 'model.hiden', which is not drawn"),
        (NESTED + '"stage.1.label_smoothing" = { choices = [0.1], when = { "model.hidden" = 8 } }',
         'waits for \'model.hidden\' to be 8, which is not one of its choices: [], [8]'),
        (NESTED + '"stage.1.batch_size" = { choices = [8], when = { "model.dropout" = 0.1 } }',
         "has a range and no choices"),
        ('"input.size" = { choices = [32], when = { "stage.1.epochs" = 1 } }\n'
         '"stage.1.epochs" = { choices = [1], when = { "input.size" = 32 } }',
         "the conditions go in a circle"),
    ],
)  # fmt: skip
def test_refuses_with_the_reason(parameters: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        space(parameters)
    assert message in str(caught.value)


def test_values_that_only_clash_with_others_are_left_to_the_trials() -> None:
    search = space('"answer" = { choices = ["balanced", "prior"] }')
    assert search.space["answer"].choices == ("balanced", "prior")


def test_the_space_of_the_documentation_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "verbs" / "search.md").read_text("utf-8")
    text = page.split("```toml\n")[1].split("```")[0]
    search = parse_recipe(BASE + text).search
    assert search is not None
    assert len(search.order()) == 7


def test_the_bundled_space_is_read() -> None:
    search = load_recipe("mobilenetv2-head-search").search
    assert search is not None
    assert "stage.1.weight_decay" in drawn(search, optimiser="adamw")
    assert "stage.1.weight_decay" not in drawn(search, optimiser="adam")
