"""What is kept of a photo for finding its copies: a small grey image and the photo's size."""

import cv2
import numpy as np

from cutis.errors import InputError

THUMBNAIL_SIDE = 96

FINGERPRINT: np.dtype = np.dtype(
    [
        ("thumbnail", np.uint8, (THUMBNAIL_SIDE, THUMBNAIL_SIDE)),
        ("width", np.uint32),
        ("height", np.uint32),
    ]
)


def fingerprint(rgb: np.ndarray) -> np.ndarray:
    """The fingerprint of one decoded photo, a 0-d array of `FINGERPRINT` (9,224 bytes).

    rgb: (height, width, 3) uint8. The photo is stretched to a square, so that a copy whose aspect
    was changed has the same thumbnail. Raises InputError for any other shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise InputError(
            f"cannot fingerprint an array of shape {rgb.shape} and type {rgb.dtype}",
            expected="a decoded photo, (height, width, 3) of uint8",
            fix="convert the photo to RGB first",
        )
    height, width = rgb.shape[:2]
    shrinks = min(height, width) >= THUMBNAIL_SIDE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = cv2.resize(rgb, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=method)
    record = np.zeros((), dtype=FINGERPRINT)
    record["thumbnail"] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    record["width"], record["height"] = width, height
    return record


def local_contrast(thumbnail: np.ndarray, side: int, sigma: float | None = None) -> np.ndarray:
    """The thumbnail at (side, side), float32, each point relative to its neighbourhood.

    The difference from a Gaussian mean of `sigma` pixels (a sixteenth of the side if not given),
    divided by the standard deviation around: brightening, gamma and smooth vignettes leave it
    almost as it was, and the broad dark blob that most dermoscopy photos share loses its weight.
    """
    small = cv2.resize(thumbnail, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma = sigma or side / 16
    detail = small - cv2.GaussianBlur(small, (0, 0), sigma)
    noise_floor = 4.0  # square of two grey levels: JPEG noise on smooth skin stays small
    power = cv2.GaussianBlur(detail * detail, (0, 0), sigma)
    return np.asarray(detail / np.sqrt(power + noise_floor))
