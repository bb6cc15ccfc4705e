"""Losses of masks against figures that were worked out by hand."""

import math

import pytest
import torch

from cutis.recipes.segmentation import SegmentationLoss
from cutis.training.segmentation.losses import dice_bce, focal_tversky, make_loss, tversky_index

SURE = 50.0  # a logit whose sigmoid is 1 in float32


def masks(*rows: list[int]) -> torch.Tensor:
    """Masks (batch, 1, 2, 2) of 0 and 1."""
    return torch.tensor(rows, dtype=torch.float32).view(-1, 1, 2, 2)


def sure(answers: torch.Tensor) -> torch.Tensor:
    return (answers * 2 - 1) * SURE


TRUTH = masks([1, 1, 0, 0], [1, 0, 0, 0])
FOUND = masks([1, 0, 1, 0], [1, 0, 0, 0])


def test_index_counts_hits_missed_and_extra_by_photo() -> None:
    index = tversky_index(sure(FOUND), TRUTH, 0.7, 0.3)
    assert index.tolist() == pytest.approx([(1 + 1) / (1 + 0.7 + 0.3 + 1), 1.0])
    missed = tversky_index(sure(masks([1, 0, 0, 0])), masks([1, 1, 0, 0]), 0.7, 0.3)
    extra = tversky_index(sure(masks([1, 1, 0, 0])), masks([1, 0, 0, 0]), 0.7, 0.3)
    assert missed.item() == pytest.approx(2 / 2.7)
    assert extra.item() == pytest.approx(2 / 2.3)


def test_focal_tversky_is_the_root_of_the_papers_formula() -> None:
    # the mean of the photos' losses, not the loss of the mean
    first = (1 - 2 / 3) ** 0.75
    assert focal_tversky(sure(FOUND), TRUTH).item() == pytest.approx(first / 2, abs=1e-4)
    plain = focal_tversky(sure(FOUND), TRUTH, gamma=1.0)
    assert plain.item() == pytest.approx((1 - 2 / 3) / 2, abs=1e-5)


@pytest.mark.parametrize(("gamma", "least", "most"), [(1.0, 0.9, 1.1), (2.0, 2.0, 10.0)])
def test_with_a_large_gamma_nearly_right_photos_count_more(
    gamma: float, least: float, most: float
) -> None:
    """The loss falls by so much more near index 1 than near one half, for the same step."""

    def loss(index: float) -> float:
        nothing, truth = torch.full((1, 1, 2, 2), -SURE), masks([1, 0, 0, 0])
        return focal_tversky(nothing, truth, 1 / index - 1, 0.0, gamma).item()

    def fall(index: float) -> float:
        return loss(index) - loss(index + 0.01)

    assert least < fall(0.95) / fall(0.5) < most


def test_dice_and_cross_entropy_of_an_undecided_network() -> None:
    logits = torch.zeros(1, 1, 2, 2)
    dice = 1 - (1 + 1) / (1 + 0.5 * 1 + 0.5 * 1 + 1)  # two of four pixels, each by half
    expected = dice + math.log(2)
    assert dice_bce(logits, masks([1, 1, 0, 0])).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [dice_bce, focal_tversky])
def test_right_answers_cost_nothing_even_where_there_is_no_lesion(loss: object) -> None:
    assert callable(loss)
    right = masks([1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1])
    assert loss(sure(right), right).item() < 1e-4


@pytest.mark.parametrize("loss", [dice_bce, focal_tversky])
def test_losses_are_computed_in_float32_and_have_gradients(loss: object) -> None:
    assert callable(loss)
    rough = torch.linspace(-3, 3, 8).view(2, 1, 2, 2).bfloat16()
    assert loss(rough, TRUTH) == loss(rough.float(), TRUTH)
    logits = sure(TRUTH).bfloat16().requires_grad_()
    loss(logits, TRUTH).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_the_recipe_chooses_the_loss_and_its_weights() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.1]]).view(1, 1, 2, 2)
    truth = masks([1, 0, 0, 1])
    settings = SegmentationLoss(kind="focal_tversky", alpha=0.4, beta=0.6, gamma=2.0)
    expected = focal_tversky(logits, truth, 0.4, 0.6, 2.0)
    assert make_loss(settings)(logits, truth) == expected != focal_tversky(logits, truth)
    assert make_loss(SegmentationLoss())(logits, truth) == dice_bce(logits, truth)
