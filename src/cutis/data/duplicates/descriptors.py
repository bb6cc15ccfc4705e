"""Short vectors that propose candidates: low cosine coefficients of the local contrast image.

The photo as a whole and crops of it are described. A crop's coefficients are linear in the image,
so all of them come from two small matrix products.
"""

from dataclasses import dataclass

import numpy as np

from cutis.data.duplicates.fingerprints import local_contrast
from cutis.data.duplicates.symmetry import TURNS, turn_cosines
from cutis.data.duplicates.thresholds import THRESHOLDS

IMAGE_SIDE = 48
HASH_FREQUENCIES = 8
CHECK_FREQUENCIES = 12

_FREQUENCY = np.arange(CHECK_FREQUENCIES)
_RADIUS = np.hypot(_FREQUENCY[:, None], _FREQUENCY[None, :])
_IN_HASH = (_RADIUS > 0) & (_RADIUS < HASH_FREQUENCIES)
_IN_CHECK = (_RADIUS > 0) & (_RADIUS < CHECK_FREQUENCIES)
HASH_DIMENSIONS = int(_IN_HASH.sum())
CHECK_DIMENSIONS = int(_IN_CHECK.sum())


def _spans() -> list[tuple[float, float]]:
    """The whole side, then crops of it: three places of a mild one, five of the strongest."""
    strong = 1 - THRESHOLDS.crop_side
    places = [(0.0, 0.0)]
    for margin, count in ((strong / 2, 3), (strong, 5)):
        places += [(start, margin) for start in np.linspace(0, margin, count).tolist()]
    return [(start, start + 1 - margin) for start, margin in places]


SPANS = _spans()
_WHOLE = 0
_STRONG = range(len(SPANS) - 5, len(SPANS), 2)
_ASKING = [(_WHOLE, _WHOLE)] + [(row, column) for row in _STRONG for column in _STRONG]
ASKING_WINDOWS = len(_ASKING)
"""The windows that ask the index: the whole photo first, then nine crops."""


def _span_cosines() -> np.ndarray:
    """(spans * frequencies, IMAGE_SIDE): cosines over each span, zero outside it."""
    edges = np.arange(IMAGE_SIDE + 1) / IMAGE_SIDE
    rows = []
    for start, stop in SPANS:
        covered = np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None)
        place = np.clip(((edges[1:] + edges[:-1]) / 2 - start) / (stop - start), 0, 1)
        rows.append(np.cos(np.pi * _FREQUENCY[:, None] * place) * covered / (stop - start))
    return np.concatenate(rows).astype(np.float32)


_COSINES = _span_cosines()
_ORTHONORMAL = np.where(_FREQUENCY > 0, np.sqrt(2), 1)
# Natural images lose energy as frequency grows; the square root of it is given back.
_WEIGHTS = (_ORTHONORMAL[:, None] * _ORTHONORMAL * np.sqrt(_RADIUS) * _IN_CHECK).astype(np.float32)
_COMPASS = np.random.default_rng(3).standard_normal(HASH_DIMENSIONS).astype(np.float32)
_COMPASS /= np.linalg.norm(_COMPASS)


@dataclass(frozen=True)
class Description:
    """What the low frequencies of n photos say, in every window.

    cosines: (n, spans, spans, CHECK_FREQUENCIES, CHECK_FREQUENCIES), weighted cosine coefficients
    of the window with the given row span and column span.
    detail: (n,) mean squares of the local contrast images, 0 for a uniform photo.
    """

    cosines: np.ndarray
    detail: np.ndarray

    def asking(self, window: int) -> np.ndarray:
        """(n, 8, HASH_DIMENSIONS): one of the asking windows in each of the eight turns."""
        row, column = _ASKING[window]
        cosines = self.cosines[:, row, column]
        return _unit(np.stack([turn_cosines(cosines, k)[..., _IN_HASH] for k in TURNS], axis=1))

    def checking(self) -> np.ndarray:
        """(n, spans * spans, CHECK_DIMENSIONS): all windows, unturned; the whole photo first."""
        return _unit(self.cosines[..., _IN_CHECK].reshape(len(self.cosines), len(SPANS) ** 2, -1))

    def checked(self) -> np.ndarray:
        """(n, CHECK_DIMENSIONS): the whole photos alone."""
        return _unit(self.cosines[:, _WHOLE, _WHOLE][..., _IN_CHECK])

    def __getitem__(self, kept: np.ndarray) -> "Description":
        return Description(self.cosines[kept], self.detail[kept])


def describe(thumbnails: np.ndarray) -> Description:
    """Describe (n, 96, 96) uint8 thumbnails."""
    images = np.stack([local_contrast(thumbnail, IMAGE_SIDE) for thumbnail in thumbnails])
    blocks = (_COSINES @ images @ _COSINES.T).reshape(
        len(images), len(SPANS), CHECK_FREQUENCIES, len(SPANS), CHECK_FREQUENCIES
    )
    return Description(blocks.swapaxes(2, 3) * _WEIGHTS, np.square(images).mean(axis=(1, 2)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9))


def _turned_checks() -> tuple[np.ndarray, np.ndarray]:
    """Per turn, where each number of a checking vector comes from and with which sign."""
    place = np.zeros(_IN_CHECK.shape, dtype=np.float32)
    place[_IN_CHECK] = np.arange(1, CHECK_DIMENSIONS + 1)
    moved = np.stack([turn_cosines(place, k)[_IN_CHECK] for k in TURNS])
    return np.abs(moved).astype(np.int64) - 1, np.sign(moved).astype(np.int8)


_CHECK_PLACES, _CHECK_SIGNS = _turned_checks()


def turn_checks(vectors: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """The int8 checking vectors (m, CHECK_DIMENSIONS) of photos after the given (m,) turns."""
    moved = np.take_along_axis(vectors, _CHECK_PLACES[turns], axis=1)
    return np.asarray(moved * _CHECK_SIGNS[turns])


def upright(asking: np.ndarray, margin: float) -> np.ndarray:
    """Which turns may bring a photo upright: (..., 8, HASH_DIMENSIONS) to (..., 8) bool.

    Upright is the turn with the largest product with a fixed vector (the maximum over a group of a
    linear filter: Cahill, Iverson, Mixon and Packer, "Group-invariant max filtering", 2022), so
    that a photo and its mirror image agree on it; those within `margin` of the largest count too,
    since a crop or a recompression may exchange them.
    """
    heights: np.ndarray = asking @ _COMPASS
    within: np.ndarray = heights >= heights.max(axis=-1, keepdims=True) - margin
    return within
