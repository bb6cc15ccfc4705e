"""Confirm candidates: align two photos, then compare their detail block by block."""

from dataclasses import dataclass

import cv2
import numpy as np

from cutis.data.duplicates.candidates import CANDIDATE
from cutis.data.duplicates.descriptors import WINDOWS
from cutis.data.duplicates.fingerprints import THUMBNAIL_SIDE, local_contrast
from cutis.data.duplicates.symmetry import Window, describe_turn, orient, orient_window
from cutis.data.duplicates.thresholds import THRESHOLDS

COARSE_SIDE = 32
COARSE_STEPS = 5
FINE_STEPS = 15
BLOCKS = 6


@dataclass(frozen=True)
class Alignment:
    """How photo a, in its orientation, lies under photo b, in its own.

    warp: (2, 3) affine map from places in b to places in a, both as shares of width and height.
    score: median over blocks of the correlation of local contrast, -1 to 1.
    overlap: share of b that a covers.
    """

    warp: np.ndarray
    score: float
    coarse: float
    fine: float
    overlap: float


def align(candidate: np.ndarray, thumbnail_a: np.ndarray, thumbnail_b: np.ndarray) -> Alignment | None:
    """The alignment of two photos from a candidate's first guess; None where there is none.

    candidate: one record of CANDIDATE; thumbnails: (96, 96) uint8.
    Enhanced correlation coefficient: Evangelidis and Psarakis, PAMI 2008, forward additive form.
    """
    upright_a = np.ascontiguousarray(orient(thumbnail_a, int(candidate["orientation_a"])))
    upright_b = np.ascontiguousarray(orient(thumbnail_b, int(candidate["orientation_b"])))
    window = orient_window(WINDOWS[candidate["window"]], int(candidate["orientation_a"]))
    warp = _window_warp(window)
    images = [local_contrast(upright, COARSE_SIDE) for upright in (upright_a, upright_b)]
    coarse, warp = _refine(images[0], images[1], warp, COARSE_STEPS)
    if coarse < THRESHOLDS.coarse_score:
        return None
    images = [local_contrast(upright, THUMBNAIL_SIDE) for upright in (upright_a, upright_b)]
    fine, warp = _refine(images[0], images[1], warp, FINE_STEPS)
    score, overlap = _block_score(images[0], images[1], warp)
    return Alignment(warp, score, coarse, fine, overlap)


def _window_warp(window: Window) -> np.ndarray:
    top, bottom, left, right = window
    return np.array([[right - left, 0, left], [0, bottom - top, top]], dtype=np.float64)


def _to_pixels(warp: np.ndarray, side: int) -> np.ndarray:
    """Shares of the side to pixel indices, whose centres lie half a pixel in."""
    linear, shift = warp[:, :2], warp[:, 2]
    half = np.full(2, 0.5)
    return np.column_stack([linear, shift * side + linear @ half - half]).astype(np.float32)


def _to_shares(warp: np.ndarray, side: int) -> np.ndarray:
    linear, shift = warp[:, :2].astype(np.float64), warp[:, 2].astype(np.float64)
    half = np.full(2, 0.5)
    return np.column_stack([linear, (shift + half - linear @ half) / side])


def _refine(
    image_a: np.ndarray, image_b: np.ndarray, warp: np.ndarray, steps: int
) -> tuple[float, np.ndarray]:
    side = image_a.shape[0]
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, 1e-3)
    try:
        score, refined = cv2.findTransformECC(
            image_b, image_a, _to_pixels(warp, side), cv2.MOTION_AFFINE, stop, None, 1
        )
    except cv2.error:  # OpenCV's way to say that the iteration diverged
        return -1.0, warp
    return score, _to_shares(refined, side)


def _block_score(image_a: np.ndarray, image_b: np.ndarray, warp: np.ndarray) -> tuple[float, float]:
    side = image_a.shape[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = _to_pixels(warp, side)
    moved = cv2.warpAffine(image_a, pixels, (side, side), flags=flags)
    inside = cv2.warpAffine(np.ones_like(image_a), pixels, (side, side), flags=flags) > 0.99
    return _median_correlation(moved, image_b, inside), float(inside.mean())


def _median_correlation(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> float:
    def blocks(image: np.ndarray) -> np.ndarray:
        size = image.shape[0] // BLOCKS
        return image.reshape(BLOCKS, size, BLOCKS, size).swapaxes(1, 2).reshape(BLOCKS**2, -1)

    mask = blocks(inside.astype(np.float32))
    first, second = blocks(first) * mask, blocks(second) * mask
    count = mask.sum(axis=1)
    kept = count >= mask.shape[1] / 2
    if not kept.any():
        return -1.0
    mask, first, second, count = mask[kept], first[kept], second[kept], count[kept]
    first = (first - first.sum(axis=1, keepdims=True) / count[:, None]) * mask
    second = (second - second.sum(axis=1, keepdims=True) / count[:, None]) * mask
    power = np.sqrt(np.square(first).sum(axis=1) * np.square(second).sum(axis=1))
    correlation = (first * second).sum(axis=1) / (power + 1e-6)
    order = correlation.argsort()
    weights = power[order].cumsum()
    return float(correlation[order][np.searchsorted(weights, weights[-1] / 2)])


def is_same_photograph(alignment: Alignment) -> bool:
    """Whether the alignment is good enough, and a change that a copy may have gone through."""
    linear = alignment.warp[:, :2]
    scales = np.diag(linear)
    return bool(
        alignment.score >= THRESHOLDS.same_score
        and alignment.overlap >= THRESHOLDS.least_overlap
        and scales.max() <= THRESHOLDS.largest_scale
        and scales.min() >= 1 / THRESHOLDS.largest_scale
        and max(abs(linear[0, 1]), abs(linear[1, 0])) <= THRESHOLDS.largest_shear
    )


def explain(
    candidate: np.ndarray, alignment: Alignment, photo_a: np.ndarray, photo_b: np.ndarray
) -> str:
    """What was done to the photo, as far as the alignment shows it, and how well it fits."""
    size_a, size_b = (f"{photo['width']}x{photo['height']}" for photo in (photo_a, photo_b))
    turn = describe_turn(int(candidate["orientation_a"]), int(candidate["orientation_b"]))
    scales = np.diag(alignment.warp)
    words = [turn] if turn else []
    if np.abs(scales - 1).max() > 0.03:
        words.append(f"cropped to {100 * min(*scales, *(1 / scales)):.0f} %")
    if size_a != size_b:
        words.append(f"sizes {size_a} and {size_b}")
    return ", ".join([*words, f"ncc {alignment.score:.2f}"])
