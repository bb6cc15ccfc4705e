"""What the trainable layers of a stage are fed: photos, or what frozen layers made of them."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from cutis import __version__
from cutis.data.batches import batch_slices, epoch_order, over_sampled_order, prefetched
from cutis.recipes.schema import Augmentation, Recipe, Stage
from cutis.training.augment import augment_batch
from cutis.training.backend import EVALUATION_BATCH
from cutis.training.feature_cache import FeatureCache
from cutis.training.frozen import FrozenPart
from cutis.training.workers import piece, portion

Pixels = NDArray[np.uint8]
Index = NDArray[np.int64]

_WORTH_COMPILING = 1500 * 224**2  # pixels


@dataclass(frozen=True)
class TrainingData:
    """Decoded photos (photos, size, size, channels) and which of them train and validate."""

    pixels: Pixels
    labels: NDArray[np.int64]  # index of the diagnosis
    train: Index  # indices into pixels
    validation: Index
    diagnoses: tuple[str, ...]

    def train_counts(self) -> NDArray[np.int64]:
        """Training photos by diagnosis."""
        return np.bincount(self.labels[self.train], minlength=len(self.diagnoses))

    def epoch_photos(self, stage: Stage) -> int:
        """Training photos in an epoch of a stage, the copies of over-sampling included."""
        if stage.imbalance != "over_sampling":
            return len(self.train)
        counts = self.train_counts()
        return int(counts.max() * np.count_nonzero(counts))


class Supply:
    """Activations at a stage's cut, batch by batch, for training and validation.

    What is the same in every epoch is computed once and kept: the validation photos, and the
    training photos where the stage does not augment or asks for a number of `views`. The rest is
    computed when its batch comes, augmentation in a background thread. A view is drawn by the
    seed, its number and the photo: kept or not, it is the same.
    """

    def __init__(
        self,
        data: TrainingData,
        recipe: Recipe,
        stage: int,
        frozen: FrozenPart,
        cache: FeatureCache | None,
    ) -> None:
        self.data = data
        self.frozen = frozen
        self._seed = (recipe.seed, stage)
        self._stage = recipe.stage[stage]
        self._cache = cache
        self._labels = torch.from_numpy(data.labels).to(frozen.backend.device)
        self._validation = self._kept(data.validation, views=0)
        self._train = None
        if self._stage.views or self._stage.augmentation == Augmentation():
            self._train = self._kept(data.train, self._stage.views)
        if self._train is None and self._pays(data.epoch_photos(self._stage) * self._stage.epochs):
            frozen.compile(-(-self._stage.batch_size // frozen.backend.workers.count))

    def autocast(self) -> AbstractContextManager[Any]:
        """The number format behind the cut: a head alone is too small to gain from a lower one."""
        return self.frozen.backend.autocast(not self.frozen.pooled)

    def training(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Activations and labels of this worker's training photos, in the order of the epoch."""
        seed = (*self._seed, epoch)
        train_labels = self.data.labels[self.data.train]
        rng = np.random.default_rng(seed if self._stage.order == "epoch" else seed[:1])
        if self._stage.imbalance == "over_sampling":
            order = over_sampled_order(train_labels, rng)
        else:
            balanced = self._stage.imbalance == "balanced_sampling"
            order = epoch_order(train_labels, balanced=balanced, rng=rng)
        views = (epoch + order) % max(1, self._stage.views)
        batches_of_all = batch_slices(len(order), self._stage.batch_size)
        slices = [piece(self.frozen.backend.workers, batch) for batch in batches_of_all]
        if self._train is not None:
            rows = torch.from_numpy(views * len(self.data.train) + order)
            batches: Iterator[Tensor] = (self._read(self._train[rows[part]]) for part in slices)
        else:
            photos = self.data.train[order]
            steps = [
                partial(
                    self._augmented,
                    photos[part],
                    views[part],
                    (*seed, number),
                    part.start - batch.start,
                )
                for number, (part, batch) in enumerate(zip(slices, batches_of_all, strict=True))
            ]
            batches = map(self.frozen, prefetched(steps))
        labels = self._labels[self.data.train[order]]
        for part, batch in zip(slices, batches, strict=True):
            yield batch, labels[part]

    def validation(self) -> Iterator[tuple[slice, Tensor]]:
        """Which validation photos, and their activations, for those that this worker judges."""
        parts = batch_slices(len(self.data.validation), EVALUATION_BATCH)
        for part in portion(self.frozen.backend.workers, parts):
            if self._validation is not None:
                yield part, self._read(self._validation[part])
            else:
                yield part, self.frozen(self.data.pixels[self.data.validation[part]])

    def _read(self, rows: Tensor) -> Tensor:
        return rows.to(self.frozen.backend.device).permute(0, 3, 1, 2)

    def _augmented(self, photos: Index, views: Index, seed: tuple[int, ...], before: int) -> Pixels:
        if self._stage.views:
            return self._viewed(photos, views)
        rng = np.random.default_rng(seed)
        return augment_batch(self.data.pixels[photos], self._stage.augmentation, rng, before)

    def _viewed(self, photos: Index, views: Index) -> Pixels:
        changed = []
        for photo, view in zip(photos, views, strict=True):
            drawn_by = np.random.SeedSequence(self._seed[0], spawn_key=(view, photo))
            rng = np.random.default_rng(drawn_by)
            pixels = self.data.pixels[photo : photo + 1]
            changed.append(augment_batch(pixels, self._stage.augmentation, rng))
        return np.concatenate(changed)

    def _kept(self, photos: Index, views: int) -> Tensor | None:
        """Rows (views * photos, h, w, channels), all photos of a view together."""
        if self._cache is None or not self.frozen.depth:
            return None
        count = len(photos) * max(1, views)
        _, channels, height, width = self.frozen(self.data.pixels[:1]).shape
        shape = (count, height, width, channels)

        def chunk(part: slice) -> Pixels:
            view, photo = np.divmod(np.arange(part.start, part.stop), len(photos))
            if views:
                return self._viewed(photos[photo], view)
            return self.data.pixels[photos[photo]]

        def compute() -> Iterator[Tensor]:
            if self._pays(count):
                self.frozen.compile(EVALUATION_BATCH)
            steps = [partial(chunk, part) for part in batch_slices(count, EVALUATION_BATCH)]
            size = f"{math.prod(shape) * self.frozen.dtype.itemsize / 1e6:.0f} MB"
            with tqdm(total=count, desc=f"frozen, {size}", unit="photo", disable=None) as bar:
                for pixels in prefetched(steps):
                    yield self.frozen(pixels).permute(0, 2, 3, 1)
                    bar.update(len(pixels))

        key = self._key(photos, views, self._cache.photos)
        kept = partial(self._cache.kept, key, shape, self.frozen.dtype, compute)
        return self.frozen.backend.workers.first(kept)

    def _key(self, photos: Index, views: int, named: str) -> str:
        drawn = f"{views} {self._seed[0]} {self._stage.augmentation}" if views else "as they are"
        digest = hashlib.sha256(f"{__version__} {self.frozen.key()} {named} {drawn}".encode())
        digest.update(photos.tobytes())
        return digest.hexdigest()[:24]

    def _pays(self, photos: int) -> bool:
        """Whether so many photos take the frozen layers longer than the compiler takes."""
        pixels = photos * self.frozen.backend.settings.size**2
        return self.frozen.depth > 0 and pixels > _WORTH_COMPILING
