"""The training loop: it learns, it repeats itself, and it survives an interruption."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cutis.errors import InputError, RecipeError
from cutis.models.registry import Classifier, build_classifier
from cutis.preprocessing import normalise
from cutis.recipes import parse_recipe
from cutis.recipes.schema import Recipe
from cutis.records import Preprocessing
from cutis.training import loop
from cutis.training.backend import Backend
from cutis.training.classification import Classification
from cutis.training.loop import History, Trainer, logits_of
from cutis.training.stages import batch_norm_momentum
from cutis.training.supply import TrainingData
from cutis.training.workers import OneWorker

RECIPE = """
name = "tiny"
precision = "float32"
moving_average = 0.5
[input]
size = 32
[model]
backbone = "mobilenet_v2_035"
dropout = 0.1
[[stage]]
epochs = 2
trainable = "head"
learning_rate = 1e-2
batch_size = 8
augmentation = { flip = "both", rotation = 20, brightness = 0.1 }
[[stage]]
epochs = 2
trainable = "all"
optimiser = "adamw"
learning_rate = 1e-3
batch_size = 8
schedule = { kind = "one-cycle" }
"""


def tiny_data() -> TrainingData:
    """Dark and bright photos, which any network tells apart."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 16).astype(np.int64)
    pixels = rng.integers(0, 60, (32, 32, 32, 3)) + labels[:, None, None, None] * 150
    index = np.arange(32)
    return TrainingData(pixels.astype(np.uint8), labels, index[:24], index[24:], ("dark", "bright"))


def trainer(folder: Path, recipe: Recipe, after_epoch: object = None) -> tuple[Classifier, Trainer]:
    torch.manual_seed(recipe.seed)
    model = build_classifier(recipe.model.backbone, 2, dropout=recipe.model.dropout)
    backend = Backend(recipe.precision, Preprocessing(size=32))
    note = after_epoch if callable(after_epoch) else lambda history: None
    task = Classification(recipe, tiny_data(), backend)
    return model, Trainer(model, recipe, task, backend, folder / "checkpoint.pt", note)


def weights_after(folder: Path, recipe: Recipe) -> dict[str, torch.Tensor]:
    model, training = trainer(folder, recipe)
    training.fit()
    return model.state_dict()


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert different == []


def test_history_has_a_row_an_epoch_and_names_the_stages(tmp_path: Path) -> None:
    _, training = trainer(tmp_path, parse_recipe(RECIPE))
    history = training.fit()
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert [row["stage"] for row in history] == ["1", "1", "2", "2"]
    assert history[0]["learning_rate"] == pytest.approx(1e-2)


def test_learns_what_can_be_learnt(tmp_path: Path) -> None:
    recipe = parse_recipe(
        RECIPE, ["moving_average=0.0", "stage.2.epochs=15", "stage.2.learning_rate=1e-2"]
    )
    model, training = trainer(tmp_path, recipe)
    batch_norm_momentum(model.modules(), 0.5)  # so few steps would not move the statistics
    history = training.fit()
    assert history[-1]["train_accuracy"] > 0.85
    logits = logits_of(model, tiny_data().pixels, np.arange(32), training.backend)
    best = max(row["validation_accuracy"] for row in history if row["stage"] == "2")
    assert (logits[24:].argmax(1).numpy() == tiny_data().labels[24:]).mean() == best


def test_same_seed_same_weights(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE)
    for name in "ab":
        (tmp_path / name).mkdir()
    assert_equal(weights_after(tmp_path / "a", recipe), weights_after(tmp_path / "b", recipe))


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4])
def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, stop_after: int
) -> None:
    recipe = parse_recipe(RECIPE)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = weights_after(tmp_path / "whole", recipe)

    def stop(history: History) -> None:
        if len(history) == stop_after:
            raise KeyboardInterrupt

    _, training = trainer(tmp_path / "cut", recipe, stop)
    with pytest.raises(KeyboardInterrupt):
        training.fit()
    model, training = trainer(tmp_path / "cut", recipe)
    assert len(training.fit()) == 4
    assert_equal(whole, model.state_dict())


def test_loss_that_is_not_a_number_stops_with_advice(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, ["stage.1.learning_rate=1e30", "stage.1.trainable=all"])
    _, training = trainer(tmp_path, recipe)
    with pytest.raises(RecipeError, match=r"not a number any more \(stage 1, epoch 1"):
        training.fit()


def test_early_stopping_ends_the_stage_and_the_next_begins(tmp_path: Path) -> None:
    recipe = parse_recipe(
        RECIPE,
        ["stage.1.epochs=50", "stage.1.learning_rate=1e-12", "moving_average=0.0",
         "stage.1.early_stopping.patience=2", "monitor=validation_accuracy"],
    )  # fmt: skip
    _, training = trainer(tmp_path, recipe)
    history = training.fit()
    first = [row for row in history if row["stage"] == "1"]
    assert 3 <= len(first) < 50
    assert len(history) == len(first) + 2


def test_frozen_layers_and_their_statistics_do_not_move(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, ["stage.2.trainable=head", "moving_average=0.0"])
    model, training = trainer(tmp_path, recipe)
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    head = model.head.answer.weight.clone()
    training.fit()
    assert_equal(before, model.backbone.state_dict())
    assert not torch.equal(head, model.head.answer.weight)


def test_torch_and_numpy_normalise_alike() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    settings = Preprocessing(size=8)
    ours = Backend("float32", settings).normalised(pixels).numpy()
    assert np.abs(ours - normalise(pixels, settings)).max() < 1e-6


def test_validation_loss_of_a_constant_network_is_log_two(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, ["stage.1.learning_rate=1e-12", "moving_average=0.0"])
    model, training = trainer(tmp_path, recipe)
    torch.nn.init.zeros_(model.head.answer.weight)
    history = training.fit()
    assert history[0]["validation_loss"] == pytest.approx(math.log(2), rel=1e-3)


class Follower(OneWorker):
    """One whose leader has finished an epoch more than it sees."""

    def told(self, value: object) -> object:
        return (0, 2, 2)


def test_a_worker_that_sees_an_older_checkpoint_waits_and_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_LAG_SECONDS", 0)
    _, training = trainer(tmp_path, parse_recipe(RECIPE))
    training.backend.workers = Follower()
    with pytest.raises(InputError, match="sees another state of the run"):
        training.fit()
