"""The pieces of several workers make up the batch of one."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from cutis.recipes.schema import Augmentation
from cutis.training.augment import augment_batch
from cutis.training.workers import ALONE, OneWorker, is_divided, piece, portion, share


@dataclass(frozen=True)
class Among(OneWorker):
    """A worker whose comrades have the same as it."""

    number: int = 0
    count: int = 1

    def total(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.count


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("batch", [slice(0, 8), slice(16, 31)])
def test_pieces_are_even_and_make_up_the_batch(count: int, batch: slice) -> None:
    pieces = [piece(Among(number, count), batch) for number in range(count)]
    photos = [n for one in pieces for n in range(one.start, one.stop)]
    assert photos == list(range(batch.start, batch.stop))
    sizes = [one.stop - one.start for one in pieces]
    assert max(sizes) - min(sizes) <= 1


def test_a_batch_of_fewer_photos_than_workers_is_computed_by_each() -> None:
    batch = slice(4, 6)
    assert not is_divided(Among(0, 3), batch)
    assert [piece(Among(number, 3), batch) for number in range(3)] == [batch] * 3
    assert share(Among(2, 3), torch.tensor(2.0)) == pytest.approx(1 / 3)


def test_alone_a_worker_has_it_all() -> None:
    network = nn.Linear(2, 1)
    with ALONE.joined(network) as joined:
        assert joined is network
    assert share(ALONE, torch.tensor(7.0)) == 1
    assert piece(ALONE, slice(3, 9)) == slice(3, 9)
    assert ALONE.first(lambda: 5) == 5


def test_portions_make_up_the_whole() -> None:
    parts = [slice(n, n + 1) for n in range(7)]
    portions = [portion(Among(number, 3), parts) for number in range(3)]
    assert sorted(part.start for own in portions for part in own) == list(range(7))


@pytest.mark.parametrize(
    "settings",
    [
        Augmentation(flip="both", rotation=90, zoom=0.2),
        Augmentation(brightness=0.3, hue=20),
        Augmentation(flip="horizontal", erase=0.5, contrast=0.2),
    ],
)
def test_a_piece_is_augmented_as_in_the_whole_batch(settings: Augmentation) -> None:
    photos = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    whole = augment_batch(photos, settings, np.random.default_rng(1))
    for start in (0, 4, 8):
        rest = augment_batch(photos[start:], settings, np.random.default_rng(1), start)
        assert np.array_equal(rest, whole[start:])
