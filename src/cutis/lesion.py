"""What a lesion's mask does to a photo before a classifier sees it; the same everywhere.

A segmenter gives probabilities at its own size. `load_lesion` turns a photo and these into the
network's input, in training, evaluation, exported models and the app.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cutis.preprocessing import Photo, decode, resize
from cutis.records import Preprocessing

MARGIN = 0.2
"""Of the longer side of the lesion's bounding box, added to it on every side by `crop`."""

SMALLEST_CROP = 3
"""A crop is no smaller than the photo's shorter side divided by it."""

EMPTY, WHOLE, PIECES = "empty", "whole image", "several pieces"
REASONS = (EMPTY, WHOLE, PIECES)
"""Why a mask is not used."""

_EMPTY_SHARE = 0.001  # of the photo: 16 of 128 x 128 pixels
_WHOLE_SHARE = 0.95
_COMPARABLE = 0.25  # of the largest piece; what is smaller is a speck

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LesionMasks:
    """What a segmenter found on some photos, as training keeps it.

    Attributes:
        probabilities: (photos, s, s), in steps of 1/255.
        threshold: from this probability on a pixel is lesion.
        key: names the segmenter's weights and the photos.
    """

    probabilities: NDArray[np.uint8]
    threshold: float
    key: str

    def __getitem__(self, photo: int) -> NDArray[np.float32]:
        """The probabilities of one photo, (s, s)."""
        probabilities: NDArray[np.float32] = self.probabilities[photo] / np.float32(255)
        return probabilities

    def reasons(self) -> list[str | None]:
        """For each photo why its mask is not used, None where it is."""
        photos = range(len(self.probabilities))
        return [usable_probabilities(self[photo], self.threshold)[1] for photo in photos]


def load_lesion(
    photo: Photo,
    settings: Preprocessing,
    probabilities: NDArray[np.float32],
    threshold: float,
) -> tuple[Pixels, str | None]:
    """A photo's pixels at the network's input size, with its lesion treated as `settings` say.

    Args:
        probabilities: (s, s) of the photo stretched to a square, as the segmenter gives them for
            `preprocessing.load(photo, <the segmenter's preprocessing>)`.
        threshold: from this probability on a pixel is lesion.

    Returns (size, size, 3 or 4) uint8, and why the whole photo was taken instead, else None.
    Raises PhotoError for a photo that cannot be read.
    """
    usable, reason = usable_probabilities(probabilities, threshold)
    rgb = decode(photo, at_least=decoded_side(settings))
    height, width = rgb.shape[:2]
    mask = None if usable is None else mask_at_size(usable, height, width, threshold)
    if mask is not None and not mask.any():  # a thin one may vanish where the photo is smaller
        mask, reason = None, EMPTY
    return lesion_view(rgb, mask, settings), reason


def decoded_side(settings: Preprocessing) -> int:
    """The side for `decode(at_least=…)`: with it the smallest crop still has `size` pixels."""
    return settings.size * (SMALLEST_CROP if settings.lesion == "crop" else 1)


def channels(settings: Preprocessing) -> int:
    """Of the network's input: RGB, and with `lesion = "channel"` the mask."""
    return 4 if settings.lesion == "channel" else 3


def usable_probabilities(
    probabilities: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.float32] | None, str | None]:
    """Probabilities (s, s) without specks, or None and the reason, by the rule of `usable_mask`.

    They are rounded to steps of 1/255, in which training keeps them, so that training and
    deployment see the same. The rule is applied at the segmenter's size: what becomes of a photo
    does not depend on its resolution.
    """
    rounded = np.round(probabilities * np.float32(255)) / np.float32(255)
    mask = rounded >= threshold
    usable, reason = usable_mask(mask)
    if usable is None:
        return None, reason
    return np.where(mask & ~usable, np.float32(0), rounded), None


def mask_at_size(
    probabilities: NDArray[np.float32], height: int, width: int, threshold: float
) -> Mask:
    """Probabilities (s, s) of a stretched photo to its mask (height, width), without specks.

    Specks are those of `mask_without_specks`. Enlarged bilinearly first, then compared with the
    threshold: the outline runs between the segmenter's pixels.
    """
    specks = (probabilities >= threshold) & ~mask_without_specks(probabilities, threshold)
    kept = np.where(specks, np.float32(0), probabilities)
    enlarged = cv2.resize(
        np.asarray(kept, np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    mask: Mask = enlarged >= threshold
    return mask


def mask_without_specks(probabilities: NDArray[np.float32], threshold: float) -> Mask:
    """Probabilities (s, s) to the mask at the segmenter's own size, (s, s).

    A piece smaller than a quarter of the largest is a speck, most often a dark corner or a hair.
    """
    labels, areas = _pieces(probabilities >= threshold)
    kept = areas >= _COMPARABLE * areas.max(initial=0)
    mask: Mask = np.concatenate([[False], kept])[labels]
    return mask


def usable_mask(mask: Mask) -> tuple[Mask | None, str | None]:
    """The largest piece of a mask (height, width), or None and one of REASONS.

    Empty is less than 0.1 % of the photo, whole image more than 95 %. A second piece of at least
    a quarter of the largest makes several pieces; a smaller one is a speck and left out. Pixels
    that touch at a corner belong together.
    """
    labels, areas = _pieces(mask)
    if areas.max(initial=0) < _EMPTY_SHARE * mask.size:
        return None, EMPTY
    if mask.sum() > _WHOLE_SHARE * mask.size:
        return None, WHOLE
    if (areas >= _COMPARABLE * areas.max()).sum() > 1:
        return None, PIECES
    return labels == 1 + areas.argmax(), None


def _pieces(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The number of every pixel's piece, 0 outside, and the areas of pieces 1, 2 …, in pixels."""
    _, labels, figures, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return np.asarray(labels, np.int32), np.asarray(figures[1:, cv2.CC_STAT_AREA], np.int32)


def lesion_view(rgb: Pixels, mask: Mask | None, settings: Preprocessing) -> Pixels:
    """A photo (height, width, 3) and its lesion as the network's input (size, size, 3 or 4).

    `mask` makes what is not lesion black, `crop` cuts a square around the lesion, `channel` adds
    a fourth channel of 255 on the lesion and 0 elsewhere. Without a usable mask (None) the whole
    photo counts as the lesion. `fit` comes last and treats photo and mask alike.
    """
    size, fit = settings.size, settings.fit
    whole = np.ones(rgb.shape[:2], np.bool_) if mask is None else mask
    if settings.lesion == "mask":
        return resize(rgb * whole[..., None], size, fit)
    if settings.lesion == "crop" and mask is not None:
        return resize(np.ascontiguousarray(rgb[_square(mask)]), size, fit)
    pixels = resize(rgb, size, fit)
    if settings.lesion == "channel":
        fourth = resize(whole.astype(np.uint8) * np.uint8(255), size, fit)
        return np.dstack([pixels, fourth])
    return pixels


def _square(mask: Mask) -> tuple[slice, slice]:
    """Rows and columns of a square around the lesion, moved inside the photo.

    A side longer than the photo's is the photo's: the lesion is never cut.
    """
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    longer = max(int(span[-1] - span[0]) + 1 for span in spans)
    side = max(round(longer * (1 + 2 * MARGIN)), -(-min(mask.shape) // SMALLEST_CROP))
    rows, columns = (
        _span(int(span[0] + span[-1] + 1) / 2, side, whole)
        for span, whole in zip(spans, mask.shape, strict=True)
    )
    return rows, columns


def _span(centre: float, side: int, whole: int) -> slice:
    start = min(max(0, round(centre - side / 2)), max(0, whole - side))
    return slice(start, start + min(side, whole))
