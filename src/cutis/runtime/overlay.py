"""A photo with the outline of its lesion, for people to check a mask by."""

import cv2
import numpy as np

from cutis.lesion import Mask, Pixels

LONGEST_SIDE = 1600
"""Of an overlay, pixels; larger photos are shown smaller."""

_OUTSIDE = 0.75  # brightness left outside the lesion: what is there stays visible
# As predicted outlines have in reports: a yellow that stands out on skin and on lesions.
_LINE, _EDGE = (240, 228, 66), (29, 39, 51)
_LINES_PER_SIDE = 400  # the outline's width is the longer side divided by it


def draw_overlay(rgb: Pixels, mask: Mask) -> Pixels:
    """Outlines the lesion of a photo (height, width, 3) and dims what lies outside it.

    Args:
        mask: (height, width), true on the lesion.
    """
    rgb, inside = _shrink(rgb, mask.astype(np.uint8) * np.uint8(255))
    drawn = cv2.convertScaleAbs(rgb, alpha=_OUTSIDE)
    np.copyto(drawn, rgb, where=inside[..., None] > 0)
    outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(max(rgb.shape) / _LINES_PER_SIDE))
    cv2.drawContours(drawn, outlines, -1, _EDGE, width + 2)
    cv2.drawContours(drawn, outlines, -1, _LINE, width)
    return np.asarray(drawn)


def _shrink(rgb: Pixels, inside: Pixels) -> tuple[Pixels, Pixels]:
    height, width = inside.shape
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return rgb, inside
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    shares = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    return small, np.where(shares >= 128, np.uint8(255), np.uint8(0))
