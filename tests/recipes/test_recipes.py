"""Recipes: what is refused and how a setting changes a value."""

import tomllib

import pytest

from cutis.errors import RecipeError
from cutis.recipes import load_recipe, parse_recipe, recipe_names, recipe_text

MINIMAL = 'name = "x"\n[[stage]]\nepochs = 1\n[[stage]]\nepochs = 2\n'


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_opens_like_a_lab_note(name: str) -> None:
    assert load_recipe(name).name == name
    note = recipe_text(name).split("\nname =")[0]
    assert note.startswith("#")
    assert f"cutis train {name} --data CATALOG --out RUN" in note


def test_there_are_recipes() -> None:
    assert {"cutis-small", "ham10000-mobilenetv2"} <= set(recipe_names())


def test_settings_reach_stages_tables_and_text() -> None:
    recipe = parse_recipe(
        MINIMAL,
        ["stage.2.learning_rate=1e-5", "stage.1.augmentation.flip=both", "model.hidden=[8, 4]",
         "stage.2.trainable=last 30", "moving_average=0.9"],
    )  # fmt: skip
    assert recipe.stage[1].learning_rate == 1e-5
    assert recipe.stage[0].augmentation.flip == "both"
    assert recipe.model.hidden == (8, 4)
    assert recipe.stage[1].trainable == "last 30"
    assert recipe.moving_average == 0.9


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stage.1.learnin_rate=1", "unknown key 'stage.1.learnin_rate': did you mean 'learning_"),
        ("modell.dropout=1", "unknown key 'modell': did you mean 'model'"),
        ("stage.1.augmentation.flipp=both", "did you mean 'flip'"),
        ("stage.1.schedule.warm=1", "did you mean 'warmup'"),
        ("stage.3.epochs=1", "'3' in the setting stage.3.epochs is not a number from 1 to 2"),
        ("stage.1.trainable=top", "expected 'head', 'all', 'last N' or 'from K'"),
        ("model.dropout=3", "'model.dropout': Input should be less than or equal to 1, got 3"),
        ("epochs", "'epochs' is not a setting"),
        ("name.x=1", "'name' in the setting name.x has no keys of its own"),
        ("answer=prior", "needs imbalance = 'logit_adjustment'"),
        ("stage=[]", "at least one"),
    ],
)
def test_refuses_with_the_reason(setting: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(MINIMAL, [setting])
    assert message in str(caught.value)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'cutis-small'"):
        load_recipe("cutis-smal")


def test_broken_toml_says_where() -> None:
    with pytest.raises(RecipeError, match=r"not valid TOML.*line 1"):
        parse_recipe("name = = 3")


def test_recipe_as_run_reads_back() -> None:
    tomlkit = pytest.importorskip("tomlkit")
    recipe = load_recipe("cutis-small")
    text = tomlkit.dumps(recipe.model_dump(mode="json", exclude_none=True))
    assert tomllib.loads(text)["moving_average"] == recipe.moving_average
    assert parse_recipe(text) == recipe
