"""The cut: training on kept activations is training on photos."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cutis.errors import RecipeError
from cutis.models.registry import Classifier, build_classifier
from cutis.recipes import parse_recipe
from cutis.recipes.schema import Recipe, Stage
from cutis.records import Preprocessing
from cutis.training.backend import Backend
from cutis.training.classification import Classification
from cutis.training.feature_cache import FeatureCache
from cutis.training.frozen import FrozenPart
from cutis.training.loop import History, Trainer
from cutis.training.stages import apply_trainable, batch_norm_momentum, frozen_depth
from cutis.training.supply import Supply, TrainingData

RECIPE = """
name = "tiny"
precision = "float32"
keep = "last"
[input]
size = 32
[model]
backbone = "mobilenet_v2_035"
hidden = [8]
dropout = 0.2
[[stage]]
epochs = 2
trainable = "head"
learning_rate = 1e-2
batch_size = 8
[[stage]]
epochs = 2
trainable = "last 30"
optimiser = "sgd"
learning_rate = 1e-5
batch_size = 8
order = "once"
"""
FLIPS = "stage.2.augmentation={flip='both', rotation=90}"
VIEWS = [FLIPS, "stage.2.views=3", "stage.2.epochs=4"]


def some_data() -> TrainingData:
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 14).astype(np.int64)
    pixels = rng.integers(0, 100, (28, 32, 32, 3)) + labels[:, None, None, None] * 60
    index = np.random.default_rng(1).permutation(28)
    return TrainingData(pixels.astype(np.uint8), labels, index[:20], index[20:], ("a", "b"))


def tiny_network(hidden: tuple[int, ...] = (), dropout: float = 0.0) -> Classifier:
    """Random weights, with the statistics of the photos, so that activations are of order one."""
    torch.manual_seed(0)
    model = build_classifier("mobilenet_v2_035", 2, hidden=hidden, dropout=dropout)
    backend = Backend("float32", Preprocessing(size=32))
    batch_norm_momentum(model.modules(), 1.0)
    with torch.no_grad():
        model.train()(backend.normalised(some_data().pixels))
    batch_norm_momentum(model.modules(), 0.1)
    return model


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", "photos", lambda text: None)


def trained(
    folder: Path,
    settings: list[str],
    cache: FeatureCache | None,
    after_epoch: object = None,
) -> tuple[Classifier, History]:
    recipe = parse_recipe(RECIPE, settings)
    model = tiny_network((8,), recipe.model.dropout)
    backend = Backend(recipe.precision, Preprocessing(size=32))
    note = after_epoch if callable(after_epoch) else lambda history: None
    folder.mkdir(exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    task = Classification(recipe, some_data(), backend, cache)
    history = Trainer(model, recipe, task, backend, checkpoint, note).fit()
    return model, history


def supply_of(settings: list[str], stage: int, cache: FeatureCache | None) -> Supply:
    recipe = parse_recipe(RECIPE, settings)
    model = tiny_network()
    apply_trainable(model, recipe.stage[stage])
    backend = Backend(recipe.precision, Preprocessing(size=32))
    backend.place(model)
    return Supply(some_data(), recipe, stage, FrozenPart(model, backend), cache)


def assert_alike(one: History, other: History) -> None:
    assert len(one) == len(other)
    for row, expected in zip(one, other, strict=True):
        for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
            assert row[name] == pytest.approx(expected[name], abs=1e-4), name


@pytest.mark.parametrize("settings", [[], VIEWS, [FLIPS]], ids=["plain", "views", "exact"])
def test_kept_activations_give_the_same_training(
    tmp_path: Path, cache: FeatureCache, settings: list[str]
) -> None:
    _, without = trained(tmp_path / "a", settings, None)
    _, building = trained(tmp_path / "b", settings, cache)
    files = {file: file.stat().st_mtime_ns for file in cache.folder.iterdir()}
    _, reading = trained(tmp_path / "c", settings, cache)
    assert_alike(building, without)
    assert building[-1]["train_loss"] == reading[-1]["train_loss"]
    assert set(cache.folder.iterdir()) == set(files)
    assert len(files) == (3 if settings == [FLIPS] else 4)  # training and validation, two stages


def test_bfloat16_stays_near(tmp_path: Path, cache: FeatureCache) -> None:
    settings = ["precision=bfloat16", "model.dropout=0.0"]
    _, without = trained(tmp_path / "a", settings, None)
    _, kept = trained(tmp_path / "b", settings, cache)
    for row, expected in zip(kept, without, strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], abs=0.03)


@pytest.mark.parametrize("settings", [[], VIEWS], ids=["plain", "views"])
@pytest.mark.parametrize("stop_after", [1, 3])
def test_resumed_training_ends_with_the_same_weights(
    tmp_path: Path, cache: FeatureCache, settings: list[str], stop_after: int
) -> None:
    whole, _ = trained(tmp_path / "whole", settings, cache)

    def stop(history: History) -> None:
        if len(history) == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", settings, cache, stop)
    model, _ = trained(tmp_path / "cut", settings, cache)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("trainable", "depth", "shape"),
    [
        ("head", 39, (1280, 1, 1)),
        # the last 30 layers begin with block 13's last batch normalisation
        ("last 30", 31, (56, 1, 1)),
        ("from 140", 33, (56, 1, 1)),
        ("all", 0, (3, 32, 32)),
    ],
)
def test_the_cut_lies_before_the_first_trainable_layer(
    trainable: str, depth: int, shape: tuple[int, ...]
) -> None:
    supply = supply_of([f"stage.1.trainable={trainable}"], 0, None)
    activations, labels = next(supply.training(0))
    assert supply.frozen.depth == depth
    assert activations.shape == (8, *shape)
    assert labels.shape == (8,)


def test_frozen_part_and_rest_are_the_network() -> None:
    model = tiny_network()
    backend = Backend("float32", Preprocessing(size=32))
    pixels = some_data().pixels
    for trainable in ("head", "last 30", "from 100", "all"):
        apply_trainable(model, Stage(epochs=1, trainable=trainable))
        frozen = FrozenPart(model, backend)
        model.eval()
        with torch.inference_mode():
            whole = model(backend.normalised(pixels))
            parts = frozen.rest(model)(frozen(pixels))
        assert torch.allclose(whole, parts, atol=1e-4)


def test_an_attention_head_is_fed_the_whole_map() -> None:
    model = build_classifier("mobilenet_v2_035", 2, attention="se")
    apply_trainable(model, Stage(epochs=1, trainable="head"))
    frozen = FrozenPart(model, Backend("float32", Preprocessing(size=64)))
    assert frozen(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 1280, 2, 2)


def test_other_weights_other_photos_other_views_are_other_files(cache: FeatureCache) -> None:
    def files() -> int:
        return len(list(cache.folder.iterdir()))

    supply_of([], 1, cache)
    assert files() == 2
    supply_of(["stage.2.learning_rate=1e-4", "seed=3"], 1, cache)
    assert files() == 2
    supply_of(VIEWS, 1, cache)
    assert files() == 3
    supply_of([*VIEWS, "seed=3"], 1, cache)
    assert files() == 4
    supply_of([*VIEWS, "stage.2.augmentation.rotation=80"], 1, cache)
    assert files() == 5
    supply_of([], 1, FeatureCache(cache.folder, "other photos", print))
    assert files() == 7
    supply_of(["precision=bfloat16"], 1, cache)
    assert files() == 9


def drawn(supply: Supply, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(supply.training(epoch))
    return torch.cat([b for b, _ in batches]), torch.cat([labels for _, labels in batches])


def test_each_view_comes_in_turn(cache: FeatureCache) -> None:
    supply = supply_of([*VIEWS, "stage.2.order=once"], 1, cache)
    epochs = [drawn(supply, epoch)[0] for epoch in range(6)]
    assert torch.equal(epochs[0], epochs[3])
    assert torch.equal(epochs[2], epochs[5])
    different = (epochs[0] - epochs[1]).flatten(1).abs().amax(dim=1) > 0
    assert different.float().mean() > 0.9


def test_order_once_is_drawn_once_and_order_epoch_anew(cache: FeatureCache) -> None:
    once = supply_of([], 1, cache)
    assert torch.equal(drawn(once, 0)[1], drawn(once, 1)[1])
    anew = supply_of(["stage.2.order=epoch"], 1, cache)
    assert not torch.equal(drawn(anew, 0)[0], drawn(anew, 1)[0])


@pytest.mark.parametrize(
    "settings", [[], VIEWS, ["stage.2.imbalance=balanced_sampling"]], ids=["", "views", "balanced"]
)
def test_kept_rows_are_those_of_the_photos_drawn(cache: FeatureCache, settings: list[str]) -> None:
    with_cache, without = (supply_of(settings, 1, each) for each in (cache, None))
    for epoch in range(4):
        (kept, labels), (computed, expected) = drawn(with_cache, epoch), drawn(without, epoch)
        # kernels round by the batch; another photo's row differs by far more
        assert torch.allclose(kept, computed, atol=1e-3)
        assert torch.equal(labels, expected)


def test_a_cache_that_fails_changes_nothing(
    tmp_path: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTIS_CACHE_GB", "0")
    _, refused = trained(tmp_path / "a", VIEWS, cache)
    _, without = trained(tmp_path / "b", VIEWS, None)
    assert [row["train_loss"] for row in refused] == [row["train_loss"] for row in without]
    assert list(cache.folder.iterdir()) == []


def test_views_of_a_network_that_trains_whole_are_refused() -> None:
    recipe: Recipe = parse_recipe(RECIPE, [*VIEWS, "stage.2.trainable=all"])
    model = build_classifier("mobilenet_v2_035", 2)
    with pytest.raises(RecipeError, match="no layer at the start of the network is frozen"):
        apply_trainable(model, recipe.stage[1])


def test_views_without_augmentation_are_refused() -> None:
    with pytest.raises(RecipeError, match="the stage needs an augmentation"):
        parse_recipe(RECIPE, ["stage.1.views=4"])


def test_a_compiled_part_answers_as_the_plain_one() -> None:
    model = build_classifier("small_cnn", 2)
    apply_trainable(model, Stage(epochs=1, trainable="from 4"))
    frozen = FrozenPart(model, Backend("float32", Preprocessing(size=32)))
    assert frozen.depth == 1
    plain = frozen(some_data().pixels)
    frozen.compile(8)
    assert torch.allclose(frozen(some_data().pixels), plain, atol=1e-5)


def test_without_a_compiler_it_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Iterator[None]:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("torch.compile", lambda *_, **__: broken)
    model = build_classifier("small_cnn", 2)
    apply_trainable(model, Stage(epochs=1, trainable="head"))
    assert frozen_depth(model) == len(model.backbone.chain())
    frozen = FrozenPart(model, Backend("float32", Preprocessing(size=32)))
    frozen.compile(8)
    assert frozen(some_data().pixels).shape == (28, 128, 1, 1)
