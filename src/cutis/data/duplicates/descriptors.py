"""Short vectors that propose candidates: low cosine coefficients of the local contrast image.

The photo as a whole and nine windows of `crop_side` are described. Because a window's coefficients
are linear in the image, all of them come from two small matrix products.
"""

import numpy as np

from cutis.data.duplicates.fingerprints import local_contrast
from cutis.data.duplicates.symmetry import ORIENTATIONS, Window, orient_cosines
from cutis.data.duplicates.thresholds import THRESHOLDS

IMAGE_SIDE = 48
FREQUENCIES = 8

_FREQUENCY = np.arange(FREQUENCIES)
_RADIUS = np.hypot(_FREQUENCY[:, None], _FREQUENCY[None, :])
_USED = (_RADIUS > 0) & (_RADIUS < FREQUENCIES)
DIMENSIONS = int(_USED.sum())

_MARGIN = 1 - THRESHOLDS.crop_side
_SPANS = [(0.0, 1.0)] + [(start, start + 1 - _MARGIN) for start in (0.0, _MARGIN / 2, _MARGIN)]
_SPAN_PAIRS = [(0, 0)] + [(row, column) for row in (1, 2, 3) for column in (1, 2, 3)]
WINDOWS: list[Window] = [(*_SPANS[row], *_SPANS[column]) for row, column in _SPAN_PAIRS]
"""The whole photo first, then nine crops."""


def _span_cosines() -> np.ndarray:
    """(spans * frequencies, IMAGE_SIDE): cosines over each span, zero outside it."""
    edges = np.arange(IMAGE_SIDE + 1) / IMAGE_SIDE
    rows = []
    for start, stop in _SPANS:
        covered = np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None)
        place = np.clip(((edges[1:] + edges[:-1]) / 2 - start) / (stop - start), 0, 1)
        rows.append(np.cos(np.pi * _FREQUENCY[:, None] * place) * covered / (stop - start))
    return np.concatenate(rows).astype(np.float32)


_COSINES = _span_cosines()
_ORTHONORMAL = np.where(_FREQUENCY > 0, np.sqrt(2), 1)
# Natural images lose energy as frequency grows; the square root of it is given back.
_WEIGHTS = (_ORTHONORMAL[:, None] * _ORTHONORMAL * np.sqrt(_RADIUS) * _USED).astype(np.float32)
_COMPASS = np.random.default_rng(3).standard_normal(DIMENSIONS).astype(np.float32)
_COMPASS /= np.linalg.norm(_COMPASS)


def describe(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors of photos in every window and orientation, and how much detail each has.

    thumbnails: (n, 96, 96) uint8. Returns (n, windows, 8, DIMENSIONS) float32 of length 1 each,
    and (n,) mean squares of the local contrast images, 0 for a uniform photo.
    """
    images = np.stack([local_contrast(thumbnail, IMAGE_SIDE) for thumbnail in thumbnails])
    products = _COSINES @ images @ _COSINES.T
    blocks = products.reshape(len(images), len(_SPANS), FREQUENCIES, len(_SPANS), FREQUENCIES)
    cosines = np.stack([blocks[:, row, :, column] for row, column in _SPAN_PAIRS], axis=1)
    cosines *= _WEIGHTS
    cosines /= np.linalg.norm(cosines, axis=(-2, -1), keepdims=True) + 1e-9
    oriented = [orient_cosines(cosines, orientation)[..., _USED] for orientation in ORIENTATIONS]
    return np.stack(oriented, axis=2), np.square(images).mean(axis=(1, 2))


def upright(descriptors: np.ndarray, margin: float) -> np.ndarray:
    """Which orientations count as a photo's upright ones: (..., 8, DIMENSIONS) to (..., 8) bool.

    Upright is the orientation with the largest product with a fixed vector (the maximum over a
    group of a linear filter: Cahill, Iverson, Mixon and Packer, "Group-invariant max filtering",
    2022), so that a photo and its mirror image agree on it; those within `margin` of the largest
    count too, since a crop or a recompression may exchange them.
    """
    heights = descriptors @ _COMPASS
    return heights >= heights.max(axis=-1, keepdims=True) - margin
