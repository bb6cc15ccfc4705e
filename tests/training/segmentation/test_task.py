"""What the loop is fed: photo and mask changed alike, copies after the split, honest figures."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cutis.errors import RecipeError
from cutis.metrics.segmentation import score_masks
from cutis.models.segmentation import build_segmenter
from cutis.recipes.segmentation import SegmentationRecipe
from cutis.records import Preprocessing
from cutis.training.backend import Backend
from cutis.training.segmentation.losses import dice_bce
from cutis.training.segmentation.task import (
    WAYS,
    Segmentation,
    SegmentationData,
    apply_trainable,
    even_gradients,
    photos_at_once,
    stacked,
    turned,
    unstacked,
)

SIZE = 32


def some_data() -> SegmentationData:
    """Photos that are white on the lesion, a blot in one corner, and black elsewhere."""
    masks = np.zeros((12, SIZE, SIZE), np.uint8)
    for number, mask in enumerate(masks):
        mask[2 : 8 + number, 3:20] = 255
    pixels = np.repeat(masks[..., None], 3, axis=3)
    return SegmentationData(pixels, masks, np.arange(8), np.arange(8, 12))


def task_of(enlarge: int = 1, **augmentation: object) -> Segmentation:
    recipe = SegmentationRecipe.model_validate(
        {
            "task": "segmentation",
            "name": "x",
            "enlarge": enlarge,
            "stage": [{"epochs": 1, "batch_size": 5, "augmentation": augmentation}],
        }
    )
    return Segmentation(recipe, some_data(), backend())


def backend() -> Backend:
    return Backend("float32", Preprocessing(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1)))


def epoch_of(task: Segmentation, epoch: int = 0) -> tuple[Tensor, Tensor]:
    batches = list(task.begin(build_segmenter("unet", filters=2), 0).training(epoch))
    return torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])


def test_photo_and_mask_are_changed_alike() -> None:
    photos, masks = epoch_of(
        task_of(enlarge=3, flip="both", rotation=180, zoom=0.3, shift=0.1, stretch=0.2)
    )
    assert masks.unique().tolist() == [0, 1]
    assert torch.equal((photos[:, :1] >= 0.5).float(), masks)
    assert len({mask.numpy().tobytes() for mask in masks}) == len(masks)


def test_colours_change_the_photo_and_not_the_mask() -> None:
    _, plain = epoch_of(task_of())
    photos, masks = epoch_of(task_of(brightness=0.5))
    assert torch.equal(plain, masks)
    assert len({float(photo.max()) for photo in photos}) > 4


@pytest.mark.parametrize("enlarge", [1, 3, 8])
def test_an_epoch_holds_every_photo_as_often_as_enlarge_says(enlarge: int) -> None:
    task = task_of(enlarge)
    _, masks = epoch_of(task)
    assert task.epoch_photos(0) == len(masks) == 8 * enlarge
    ways = [{turned(m, w).tobytes() for w in range(WAYS)} for m in some_data().masks[:8, ..., None]]
    found = [(mask[0].numpy() * 255).astype(np.uint8).tobytes() for mask in masks]
    assert len(set(found)) == len(found)
    assert [sum(mask in own for mask in found) for own in ways] == [enlarge] * 8
    unchanged = [mask.tobytes() for mask in some_data().masks[:8]]
    assert set(unchanged) <= set(found)


def test_copies_are_the_same_in_every_epoch_and_come_in_another_order() -> None:
    first, second = (epoch_of(task_of(3), epoch)[1] for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert {m.numpy().tobytes() for m in first} == {m.numpy().tobytes() for m in second}


def test_the_eight_ways_are_different_and_the_first_changes_nothing() -> None:
    square = np.random.default_rng(0).integers(0, 256, (5, 5, 4)).astype(np.uint8)
    assert len({turned(square, way).tobytes() for way in range(WAYS)}) == WAYS
    assert np.array_equal(turned(square, 0), square)


def test_stacking_goes_back() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 6, 6, 3)).astype(np.uint8)
    masks = rng.integers(0, 256, (3, 6, 6)).astype(np.uint8)
    both = stacked(pixels, masks)
    assert np.array_equal(both, np.concatenate([pixels, masks[..., None]], axis=3))
    for before, after in zip((pixels, masks), unstacked(both), strict=True):
        assert np.array_equal(before, after)


def test_validation_figures_are_those_of_the_metrics() -> None:
    torch.manual_seed(1)
    model, data = build_segmenter("unet", filters=2), some_data()
    nn.init.normal_(model.answer.weight)
    with torch.no_grad():
        logits = model.eval()(backend().normalised(data.pixels[8:]))
        model.answer.bias -= logits.quantile(0.8)
        logits -= logits.quantile(0.8)
    figures = task_of().begin(model, 0).validate(model)
    truth = data.masks[8:] > 0
    scores = score_masks(zip(logits[:, 0].numpy() > 0, truth, strict=True)).by_image()
    loss = dice_bce(logits, torch.from_numpy(truth).float().unsqueeze(1))
    assert 0 < figures["validation_jaccard"] < 1
    assert figures == pytest.approx(
        {
            "validation_loss": loss.item(),
            "validation_jaccard": scores["jaccard"].mean(),
            "validation_dice": scores["dice"].mean(),
        },
        rel=1e-5,
    )


def test_training_score_is_the_sum_of_the_photos_jaccards() -> None:
    truth = torch.zeros(3, 1, 2, 2)
    truth[0, 0, 0] = 1
    answers = torch.full((3, 1, 2, 2), -1.0)
    answers[0, 0, :, 0] = 1
    answers[1, 0, 0, 0] = 1
    score = task_of().begin(build_segmenter("unet", filters=2), 0).score(answers, truth)
    assert score.item() == pytest.approx(1 / 3 + 0 + 1)


def test_only_the_decoder_trains_where_the_stage_says_so() -> None:
    model = build_segmenter("mobilenet_unet")
    stage = SegmentationRecipe.model_validate(
        {"task": "segmentation", "name": "x", "stage": [{"epochs": 1, "trainable": "decoder"}]}
    ).stage[0]
    apply_trainable(model, stage)
    assert model.encoder is not None
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert all(p.requires_grad for p in model.decoder.parameters())
    apply_trainable(model, stage.model_copy(update={"trainable": "all"}))
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(RecipeError, match="trains the decoder alone"):
        apply_trainable(build_segmenter("unet", filters=2), stage)


def test_even_gradients_change_nothing_but_the_layout() -> None:
    torch.manual_seed(0)
    model = build_segmenter("attention_unet", filters=2)
    backend().place(model)
    pixels = torch.rand(2, 3, SIZE, SIZE)
    gradients = []
    for _ in range(2):
        torch.manual_seed(1)
        model.zero_grad()
        model(pixels).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        even_gradients(model)
    assert len(gradients[0]) == len(gradients[1]) > 10
    for before, after in zip(*gradients, strict=True):
        assert torch.allclose(before, after, rtol=1e-3, atol=1e-4)


def test_fewer_large_photos_are_computed_at_once() -> None:
    assert [photos_at_once(size) for size in (64, 128, 256, 1024)] == [256, 64, 16, 1]
