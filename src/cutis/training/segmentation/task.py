"""The task to find the lesion: photos and masks for the training loop."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.data.batches import batch_slices, prefetched
from cutis.errors import RecipeError
from cutis.metrics.segmentation import PixelCounts, overlap_scores
from cutis.models.segmentation import Segmenter
from cutis.recipes.segmentation import SegmentationRecipe, SegmentationStage
from cutis.training.augment import augment_batch
from cutis.training.backend import EVALUATION_BATCH, Backend
from cutis.training.segmentation.losses import make_loss
from cutis.training.workers import piece, portion

Pixels = NDArray[np.uint8]
Index = NDArray[np.int64]

WAYS = 8
"""Mirror images and quarter turns of a square, itself included."""

_USUAL_SIZE = 128  # pixels; of larger photos fewer are computed at once


@dataclass(frozen=True)
class SegmentationData:
    """Decoded photos (photos, size, size, 3), their masks (photos, size, size) of 0 and 255."""

    pixels: Pixels
    masks: Pixels
    train: Index  # indices into pixels
    validation: Index


class Segmentation:
    """Photos and masks for the training loop; see `cutis.training.task.Task`.

    With the recipe's `enlarge` a training photo stands several times in an epoch: as it is, and
    mirrored or turned by quarters in other ways, which its seed fixes for the whole training.
    """

    scored = "jaccard"
    shown = "jaccard"
    drawn: tuple[str, ...] = ("jaccard", "dice")
    quick_average = True  # collections with masks may be small

    def __init__(
        self, recipe: SegmentationRecipe, data: SegmentationData, backend: Backend
    ) -> None:
        self._recipe = recipe
        self._data = data
        self._backend = backend

    def epoch_photos(self, stage: int) -> int:
        return len(self._data.train) * self._recipe.enlarge

    def apply_trainable(self, model: Segmenter, stage: int) -> None:
        apply_trainable(model, self._recipe.stage[stage])

    def begin(self, model: Segmenter, stage: int) -> "_Stage":
        return _Stage(self._recipe, stage, self._data, self._backend)


class _Stage:
    def __init__(
        self, recipe: SegmentationRecipe, stage: int, data: SegmentationData, backend: Backend
    ) -> None:
        self._data = data
        self._backend = backend
        self._seed = (recipe.seed, stage)
        self._stage = recipe.stage[stage]
        self._loss = make_loss(recipe.loss)
        rng = np.random.default_rng(recipe.seed)
        others = rng.permuted(np.tile(np.arange(1, WAYS), (len(data.train), 1)), axis=1)
        self._ways = np.pad(others, ((0, 0), (1, 0)))[:, : recipe.enlarge]  # the first is 0

    def network(self, model: Segmenter) -> nn.Module:
        return model

    def training(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        seed = (*self._seed, epoch)
        order = np.random.default_rng(seed).permutation(self._ways.size)
        photos, copies = np.divmod(order, self._ways.shape[1])
        steps = []
        for number, batch in enumerate(batch_slices(len(order), self._stage.batch_size)):
            part = piece(self._backend.workers, batch)
            before = part.start - batch.start
            steps.append(
                partial(self._changed, photos[part], copies[part], (*seed, number), before)
            )
        for pixels, masks in prefetched(steps):
            yield self._backend.normalised(pixels), self._on_device(masks)

    def loss(self, network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with self._backend.autocast():
            logits = network(inputs)
        return self._loss(logits, targets), logits

    def weight(self, targets: Tensor) -> Tensor:
        return torch.tensor(float(len(targets)), device=targets.device)

    def score(self, output: Tensor, targets: Tensor) -> Tensor:
        found, truth = (output.detach() > 0).flatten(1), targets.bool().flatten(1)
        hits, union = (found & truth).sum(1), (found | truth).sum(1)
        return torch.where(union > 0, hits / union.clamp(min=1), 1.0).sum()

    @torch.no_grad()
    def validate(self, model: Segmenter) -> dict[str, float]:
        chosen, workers = self._data.validation, self._backend.workers
        total = torch.zeros((), dtype=torch.float64)
        counts = torch.zeros((4, len(chosen)), dtype=torch.int64)
        for part, logits in validation_logits(model, self._data, self._backend):
            masks = self._data.masks[chosen[part]]
            total += self._loss(logits, self._on_device(masks)).item() * len(masks)
            found = (logits > 0).squeeze(1).cpu().numpy()
            counts[:, part] = torch.from_numpy(pixel_counts(found, masks > 0))
        scores = overlap_scores(PixelCounts(*workers.total(counts).numpy()))
        return {
            "validation_loss": workers.total(total).item() / len(chosen),
            "validation_jaccard": float(scores["jaccard"].mean()),
            "validation_dice": float(scores["dice"].mean()),
        }

    def _changed(
        self, photos: Index, copies: Index, seed: tuple[int, ...], before: int
    ) -> tuple[Pixels, Pixels]:
        """Photos and masks as their copy has them, both changed alike at random."""
        rows = self._data.train[photos]
        both = stacked(self._data.pixels[rows], self._data.masks[rows])
        ways = self._ways[photos, copies]
        for number in np.flatnonzero(ways):
            both[number] = turned(both[number], ways[number])
        both = augment_batch(both, self._stage.augmentation, np.random.default_rng(seed), before)
        return unstacked(both)

    def _on_device(self, masks: Pixels) -> Tensor:
        """(batch, size, size) to (batch, 1, size, size), 0 or 1; smoothed edges become sharp."""
        lesion = torch.from_numpy(masks >= 128).unsqueeze(1)
        return lesion.to(self._backend.device).float()


def apply_trainable(model: Segmenter, stage: SegmentationStage) -> None:
    """Freezes and releases layers as the stage says; RecipeError where there is no encoder."""
    model.requires_grad_(True)
    if stage.trainable == "decoder":
        if model.encoder is None:
            raise RecipeError(
                f"stage '{stage.name}' trains the decoder alone, but nothing of this network was "
                "trained before",
                expected="an architecture with a pretrained encoder, e.g. mobilenet_unet",
                fix="set the stage's trainable=all",
            )
        model.encoder.requires_grad_(False)


def stacked(pixels: Pixels, masks: Pixels) -> Pixels:
    """(batch, size, size, 3) and (batch, size, size) to (batch, size, size, 4).

    OpenCV does this, and the way back, several times faster than NumPy; it knows no batches.
    """
    size = masks.shape[-1]
    merged = cv2.merge([pixels.reshape(-1, size, 3), masks.reshape(-1, size)])
    both: Pixels = np.asarray(merged.reshape(*masks.shape, 4), np.uint8)
    return both


def unstacked(both: Pixels) -> tuple[Pixels, Pixels]:
    """The way back."""
    batch, size = both.shape[:2]
    rows = both.reshape(-1, size, 4)
    pixels = np.asarray(cv2.cvtColor(rows, cv2.COLOR_RGBA2RGB), np.uint8)
    masks = np.asarray(cv2.extractChannel(rows, 3), np.uint8)
    return pixels.reshape(batch, size, size, 3), masks.reshape(batch, size, size)


def even_gradients(model: Segmenter) -> None:
    """Hands gradients on channels-last, as the feature maps are.

    Those of concatenated maps are slices, with which batch normalisation takes ten times as long.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(_even_gradient)


def _even_gradient(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: gradient.contiguous(memory_format=torch.channels_last)
        )


def turned(square: Pixels, way: int) -> Pixels:
    """One of the 8 mirror images and quarter turns of (size, size, channels); 0 changes nothing."""
    quarters = np.rot90(square, way % 4)
    return quarters[:, ::-1] if way >= 4 else quarters


def validation_logits(
    model: Segmenter, data: SegmentationData, backend: Backend
) -> Iterator[tuple[slice, Tensor]]:
    """Logits (batch, 1, size, size), float32, of the validation photos, and which those are.

    Of the backend's workers each has its portion of the batches.
    """
    model.eval()
    at_once = photos_at_once(backend.settings.size)
    for part in portion(backend.workers, batch_slices(len(data.validation), at_once)):
        with backend.autocast():
            logits = model(backend.normalised(data.pixels[data.validation[part]]))
        yield part, logits.float()


def photos_at_once(size: int) -> int:
    """How many photos of a side are computed at once where nothing trains."""
    return max(1, EVALUATION_BATCH * _USUAL_SIZE**2 // size**2)


def pixel_counts(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(4, photos) pixels of masks (photos, height, width), in the order of `PixelCounts`."""
    parts = (found & truth, found & ~truth, ~found & truth, ~found & ~truth)
    return np.array([part.sum(axis=(1, 2)) for part in parts])
