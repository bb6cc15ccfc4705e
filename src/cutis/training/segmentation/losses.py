"""Losses of masks, in float32, each a mean over the photos of a batch.

Shapes: logits and masks are (batch, 1, height, width); masks are 1 on the lesion and 0 elsewhere.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from cutis.recipes.segmentation import SegmentationLoss

Loss = Callable[[Tensor, Tensor], Tensor]

_SMOOTH = (
    1.0  # pixel, by which two empty masks agree; as in the focal Tversky loss's published code
)
_LEAST = 1e-6  # the root's slope is infinite at 0


def make_loss(settings: SegmentationLoss) -> Loss:
    """The recipe's loss of logits against masks."""
    if settings.kind == "dice_bce":
        return dice_bce

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        return focal_tversky(logits, masks, settings.alpha, settings.beta, settings.gamma)

    return loss


def dice_bce(logits: Tensor, masks: Tensor) -> Tensor:
    """One minus soft Dice by photo, plus the binary cross-entropy of all pixels.

    Soft Dice is the Tversky index with one half for both weights (Milletari et al. 2016,
    arXiv:1606.04797, with sums in place of sums of squares).
    """
    logits = logits.float()
    overlap = tversky_index(logits, masks, 0.5, 0.5)
    return (1 - overlap).mean() + functional.binary_cross_entropy_with_logits(logits, masks)


def focal_tversky(
    logits: Tensor, masks: Tensor, alpha: float = 0.7, beta: float = 0.3, gamma: float = 4 / 3
) -> Tensor:
    """(1 - Tversky index) to the power of 1 / gamma, by photo (Abraham and Khan 2019, section 2.2,
    arXiv:1810.07842).

    As there, alpha weights the lesion pixels that were missed and beta the extra ones, so that the
    default values prefer a mask that is too large. With gamma above 1 the slope grows as the index
    nears 1, so that photos that are nearly right count more than those that are half right.
    """
    overlap = tversky_index(logits.float(), masks, alpha, beta)
    return (1 - overlap).clamp(min=_LEAST).pow(1 / gamma).mean()


def tversky_index(logits: Tensor, masks: Tensor, alpha: float, beta: float) -> Tensor:
    """Hits / (hits + alpha missed + beta extra) of every photo, (batch,), with soft counts."""
    chances, truth = logits.sigmoid().flatten(1), masks.flatten(1)
    hits = (chances * truth).sum(1)
    missed, extra = truth.sum(1) - hits, chances.sum(1) - hits
    return (hits + _SMOOTH) / (hits + alpha * missed + beta * extra + _SMOOTH)
