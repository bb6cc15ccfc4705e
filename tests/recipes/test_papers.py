"""The recipes that follow a paper hold every fact that the paper states."""

from typing import Any

import pytest

from cutis.errors import RecipeError
from cutis.recipes import Recipe, load_recipe, parse_recipe, recipe_names
from cutis.recipes.schema import Augmentation
from cutis.taxonomy import view

TURNED = Augmentation(flip="both", rotation=20, zoom=0.1)
COLOURED = TURNED.model_copy(update={"brightness": 0.1, "contrast": 0.1})
PLAIN = Augmentation()
STRONG = Augmentation(flip="both", rotation=180, zoom=0.2, shift=0.1)  # half a turn to either side

SATTARZADEH = {
    "input": (224, "zero_one"),
    "head": ((256,), 0.5, False),
    "diagnoses": 30,
    "split": ((80, 20, 0), 0, "validation"),
    "epochs": [10, 15],
    "rates": [1e-4, 3e-5],
    "batch": {32},
    "imbalance": ["class_weights"] * 2,
    "augmentation": [COLOURED] * 2,
    "stopping": [5, 5],
    "order": {"epoch"},
    "chosen": ("validation_loss", "best"),
}
MELANOMA = {
    "backbone": "mobilenet_v2",
    "input": (224, "zero_one"),
    "head": ((128,), 0.3, True),
    "diagnoses": 2,
    "split": ((70, 15, 15), 42, "test"),
    "batch": {16},
    "imbalance": ["none"],
    "order": {"once"},
    "batch_norm": 0.001,
}
FACTS: dict[str, dict[str, Any]] = {
    "sattarzadeh-2025": SATTARZADEH
    | {
        "backbone": "mobilenet_v2",
        "trainable": ["head", "from 140"],
        "batch_norm": 0.001,
        "published": {"accuracy": 0.2936, "precision_macro": 0.32, "recall_macro": 0.28,
                      "f1_macro": 0.29, "parameters": 3.4e6},
    },
    "sattarzadeh-2025-vgg16": SATTARZADEH
    | {
        "backbone": "vgg16",
        "trainable": ["head", "last 4"],
        "published": {"accuracy": 0.312, "parameters": 138e6},
    },
    "sattarzadeh-2025-resnet50": SATTARZADEH
    | {
        "backbone": "resnet50",
        "trainable": ["head", "last 32"],
        "batch_norm": 0.01,
        "published": {"accuracy": 0.334, "parameters": 25.6e6},
    },
    "ham10000-mobilenetv2": {
        "backbone": "mobilenet_v2",
        "input": (224, "imagenet"),
        "head": ((), 0.2, False),
        "diagnoses": 7,
        "split": ((70, 15, 15), 0, "test"),
        "epochs": [25],
        "trainable": ["all"],
        "rates": [1e-3],
        "batch": {32},
        "imbalance": ["none"],
        "augmentation": [TURNED],
        "stopping": [None],
        "order": {"epoch"},
        "chosen": ("validation_accuracy", "best"),
        "published": {"accuracy": 0.92, "validation_accuracy": 0.90, "f1_macro": 0.88,
                      "loss": 0.26},
    },
    "azeem-2025": {
        "backbone": "mobilenet_v2",
        "input": (224, "imagenet"),
        "head": ((), 0.2, False),
        "diagnoses": 6,
        "split": ((70, 15, 15), 0, "test"),
        "epochs": [12, 10, 8],
        "trainable": ["head", "last 30", "last 30"],
        "rates": [1e-3, 1e-4, 1e-5],
        "batch": {32},
        "imbalance": ["none", "none", "class_weights"],
        "augmentation": [PLAIN, TURNED, TURNED],
        "stopping": [None, None, 3],
        "order": {"epoch"},
        "chosen": ("validation_loss", "best"),
        "batch_norm": 0.001,
        "published": {},
    },
    "melanoma-2025-a": MELANOMA
    | {
        "epochs": [10],
        "trainable": ["head"],
        "rates": [1e-3],
        "augmentation": [PLAIN],
        "stopping": [None],
        "chosen": ("validation_loss", "last"),
        "published": {"accuracy": 0.8805, "malignant_f1": 0.8757, "malignant_precision": 0.8615,
                      "malignant_recall": 0.8904, "train_accuracy": 0.9425, "seconds": 666},
    },
    "melanoma-2025-b": MELANOMA
    | {
        "epochs": [10, 10],
        "trainable": ["head", "last 30"],
        "rates": [1e-3, 1e-5],
        "imbalance": ["none"] * 2,
        "augmentation": [PLAIN] * 2,
        "stopping": [None] * 2,
        "chosen": ("validation_loss", "last"),
        "published": {"accuracy": 0.8891, "malignant_f1": 0.8848, "malignant_precision": 0.8696,
                      "malignant_recall": 0.9005, "train_accuracy": 0.9686, "seconds": 899},
    },
    "melanoma-2025-c": MELANOMA
    | {
        "epochs": [30],
        "trainable": ["last 30"],
        "rates": [1e-5],
        "augmentation": [STRONG],
        "stopping": [10],
        "chosen": ("validation_loss", "best"),
        "published": {"accuracy": 0.8805, "malignant_f1": 0.8680, "malignant_precision": 0.9080,
                      "malignant_recall": 0.8315, "train_accuracy": 0.8938, "seconds": 2809},
    },
    "sene-2024": {
        "backbone": "lesion_cnn",
        "input": (224, "zero_one"),
        "head": ((64, 64, 16, 16), 0.0, False),
        "diagnoses": 7,
        "split": ((70, 10, 20), 0, "test"),
        "epochs": [20],
        "trainable": ["all"],
        "rates": [1e-4],
        "batch": {32},
        "imbalance": ["over_sampling"],
        "augmentation": [PLAIN],
        "stopping": [5],
        "order": {"epoch"},
        "chosen": ("validation_balanced_accuracy", "best"),
        "published": {"accuracy": 0.99, "precision_macro": 0.987, "recall_macro": 0.988,
                      "f1_macro": 0.987},
    },
}  # fmt: skip


def facts_of(recipe: Recipe) -> dict[str, Any]:
    paper, stages = recipe.paper, recipe.stage
    assert paper is not None
    assert recipe.view is not None
    return {
        "backbone": recipe.model.backbone,
        "input": (recipe.input.size, recipe.input.scaling),
        "head": (recipe.model.hidden, recipe.model.dropout, recipe.model.sigmoid),
        "diagnoses": len(view(recipe.view).classes),
        "split": (paper.shares, paper.seed, paper.judged_on),
        "epochs": [stage.epochs for stage in stages],
        "trainable": [stage.trainable for stage in stages],
        "rates": [stage.learning_rate for stage in stages],
        "batch": {stage.batch_size for stage in stages},
        "imbalance": [stage.imbalance for stage in stages],
        "augmentation": [stage.augmentation for stage in stages],
        "stopping": [s.early_stopping and s.early_stopping.patience for s in stages],
        "order": {stage.order for stage in stages},
        "chosen": (recipe.monitor, recipe.keep),
        "batch_norm": recipe.batch_norm_momentum,
        "published": paper.published,
    }


def test_every_recipe_of_a_paper_is_held_against_it() -> None:
    assert set(FACTS) == {name for name in recipe_names() if load_recipe(name).paper is not None}


@pytest.mark.parametrize("name", FACTS)
def test_recipe_holds_the_facts_of_its_paper(name: str) -> None:
    recipe = load_recipe(name)
    assert facts_of(recipe) == {"batch_norm": 0.1} | FACTS[name]
    assert {stage.optimiser for stage in recipe.stage} == {"adam"}
    assert all(stage.views == 0 and not stage.label_smoothing for stage in recipe.stage)


@pytest.mark.parametrize("name", [name for name in FACTS if name.startswith("sattarzadeh")])
def test_the_rate_of_system_1_can_only_fall_to_the_published_one(name: str) -> None:
    for stage in load_recipe(name).stage:
        assert (stage.schedule.kind, stage.schedule.minimum) == ("plateau", 3e-6)
    assert load_recipe(name).stage[1].learning_rate * stage.schedule.factor == pytest.approx(3e-6)


@pytest.mark.parametrize("name", FACTS)
def test_what_is_open_is_said(name: str) -> None:
    paper = load_recipe(name).paper
    assert paper is not None
    assert paper.reference
    assert paper.data
    assert len(paper.open) >= 3
    assert paper.deviations
    texts = (*paper.open, *paper.deviations, *paper.claims, paper.data, paper.reference)
    assert [text for text in texts if text != text.strip(" .")] == []


def test_recipes_of_a_system_share_photos_split_and_view() -> None:
    shared: dict[str, set[object]] = {}
    for name in FACTS:
        recipe = load_recipe(name)
        assert recipe.paper is not None
        paper = recipe.paper
        facts = (
            paper.reference,
            paper.data,
            paper.shares,
            paper.seed,
            paper.judged_on,
            recipe.view,
        )
        shared.setdefault(paper.system, set()).add(facts)
    assert {system: len(found) for system, found in shared.items()} == dict.fromkeys(shared, 1)
    assert set(shared) == {"sattarzadeh-2025-all", "ham10000-mobilenetv2", "azeem-2025",
                           "melanoma-2025", "sene-2024"}  # fmt: skip


def test_the_copies_of_system_5_make_as_many_test_photos_as_published() -> None:
    paper = load_recipe("sene-2024").paper
    assert paper is not None
    assert isinstance(paper.over_sampled, int)
    assert round(7 * paper.over_sampled * paper.shares[2] / 100) == 3597
    assert load_recipe("sene-2024").input.lesion == "mask"


PAPER = 'name = "x"\n[[stage]]\nepochs = 1\n[paper]\nsystem = "s"\nreference = "r"\ndata = "d"\n'


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("shares = [70, 20, 15]", "add up to 100"),
        ("shares = [110, -10, 0]", "add up to 100"),
        ("shares = [80, 0, 20]", "validation cannot be empty"),
        ("shares = [80, 20, 0]", "judged_on = 'test' needs a test share"),
        ("shares = [70, 15, 15]\njudged_on = 'train'", "'validation' or 'test'"),
        ("shares = [70, 15, 15]\npublisht = {}", "did you mean 'published'"),
        ("seed = 1", "'paper.shares' is missing"),
        ("shares = [70, 15, 15]\nover_sampled = 0", "'balanced' or a number of photos"),
        ("shares = [70, 15, 15]\nover_sampled = 'equal'", "'balanced' or a number of photos"),
    ],
)
def test_a_wrong_paper_section_is_refused(keys: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(PAPER + keys)
