"""The eight ways to turn and mirror a photo, on images, cosine coefficients and windows.

Orientation `k` (0 to 7) is: transpose if `k & 4`, then upside down if `k & 2`, then left to right
if `k & 1`.
"""

import numpy as np

ORIENTATIONS = range(8)

Window = tuple[float, float, float, float]
"""top, bottom, left, right as shares of the height and width."""


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """A view of (..., n, n) images in the given orientation."""
    if orientation & 4:
        image = np.swapaxes(image, -1, -2)
    if orientation & 2:
        image = image[..., ::-1, :]
    if orientation & 1:
        image = image[..., ::-1]
    return image


def orient_cosines(coefficients: np.ndarray, orientation: int) -> np.ndarray:
    """The cosine coefficients (..., f, f) of the image in the given orientation."""
    signs = (-1.0) ** np.arange(coefficients.shape[-1], dtype=np.float32)
    if orientation & 4:
        coefficients = np.swapaxes(coefficients, -1, -2)
    if orientation & 2:
        coefficients = coefficients * signs[:, None]
    if orientation & 1:
        coefficients = coefficients * signs
    return coefficients


def orient_window(window: Window, orientation: int) -> Window:
    """Where a window of a photo lies after the photo is brought into the orientation."""
    top, bottom, left, right = window
    if orientation & 4:
        top, bottom, left, right = left, right, top, bottom
    if orientation & 2:
        top, bottom = 1 - bottom, 1 - top
    if orientation & 1:
        left, right = 1 - right, 1 - left
    return top, bottom, left, right


_NAMES = {
    (0, 1, 2, 3): "",
    (1, 0, 3, 2): "mirrored",
    (2, 3, 0, 1): "upside down",
    (3, 2, 1, 0): "rotated 180",
    (1, 3, 0, 2): "rotated 90 anticlockwise",
    (2, 0, 3, 1): "rotated 90 clockwise",
    (0, 2, 1, 3): "transposed",
    (3, 1, 2, 0): "transposed and rotated 180",
}


def describe_turn(orientation_a: int, orientation_b: int) -> str:
    """How b is turned against a when a in its orientation equals b in its own; empty if not."""
    corners = np.arange(4).reshape(2, 2)
    target = orient(corners, orientation_a)
    for turn in ORIENTATIONS:
        turned = orient(corners, turn)
        if np.array_equal(orient(turned, orientation_b), target):
            return _NAMES[tuple(turned.ravel().tolist())]
    raise AssertionError("the eight orientations are a group")
