"""Over-sampling: every photo once, and copies until all diagnoses are equally frequent."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cutis.data.batches import over_sampled_order
from cutis.models.registry import build_classifier
from cutis.recipes import parse_recipe
from cutis.records import Preprocessing
from cutis.training.backend import Backend
from cutis.training.classification import Classification
from cutis.training.feature_cache import FeatureCache
from cutis.training.frozen import FrozenPart
from cutis.training.loop import Trainer
from cutis.training.stages import apply_trainable
from cutis.training.supply import Supply, TrainingData

RECIPE = """
name = "tiny"
precision = "float32"
[input]
size = 32
[model]
backbone = "small_cnn"
[[stage]]
epochs = 2
batch_size = 4
learning_rate = 1e-2
imbalance = "over_sampling"
schedule = { kind = "one-cycle" }
"""
FROZEN = ["stage.1.trainable=head", "stage.1.augmentation={flip='both'}", "stage.1.views=2"]


def some_data() -> TrainingData:
    """Training photos 3 to 15 with two, eight and three of three diagnoses, out of order."""
    labels = np.array([0, 1, 2, 1, 0, 1, 1, 2, 1, 1, 2, 1, 0, 1, 2, 1], np.int64)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    return TrainingData(pixels, labels, np.arange(3, 16), np.arange(3), ("a", "b", "c"))


def drawn(seed: int) -> NDArray[np.int64]:
    return over_sampled_order(np.array([1, 0, 1, 1, 2, 1, 2]), np.random.default_rng(seed))


def test_every_photo_comes_and_all_diagnoses_are_equally_frequent() -> None:
    labels = np.array([1, 0, 1, 1, 2, 1, 2])
    orders = [drawn(seed) for seed in range(20)]
    for order in orders:
        assert set(order) == set(range(7))
        assert np.bincount(labels[order]).tolist() == [4, 4, 4]
        assert np.bincount(order)[labels == 1].tolist() == [1, 1, 1, 1]
    assert len({tuple(np.bincount(order)) for order in orders}) > 1  # copies are drawn anew
    assert (drawn(3) == orders[3]).all()


def test_a_diagnosis_that_no_photo_shows_has_no_copies() -> None:
    order = over_sampled_order(np.array([0, 0, 2]), np.random.default_rng(0))
    assert sorted(order) == [0, 1, 2, 2]


@pytest.mark.parametrize("settings", [[], FROZEN], ids=["photos", "kept views"])
def test_a_stage_sees_as_many_photos_of_each_diagnosis(settings: list[str], tmp_path: Path) -> None:
    recipe, data = parse_recipe(RECIPE, settings), some_data()
    model = build_classifier("small_cnn", 3)
    backend = Backend("float32", Preprocessing(size=32))
    apply_trainable(model, recipe.stage[0])
    cache = FeatureCache(tmp_path, "photos", lambda text: None)
    supply = Supply(data, recipe, 0, FrozenPart(model, backend), cache)
    for epoch in range(2):
        labels = np.concatenate([part.numpy() for _, part in supply.training(epoch)])
        assert np.bincount(labels).tolist() == [data.train_counts().max()] * 3
        assert len(labels) == data.epoch_photos(recipe.stage[0])


def test_kept_activations_are_those_of_the_photos(tmp_path: Path) -> None:
    recipe, data = parse_recipe(RECIPE, FROZEN), some_data()
    model = build_classifier("small_cnn", 3)
    backend = Backend("float32", Preprocessing(size=32))
    apply_trainable(model, recipe.stage[0])
    frozen = FrozenPart(model, backend)
    cache = FeatureCache(tmp_path, "photos", lambda text: None)
    kept, fresh = (Supply(data, recipe, 0, frozen, kept) for kept in (cache, None))
    for (one, _), (other, _) in zip(kept.training(1), fresh.training(1), strict=True):
        assert np.abs(one.numpy() - other.numpy()).max() < 1e-5


def test_the_schedule_ends_with_the_last_copy(tmp_path: Path) -> None:
    recipe, data = parse_recipe(RECIPE), some_data()
    model = build_classifier("small_cnn", 3)
    backend = Backend("float32", Preprocessing(size=32))
    task = Classification(recipe, data, backend)
    # torch refuses a step behind the last of one-cycle, and fewer would leave the rate high
    history = Trainer(model, recipe, task, backend, tmp_path / "checkpoint.pt", list).fit()
    assert len(history) == 2
    assert data.epoch_photos(recipe.stage[0]) == 24
    plain = recipe.stage[0].model_copy(update={"imbalance": "none"})
    assert data.epoch_photos(plain) == 13
