"""The eight ways to turn and mirror a photo, on images and on cosine coefficients.

Turn `k` (0 to 7) is: transpose if `k & 4`, then top to bottom if `k & 2`, then left to right if
`k & 1`.
"""

import numpy as np

TURNS = range(8)


def turn(image: np.ndarray, k: int) -> np.ndarray:
    """A view of (..., n, n) images after turn k."""
    if k & 4:
        image = np.swapaxes(image, -1, -2)
    if k & 2:
        image = image[..., ::-1, :]
    if k & 1:
        image = image[..., ::-1]
    return image


def turn_cosines(coefficients: np.ndarray, k: int) -> np.ndarray:
    """The cosine coefficients (..., f, f) of an image after turn k, from those of the image."""
    signs = (-1.0) ** np.arange(coefficients.shape[-1], dtype=np.float32)
    if k & 4:
        coefficients = np.swapaxes(coefficients, -1, -2)
    if k & 2:
        coefficients = coefficients * signs[:, None]
    if k & 1:
        coefficients = coefficients * signs
    return coefficients


_CORNERS = np.arange(4).reshape(2, 2)
_TURN_OF_CORNERS = {tuple(turn(_CORNERS, k).ravel()): k for k in TURNS}


def _inverse(k: int) -> int:
    return next(i for i in TURNS if np.array_equal(turn(turn(_CORNERS, k), i), _CORNERS))


INVERSE = np.array([_inverse(k) for k in TURNS], dtype=np.int8)
"""INVERSE[k] undoes k."""

AFTER = np.array(
    [[_TURN_OF_CORNERS[tuple(turn(turn(_CORNERS, i), j).ravel())] for j in TURNS] for i in TURNS],
    dtype=np.int8,
)
"""AFTER[i, j] is i, then j."""

NAMES = {
    0: "",
    1: "mirrored left to right",
    2: "mirrored top to bottom",
    3: "turned by 180 degrees",
    4: "mirrored along the diagonal",
    5: "turned by 90 degrees",
    6: "turned by 270 degrees",
    7: "mirrored along the other diagonal",
}
"""Turns in words, clockwise."""
