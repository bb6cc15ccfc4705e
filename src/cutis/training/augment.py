"""Augmentation in one warp and one colour matrix a photo."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cutis.recipes.schema import Augmentation

# OpenCV's own threads would fight with the training threads for the cores.
cv2.setNumThreads(1)

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def augment_batch(
    pixels: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator, before: int = 0
) -> NDArray[np.uint8]:
    """Changes every photo of a (batch, size, size, 3 or 4) array at random, as the recipe says.

    Geometry (flip, rotation, zoom, stretch, shift) is one bilinear affine warp that mirrors the
    photo at its borders; colour (brightness, contrast, saturation, hue) is one affine map of RGB.
    A fourth channel, the lesion's mask, follows the geometry and nothing else.

    Args:
        before: photos of the batch that stand before these and are changed elsewhere; these here
            are changed as they are in the whole batch.
    """
    if settings == Augmentation():
        return pixels
    out = np.empty_like(pixels)
    size = pixels.shape[1]
    for _ in range(before):
        _skip(settings, size, rng)
    for index, photo in enumerate(pixels):
        matrix = _geometry(settings, size, rng)
        warped = cv2.warpAffine(
            photo, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        colour = _colour(settings, float(photo[..., :3].mean()), rng)
        out[index] = warped
        if colour is not None:
            out[index, ..., :3] = cv2.transform(np.ascontiguousarray(warped[..., :3]), colour)
        if settings.erase and rng.random() < settings.erase:
            _erase(out[index, ..., :3], rng)
    return out


def _skip(settings: Augmentation, size: int, rng: np.random.Generator) -> None:
    """Draws what a photo takes."""
    _geometry(settings, size, rng)
    _colour(settings, 0.0, rng)
    if settings.erase and rng.random() < settings.erase:
        _hole(size, rng)


def _geometry(s: Augmentation, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    angle = np.deg2rad(rng.uniform(-s.rotation, s.rotation))
    zoom = rng.uniform(1 - s.zoom, 1 + s.zoom)
    aspect = np.exp(rng.uniform(-1, 1) * np.log1p(s.stretch) / 2)
    mirror_x, mirror_y = _mirrors(s.flip, rng)
    scale = np.diag([mirror_x * zoom * aspect, mirror_y * zoom / aspect])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ scale
    centre = np.full(2, (size - 1) / 2)
    shift = rng.uniform(-s.shift, s.shift, 2) * size
    return np.column_stack([linear, centre + shift - linear @ centre])


def _mirrors(flip: str, rng: np.random.Generator) -> tuple[int, int]:
    horizontal, vertical = rng.choice([-1, 1], 2)
    if flip == "none":
        return 1, 1
    return int(horizontal), int(vertical) if flip == "both" else 1


def _colour(s: Augmentation, mean: float, rng: np.random.Generator) -> NDArray[np.float32] | None:
    if not (s.brightness or s.contrast or s.saturation or s.hue):
        return None
    brightness, contrast, saturation = (
        rng.uniform(1 - width, 1 + width) for width in (s.brightness, s.contrast, s.saturation)
    )
    turn = np.deg2rad(rng.uniform(-s.hue, s.hue))
    grey = np.tile(_LUMA, (3, 1))
    matrix = (grey + saturation * (np.eye(3) - grey)) @ _hue_rotation(turn)
    # contrast stretches around the photo's own mean, so that it does not also brighten
    offset = np.full((3, 1), (1 - contrast) * mean) * brightness
    return np.hstack([contrast * brightness * matrix, offset]).astype(np.float32)


def _hue_rotation(angle: float) -> NDArray[np.float64]:
    """Rotation of RGB around the grey axis (Rodrigues' formula)."""
    k = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.asarray(np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * k)


def _erase(photo: NDArray[np.uint8], rng: np.random.Generator) -> None:
    photo[_hole(len(photo), rng)] = 127


def _hole(size: int, rng: np.random.Generator) -> tuple[slice, slice]:
    height, width = rng.integers(size // 8, size // 2, 2)
    top, left = rng.integers(0, size - height), rng.integers(0, size - width)
    return slice(top, top + height), slice(left, left + width)
