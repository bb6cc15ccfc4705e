"""Segmentation recipes: what they say, what is refused, and that the two kinds are told apart."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from cutis.errors import RecipeError
from cutis.recipes import (
    Recipe,
    SegmentationRecipe,
    load_any_recipe,
    load_recipe,
    parse_any_recipe,
    parse_recipe,
    recipe_names,
    recipe_text,
    segmentation_recipe_names,
)
from cutis.recipes.schema import Augmentation

MINIMAL = 'task = "segmentation"\nname = "x"\n[[stage]]\nepochs = 1\n[[stage]]\nepochs = 2\n'
DOCS = Path(__file__).parents[2] / "docs"


def loaded(name: str) -> SegmentationRecipe:
    recipe = load_any_recipe(name)
    assert isinstance(recipe, SegmentationRecipe)
    return recipe


def test_the_two_kinds_are_told_apart() -> None:
    names = segmentation_recipe_names()
    assert names == ["cutis-segmenter", "cutis-segmenter-light", "sene-2024-segmentation"]
    assert not set(names) & set(recipe_names())
    assert isinstance(load_any_recipe("cutis-small"), Recipe)
    with pytest.raises(RecipeError, match="trains a segmenter, not a classifier") as caught:
        load_recipe("cutis-segmenter")
    assert "cutis-small" in str(caught.value)
    with pytest.raises(RecipeError, match="trains a segmenter"):
        parse_recipe(MINIMAL)


@pytest.mark.parametrize("name", segmentation_recipe_names())
def test_every_recipe_opens_like_a_lab_note(name: str) -> None:
    recipe = loaded(name)
    assert recipe.name == name
    assert recipe.input.size == 128
    note = recipe_text(name).split("\ntask =")[0]
    assert note.startswith("#")
    assert f"cutis train {name} --data CATALOG --out RUN" in note
    assert "four times as much" in note


def test_the_papers_recipe_holds_its_facts() -> None:
    recipe = loaded("sene-2024-segmentation")
    (stage,) = recipe.stage
    paper = recipe.paper
    assert paper is not None
    assert (recipe.model.architecture, recipe.model.filters) == ("attention_unet", 32)
    assert (stage.epochs, recipe.enlarge, stage.augmentation) == (45, 3, Augmentation())
    assert paper.published == {
        "iou": 0.8261, "precision": 0.9579, "recall": 0.9019, "accuracy": 0.9495
    }  # fmt: skip
    assert paper.system == "sene-2024"
    for left_open in ("size", "split and seed", "before its split", "loss", "rate"):
        assert any(left_open in text for text in paper.open), left_open
    texts = (*paper.open, *paper.deviations, *paper.claims, paper.data, paper.reference)
    assert [text for text in texts if text != text.strip(" .")] == []


def test_our_recipes_turn_and_colour_the_photos() -> None:
    for name in ("cutis-segmenter", "cutis-segmenter-light"):
        (stage,) = loaded(name).stage
        assert (stage.augmentation.flip, stage.augmentation.rotation) == ("both", 180)
        assert min(stage.augmentation.zoom, stage.augmentation.brightness) > 0
        assert stage.schedule.kind == "one-cycle"
        assert loaded(name).moving_average > 0
        assert stage.learning_rate == 1e-3
    assert loaded("cutis-segmenter-light").model.architecture == "mobilenet_unet"


def test_settings_reach_every_part() -> None:
    recipe = parse_any_recipe(
        MINIMAL,
        ["loss.kind=focal_tversky", "loss.alpha=0.6", "model.filters=8", "enlarge=3",
         "stage.2.trainable=decoder", "stage.1.augmentation.rotation=90"],
    )  # fmt: skip
    assert isinstance(recipe, SegmentationRecipe)
    assert (recipe.loss.kind, recipe.loss.alpha, recipe.loss.beta) == ("focal_tversky", 0.6, 0.3)
    assert recipe.loss.gamma == pytest.approx(4 / 3)
    assert (recipe.model.filters, recipe.enlarge) == (8, 3)
    assert recipe.stage[1].trainable == "decoder"
    assert recipe.stage[0].augmentation.rotation == 90


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("los.kind=dice", "unknown key 'los': did you mean 'loss'"),
        ("loss.kind=dice", "'loss.kind': Input should be 'dice_bce' or 'focal_tversky'"),
        ("loss.gama=1", "did you mean 'gamma'"),
        ("model.filter=8", "did you mean 'filters'"),
        ("stage.1.trainable=head", "'stage.1.trainable': Input should be 'all' or 'decoder'"),
        ("stage.1.imbalance=none", "unknown key 'stage.1.imbalance'"),
        ("monitor=validation_accuracy", "'validation_loss' or 'validation_jaccard'"),
        ("enlarge=9", "less than or equal to 8"),
        ("input.fit=crop", "unknown key 'input.fit'"),
        ("view=ham7", "unknown key 'view'"),
        ("task=segmentaton", "'task': Input should be 'segmentation', got 'segmentaton'"),
        ("stage=[]", "at least one"),
    ],
)
def test_refuses_with_the_reason(setting: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_any_recipe(MINIMAL, [setting])
    assert message in str(caught.value)


def test_an_unknown_name_is_looked_for_among_both_kinds() -> None:
    with pytest.raises(RecipeError, match="did you mean 'cutis-segmenter'"):
        load_any_recipe("cutis-segmentr")
    with pytest.raises(RecipeError, match="did you mean 'cutis-small'"):
        load_any_recipe("cutis-smal")


def test_recipe_as_run_reads_back() -> None:
    tomlkit = pytest.importorskip("tomlkit")
    recipe = loaded("sene-2024-segmentation")
    text = tomlkit.dumps(recipe.model_dump(mode="json", exclude_none=True))
    assert parse_any_recipe(text) == recipe


def own_sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The parts of a segmentation recipe that a classifier's does not have."""
    inner = [
        part
        for field in model.model_fields.values()
        for part in (field.annotation, *getattr(field.annotation, "__args__", ()))
        if isinstance(part, type) and part.__module__ == SegmentationRecipe.__module__
    ]
    return [model, *inner]


def test_every_key_is_described() -> None:
    text = (DOCS / "recipes.md").read_text("utf-8")
    page = text.partition("\n## Segmentation recipes\n")[2].partition("\n## ")[0]
    tables = [dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE))
              for part in re.split(r"^### ", page, flags=re.MULTILINE)[1:]]  # fmt: skip
    parts = own_sections(SegmentationRecipe)
    shared = {"name", "epochs", "optimiser", "learning_rate", "weight_decay", "batch_size",
              "schedule", "augmentation", "early_stopping"}  # fmt: skip
    for part in parts:
        keys = set(part.model_fields) - (shared if part.__name__.endswith("Stage") else set())
        described = [table for table in tables if set(table) == keys]
        assert len(described) == 1, f"{part.__name__}: no table holds exactly {sorted(keys)}"
        for key in keys:
            row, field = described[0][key], part.model_fields[key]
            assert (field.description or "") in row, f"{part.__name__}.{key}: {row}"
            if isinstance(field.default, int | float | str) and field.default != "":
                number = isinstance(field.default, float)
                shown = str(round(field.default, 3) if number else field.default)
                assert row.startswith(f"`{shown}` | "), f"{part.__name__}.{key} is {shown}: {row}"
    assert len(parts) == len(tables) == 5
