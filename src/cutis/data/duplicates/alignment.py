"""Confirm candidates: lay one photo on the other, then compare their fine detail.

A copy fits exactly; another photo of the same lesion fits roughly, with detail that moved; another
lesion does not fit. Score and displacement tell them apart.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from cutis.data.duplicates.candidates import window_of
from cutis.data.duplicates.fingerprints import THUMBNAIL_SIDE, local_contrast
from cutis.data.duplicates.symmetry import INVERSE, NAMES, turn
from cutis.data.duplicates.thresholds import THRESHOLDS

_SIDE = THUMBNAIL_SIDE
_COARSE_SIDE = 32
_COARSE_STEPS = 5
_FINE_STEPS = 20
_BLOCK = 12
_DETAIL_SIGMA = 1.5  # pixels of the thumbnail: hairs, dots and network, not the lesion's outline
_POWER_LIMIT = 0.1
_STILL = 0.0005  # share of the side: movement that is no more than noise
_RIM = np.ones((9, 9), np.uint8)  # within four pixels of an edge, contrast is not comparable


@dataclass(frozen=True)
class Alignment:
    """How photo a lies under photo b after b's turn.

    warp: (2, 3) affine map from places in the turned b to places in a, as shares of the sides.
    score: median over blocks of the correlation of fine detail, -1 to 1.
    displacement: median uneven movement of the blocks, as a share of the side.
    overlap: share of b that a covers, a narrow rim left out.
    """

    warp: np.ndarray
    score: float
    displacement: float
    overlap: float


def align(candidate: np.ndarray, photo_a: np.ndarray, photo_b: np.ndarray) -> Alignment | None:
    """The alignment of two photos (FINGERPRINT records) from a candidate's first guess.

    None where the coarse images do not fit. The warp maximises the enhanced correlation
    coefficient (Evangelidis and Psarakis, PAMI 2008) of the local contrast images.
    """
    sides = [int(photo[name]) for photo in (photo_a, photo_b) for name in ("width", "height")]
    image_a, image_b = (_at_most(photo["thumbnail"], min(sides)) for photo in (photo_a, photo_b))
    image_b = np.ascontiguousarray(turn(image_b, int(candidate["turn"])))
    top, bottom, left, right = window_of(candidate)
    warp = np.array([[right - left, 0, left], [0, bottom - top, top]])
    coarse = (local_contrast(image_a, _COARSE_SIDE), local_contrast(image_b, _COARSE_SIDE))
    fit, warp = _refine(*coarse, warp, _COARSE_STEPS)
    if fit < THRESHOLDS.coarse_score:
        return None
    fine = (local_contrast(image_a, _SIDE), local_contrast(image_b, _SIDE))
    _, warp = _refine(*fine, warp, _FINE_STEPS)
    # In b's frame and only there, so that both are seen at the same scale.
    moved = _moved(image_a, warp)
    inside = _inside(warp)
    correlation, weights = _correlations(
        local_contrast(moved, _SIDE, _DETAIL_SIGMA),
        local_contrast(image_b, _SIDE, _DETAIL_SIGMA),
        inside,
    )
    # A block under a watermark says nothing about movement; one that fits does.
    trusted = weights * np.square(np.maximum(correlation, 0))
    movements = _movements(local_contrast(moved, _SIDE), fine[1], inside)
    displacement = _median(_uneven(movements, trusted), trusted, 1.0)
    score = _median(correlation, weights, -1.0)
    return Alignment(warp, score, displacement, float(inside.mean()))


def is_same_photograph(alignment: Alignment) -> bool:
    """Whether the alignment is good enough, and a change that a copy may have gone through."""
    linear = alignment.warp[:, :2]
    scales = np.diag(linear)
    return bool(
        alignment.score >= THRESHOLDS.same_score
        and alignment.displacement <= THRESHOLDS.most_displacement
        and alignment.overlap >= THRESHOLDS.least_overlap
        and scales.max() <= THRESHOLDS.largest_scale
        and scales.min() >= 1 / THRESHOLDS.largest_scale
        and max(abs(linear[0, 1]), abs(linear[1, 0])) <= THRESHOLDS.largest_shear
    )


def explain(
    candidate: np.ndarray,
    alignment: Alignment,
    photo_a: np.ndarray,
    photo_b: np.ndarray,
    *,
    b_is_second: bool = True,
) -> str:
    """What was done to the second photo, as far as the alignment shows it, and how well it fits."""
    turned = int(candidate["turn"])
    words = [NAMES[int(INVERSE[turned]) if b_is_second else turned]]
    scales = np.diag(alignment.warp)
    kept = min(*scales, *(1 / scales))
    if kept < 0.97:
        words.append(f"cropped to {100 * kept:.0f} %")
    sizes = [f"{photo['width']}x{photo['height']}" for photo in (photo_a, photo_b)]
    if sizes[0] != sizes[1]:
        first, second = sizes if b_is_second else reversed(sizes)
        words.append(f"sizes {first} and {second}")
    return ", ".join([*filter(None, words), f"ncc {alignment.score:.2f}"])


def _at_most(thumbnail: np.ndarray, side: int) -> np.ndarray:
    """The thumbnail with no more detail than a photo of this side has, so that both have equal."""
    if side >= _SIDE:
        return thumbnail
    small = cv2.resize(thumbnail, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR))


def _to_pixels(warp: np.ndarray, side: int) -> np.ndarray:
    """From shares of the side to pixel indices, whose centres lie half a pixel in."""
    half = np.full(2, 0.5)
    shift = warp[:, 2] * side + warp[:, :2] @ half - half
    return np.column_stack([warp[:, :2], shift]).astype(np.float32)


def _to_shares(pixels: np.ndarray, side: int) -> np.ndarray:
    linear, half = pixels[:, :2].astype(np.float64), np.full(2, 0.5)
    return np.column_stack([linear, (pixels[:, 2] + half - linear @ half) / side])


def _refine(
    image_a: np.ndarray, image_b: np.ndarray, warp: np.ndarray, steps: int
) -> tuple[float, np.ndarray]:
    side = len(image_a)
    everywhere = np.ones((side, side), np.uint8)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, 1e-4)
    try:
        fit, pixels = cv2.findTransformECC(
            image_b, image_a, _to_pixels(warp, side), cv2.MOTION_AFFINE, stop, everywhere, 1
        )
    except cv2.error:  # OpenCV's way to say that the photos do not fit at all
        return -1.0, warp
    return float(fit), _to_shares(np.asarray(pixels), side)


def _moved(image: np.ndarray, warp: np.ndarray, border: int = cv2.BORDER_REFLECT_101) -> np.ndarray:
    """Photo a, seen through the warp, in the frame of b."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (_SIDE, _SIDE)
    moved = cv2.warpAffine(image, _to_pixels(warp, _SIDE), size, flags=flags, borderMode=border)
    return np.asarray(moved)


def _inside(warp: np.ndarray) -> np.ndarray:
    """1 where a covers b, without the rim of either."""
    covered = _moved(np.ones((_SIDE, _SIDE), np.uint8), warp, cv2.BORDER_CONSTANT)
    inside = cv2.erode(covered, _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(inside, dtype=np.float32)


def _correlations(
    first: np.ndarray, second: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The correlation of each block and its weight: its detail up to a limit, 0 if mostly outside.

    Blocks, so that a watermark spoils only its own; the limit, so that the edge of a black frame,
    which all photos from one dermatoscope share, counts no more than skin.
    """
    mask, first, second = _blocks(inside), _blocks(first), _blocks(second)
    count = mask.sum(axis=1) + 1e-6
    first = (first - ((first * mask).sum(axis=1) / count)[:, None]) * mask
    second = (second - ((second * mask).sum(axis=1) / count)[:, None]) * mask
    power = np.sqrt(np.square(first).sum(axis=1) * np.square(second).sum(axis=1))
    weights = np.minimum(power / count, _POWER_LIMIT) * (count >= _BLOCK**2 / 2)
    return (first * second).sum(axis=1) / (power + 1e-6), weights


def _blocks(image: np.ndarray) -> np.ndarray:
    """(side, side) to (blocks, pixels of a block)."""
    count = _SIDE // _BLOCK
    return image.reshape(count, _BLOCK, count, _BLOCK).swapaxes(1, 2).reshape(count**2, -1)


def _movements(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """How far each block's detail lies apart, (blocks, 2) as shares of the side.

    One step of Lucas and Kanade (IJCAI 1981) around the centre of each block.
    """
    first, second = cv2.GaussianBlur(first, (0, 0), 1.0), cv2.GaussianBlur(second, (0, 0), 1.0)
    middle = (first + second) / 2
    across = cv2.Sobel(middle, cv2.CV_32F, 1, 0, ksize=3) / 8 * inside
    down = cv2.Sobel(middle, cv2.CV_32F, 0, 1, ksize=3) / 8 * inside
    change = first - second

    def around_centres(product: np.ndarray) -> np.ndarray:
        centres = slice(_BLOCK // 2, None, _BLOCK)
        smooth = cv2.GaussianBlur(product, (0, 0), _BLOCK / 2)
        return np.asarray(smooth)[centres, centres].ravel()

    flat = 1e-4  # keeps the equations solvable where there is no detail
    xx, yy = around_centres(across * across) + flat, around_centres(down * down) + flat
    xy = around_centres(across * down)
    xt, yt = around_centres(across * change), around_centres(down * change)
    movements = np.column_stack([yy * xt - xy * yt, xx * yt - xy * xt])
    return np.asarray(movements / (xx * yy - xy * xy)[:, None] / _SIDE)


def _uneven(movements: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(blocks,) lengths of what no shift, scale or shear of the whole photo explains."""
    row, column = np.divmod(np.arange(len(movements)), _SIDE // _BLOCK)
    places = np.column_stack([np.ones(len(movements)), row, column])
    left = np.zeros(len(movements))
    for _ in range(2):  # the second fit hardly sees the blocks that the first could not explain
        roots = np.sqrt(weights / (left + _STILL))[:, None]
        fitted = np.linalg.lstsq(places * roots, movements * roots, rcond=None)[0]
        left = np.linalg.norm(movements - places @ fitted, axis=1)
    return left


def _median(values: np.ndarray, weights: np.ndarray, if_empty: float) -> float:
    """The weighted median."""
    order = values.argsort()
    reached = weights[order].cumsum()
    if reached[-1] <= 0:
        return if_empty
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
