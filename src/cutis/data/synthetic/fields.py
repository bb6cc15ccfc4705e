"""Random fields and periodic patterns on the square canvas on which a lesion is drawn.

Everything here is a float32 array of shape (SIDE, SIDE). Noise is drawn on a coarse grid and
enlarged, which costs a fraction of drawing it at full size and looks the same.
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 288
"""Side of the canvas in pixels; a photo of 300x225 at zoom 1 shows it one to one."""

# OpenCV's annotations do not tell what element type comes back, hence Any.
Field = NDArray[Any]
Layer = NDArray[Any]
Generator = np.random.Generator

_LATTICE = 32
_COLUMNS, _ROWS = 8, 8


def cloud(rng: Generator, cells: int, octaves: int = 2, roughness: float = 0.5) -> Field:
    """Smooth noise of mean 0 and standard deviation 1 whose blobs are SIDE/cells pixels wide.

    Each further octave doubles the frequency and multiplies the amplitude by `roughness`.
    """
    grid: Field = rng.standard_normal((cells, cells), dtype=np.float32)
    amplitude = 1.0
    for _ in range(octaves - 1):
        amplitude *= roughness
        doubled = 2 * grid.shape[0]
        grid = cv2.resize(grid, (doubled, doubled), interpolation=cv2.INTER_CUBIC)
        grid = grid + np.float32(amplitude) * rng.standard_normal(grid.shape, dtype=np.float32)
    grid -= grid.mean()
    grid /= grid.std()
    return cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def speckle(rng: Generator) -> Field:
    """White noise, uniform between -1 and 1."""
    raw = np.frombuffer(rng.bytes(SIDE * SIDE), np.uint8).reshape(SIDE, SIDE)
    return raw * np.float32(2 / 255) - np.float32(1)


@cache
def coordinates() -> tuple[Field, Field]:
    """x and y of every pixel, measured in pixels from the canvas centre."""
    axis = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    x, y = np.meshgrid(axis, axis)
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


def ellipse_field(x0: float, y0: float, radius: float, aspect: float, angle: float) -> Field:
    """1 at the centre, 0 on the ellipse, negative outside; linear in the distance."""
    x, y = coordinates()
    cos, sin = np.cos(angle), np.sin(angle)
    along = ((x - x0) * np.float32(cos) + (y - y0) * np.float32(sin)) / np.float32(radius * aspect)
    across = ((y - y0) * np.float32(cos) - (x - x0) * np.float32(sin)) / np.float32(radius / aspect)
    distance: Field = cv2.magnitude(along, across)
    return 1 - distance


def ramp(field: Field, low: float, high: float) -> Field:
    """Smooth step: 0 at `low` and below, 1 at `high` and above (`high` may be the smaller)."""
    t: Field = (field - np.float32(low)) * np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    smooth: Field = t * t * (3 - 2 * t)
    return smooth


@cache
def _honeycomb() -> Field:
    """One period of a triangular lattice of bumps, 1 on the bumps, 0 between.

    The sum of three plane waves at 60 degrees; its valleys form the honeycomb of a pigment network.
    """
    height = round(_LATTICE * 3**0.5)
    x = np.arange(_LATTICE * _COLUMNS) * (2 * np.pi / _LATTICE)
    y = np.arange(height * _ROWS // 2) * (2 * np.pi / height)
    waves = np.cos(2 * y)[:, None] + 2 * np.cos(x)[None, :] * np.cos(y)[:, None]
    bumps: Field = ((waves + 1.5) / 4.5).astype(np.float32)
    return bumps


def lattice(rng: Generator, spacing: float, disorder: float) -> Field:
    """A field of bumps `spacing` pixels apart, 1 on each bump, near 0 on the honeycomb between.

    `disorder` 0 is a regular lattice; at 1 neighbouring bumps are displaced by about their spacing.
    """
    x, y = coordinates()
    scale = np.float32(_LATTICE / spacing)
    shift = rng.uniform(0, 1000, 2)
    sway = np.float32(disorder * 0.3 * spacing)
    cells = max(4, round(SIDE / (2.5 * spacing)))
    across = (x + sway * cloud(rng, cells, 1) + np.float32(shift[0])) * scale
    down = (y + sway * cloud(rng, cells, 1) + np.float32(shift[1])) * scale
    return cv2.remap(_honeycomb(), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def blank() -> Layer:
    """An empty layer to draw on with OpenCV."""
    return np.zeros((SIDE, SIDE), np.uint8)


def density(layer: Layer, blur: float = 0.0) -> Field:
    """A drawn layer as a field between 0 and 1, softened by `blur` pixels."""
    if blur > 0:
        layer = cv2.GaussianBlur(layer, (0, 0), blur)
    return layer * np.float32(1 / 255)
