"""Photos that a report shows with their outlines: the worst ones and some at random."""

import heapq
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cutis.metrics.segmentation import Mask

SIDE = 288
"""Longer side of a shown photo, pixels."""

WORST, RANDOM = 12, 6


@dataclass(frozen=True)
class Example:
    """Two masks at the size at which they are shown; `row` counts the rows that were given."""

    row: int
    predicted: Mask
    truth: Mask


class Examples:
    """Keeps the masks of few photos while all go by."""

    def __init__(self, photos: int, seed: int = 0) -> None:
        chosen = np.random.default_rng(seed).permutation(photos)[:RANDOM]
        self._chosen = {int(row) for row in chosen}
        self._worst: list[tuple[float, int, Example]] = []  # a heap, its best one first
        self._random: list[Example] = []

    def offer(self, row: int, predicted: Mask, truth: Mask) -> None:
        """Looks at the next pair, (height, width) each."""
        union = np.count_nonzero(predicted | truth)
        jaccard = np.count_nonzero(predicted & truth) / union if union else 1.0
        rank = (-jaccard, -row)
        wanted = len(self._worst) < WORST or rank > self._worst[0][:2]
        if not wanted and row not in self._chosen:
            return
        example = Example(row, reduced(predicted), reduced(truth))
        if row in self._chosen:
            self._random.append(example)
        if wanted:
            heapq.heappush(self._worst, (*rank, example))
            if len(self._worst) > WORST:
                heapq.heappop(self._worst)

    def worst(self) -> list[Example]:
        """Lowest Jaccard first; of equal ones the earlier."""
        return [example for *_, example in sorted(self._worst, key=lambda kept: kept[:2])[::-1]]

    def random(self) -> list[Example]:
        """Photos that were chosen before any was judged, in their order."""
        return list(self._random)


def reduced(mask: Mask) -> Mask:
    """A mask whose longer side is at most SIDE."""
    height, width = mask.shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST), np.bool_)
