"""Stages: trainable layers, losses and schedules do what the recipe says."""

import numpy as np
import pytest
import torch

from cutis.errors import RecipeError
from cutis.models.registry import build_classifier
from cutis.recipes.schema import Augmentation, Schedule, Stage
from cutis.training.augment import augment_batch
from cutis.training.stages import Rate, apply_trainable, make_loss, make_optimiser

COUNTS = np.array([90, 10])


def test_last_and_from_count_keras_layers() -> None:
    model = build_classifier("mobilenet_v2_035", 2)
    apply_trainable(model, Stage(epochs=1, trainable="last 30"))
    by_last = [p.requires_grad for p in model.parameters()]
    apply_trainable(model, Stage(epochs=1, trainable="from 124"))
    assert by_last == [p.requires_grad for p in model.parameters()]
    apply_trainable(model, Stage(epochs=1, trainable="head"))
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert all(p.requires_grad for p in model.head.parameters())


def test_an_index_beyond_the_last_layer_is_refused() -> None:
    model = build_classifier("mobilenet_v2_035", 2)
    with pytest.raises(RecipeError, match="the backbone has 154 Keras layers"):
        apply_trainable(model, Stage(epochs=1, trainable="from 155"))


def test_logit_adjustment_is_cross_entropy_of_shifted_logits() -> None:
    logits, target = torch.tensor([[0.3, -0.2]]), torch.tensor([1])
    loss = make_loss(Stage(epochs=1, imbalance="logit_adjustment"), COUNTS)(logits, target)
    shifted = logits + torch.log(torch.tensor([0.9, 0.1]))
    assert loss.item() == pytest.approx(-torch.log_softmax(shifted, 1)[0, 1].item(), rel=1e-5)


def test_class_weights_make_diagnoses_count_alike() -> None:
    loss = make_loss(Stage(epochs=1, imbalance="class_weights"), COUNTS)
    logits = torch.zeros(100, 2, requires_grad=True)
    loss(logits, torch.tensor([0] * 90 + [1] * 10)).backward()
    assert logits.grad is not None
    # at equal logits the pulls of both diagnoses cancel
    assert logits.grad.sum(0).abs().max() < 1e-6


def test_decay_leaves_out_biases_and_norms() -> None:
    model = build_classifier("mobilenet_v2_035", 2)
    optimiser = make_optimiser(model, Stage(epochs=1, optimiser="adamw", weight_decay=0.1))
    decayed, bare = optimiser.param_groups
    assert decayed["weight_decay"] == 0.1
    assert bare["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in decayed["params"])


@pytest.mark.parametrize(
    ("schedule", "last"),
    [(Schedule(kind="constant"), 1.0), (Schedule(kind="cosine", minimum=0.1), 0.1),
     (Schedule(kind="one-cycle"), 0.0), (Schedule(kind="plateau", patience=0), 0.1)],
)  # fmt: skip
def test_schedules_end_where_they_should(schedule: Schedule, last: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    rate = Rate(optimiser, Stage(epochs=3, learning_rate=1.0, schedule=schedule), 10)
    for _ in range(3):
        for _ in range(10):
            used = optimiser.param_groups[0]["lr"]
            optimiser.step()
            rate.after_step()
        rate.after_epoch(0.5)
    assert used == pytest.approx(last, abs=0.005)


def photo(size: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype(np.uint8)


def test_no_augmentation_returns_the_photos() -> None:
    pixels = photo()
    assert augment_batch(pixels, Augmentation(), np.random.default_rng(0)) is pixels


def test_flips_are_exact_mirror_images() -> None:
    pixels = photo()
    seen = set()
    for seed in range(20):
        out = augment_batch(pixels, Augmentation(flip="both"), np.random.default_rng(seed))[0]
        mirrored = {
            (a, b): np.array_equal(out, pixels[0][::a, ::b]) for a in (1, -1) for b in (1, -1)
        }
        assert sum(mirrored.values()) == 1
        seen |= {key for key, same in mirrored.items() if same}
    assert len(seen) == 4


def test_colour_keeps_grey_grey_and_geometry_alone() -> None:
    grey = np.full((1, 16, 16, 3), 100, np.uint8)
    settings = Augmentation(saturation=0.5, hue=90)
    out = augment_batch(grey, settings, np.random.default_rng(0))
    assert np.abs(out.astype(int) - 100).max() <= 1


def test_same_generator_same_photos() -> None:
    settings = Augmentation(flip="both", rotation=180, zoom=0.2, shift=0.1, contrast=0.2, erase=0.5)
    first, second = (augment_batch(photo(), settings, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, photo())
