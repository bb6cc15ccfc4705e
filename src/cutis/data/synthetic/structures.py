"""The structures that dermoscopy reads, each drawn as one field between 0 and 1.

Words after Kittler et al. 2016, "Standardization of terminology in dermoscopy".
Positions and sizes are in canvas pixels from the centre of the canvas.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from cutis.data.synthetic.fields import (
    SIDE,
    Field,
    Generator,
    Layer,
    blank,
    cloud,
    density,
    ellipse_field,
    lattice,
    ramp,
)

_SHIFT = 4
_UNIT = 1 << _SHIFT
_CENTRE = SIDE / 2


def _fixed(x: float, y: float) -> tuple[int, int]:
    """A point as OpenCV's fixed-point pixels, for drawing between pixels."""
    return round((x + _CENTRE) * _UNIT), round((y + _CENTRE) * _UNIT)


def _dot(layer: Layer, x: float, y: float, radius: float, value: int) -> None:
    cv2.circle(layer, _fixed(x, y), round(radius * _UNIT), value, -1, cv2.LINE_AA, _SHIFT)


def _line(layer: Layer, points: Iterable[tuple[float, float]], width: int, value: int) -> None:
    corners = np.array([_fixed(x, y) for x, y in points], np.int32)
    cv2.polylines(layer, [corners], False, value, width, cv2.LINE_AA, _SHIFT)


def _places(rng: Generator, count: int, inner: float, outer: float) -> np.ndarray:
    """`count` points spread over the ring between two radii, at equal density."""
    radius = np.sqrt(rng.uniform(inner**2, outer**2, count))
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def network(rng: Generator, spacing: float, disorder: float, thickness: float) -> Field:
    """Pigment network: lines around lighter holes; `thickness` 0.2 is delicate, 0.6 broad."""
    return ramp(lattice(rng, spacing, disorder), thickness + 0.2, thickness - 0.2)


def cobblestones(rng: Generator, spacing: float, disorder: float) -> Field:
    """Regular globules of even size over the whole canvas."""
    return ramp(lattice(rng, spacing, disorder), 0.35, 0.65)


def globules(rng: Generator, count: int, reach: float, low: float, high: float) -> Field:
    """Round clods at random places within `reach`, with radii between `low` and `high`."""
    layer = blank()
    for x, y in _places(rng, count, 0, reach):
        _dot(layer, x, y, rng.uniform(low, high), int(rng.integers(140, 256)))
    return density(layer, 1.0)


def streaks(rng: Generator, count: int, radius: float, arc: tuple[float, float]) -> Field:
    """Radial lines with bulbs (pseudopods) over the border, within an arc of angles."""
    layer = blank()
    for angle in rng.uniform(*arc, count):
        length = rng.uniform(0.15, 0.45) * radius
        start, end = radius * 0.8, radius * 0.85 + length
        bend = angle + rng.normal(0, 0.06)
        points = [
            (start * np.cos(angle), start * np.sin(angle)),
            (end * np.cos(bend), end * np.sin(bend)),
        ]
        _line(layer, points, int(rng.integers(4, 7)), 220)
        _dot(layer, *points[1], rng.uniform(3, 5.5), 255)
    return density(layer, 1.0)


def leaves(rng: Generator, count: int, radius: float) -> Field:
    """Leaf-like areas: clods that fan out at the border, joined at an off-centre base."""
    layer = blank()
    for _ in range(count):
        base = rng.uniform(0, 2 * np.pi)
        hub = radius * rng.uniform(0.35, 0.8)
        x0, y0 = hub * np.cos(base), hub * np.sin(base)
        for spread in rng.uniform(-1.1, 1.1, int(rng.integers(3, 6))):
            length = rng.uniform(8, 17)
            x = x0 + length * np.cos(base + spread)
            y = y0 + length * np.sin(base + spread)
            axes = (round(length * 0.7 * _UNIT), round(rng.uniform(3.5, 6) * _UNIT))
            degrees = float(np.degrees(base + spread))
            value = int(rng.integers(170, 256))
            cv2.ellipse(layer, _fixed(x, y), axes, degrees, 0, 360, value, -1, cv2.LINE_AA, _SHIFT)
    return density(layer, 1.2)


def arborising_vessels(rng: Generator, count: int, radius: float) -> Field:
    """Bright vessels that branch like trees from thick trunks to thin twigs, in sharp focus."""
    layer = blank()
    for _ in range(count):
        bearing = rng.uniform(0, 2 * np.pi)
        start = (radius * 1.05 * np.cos(bearing), radius * 1.05 * np.sin(bearing))
        heading = bearing + np.pi + rng.normal(0, 0.4)
        _branch(rng, layer, start, heading, radius * rng.uniform(1.0, 1.7), 3)
    return density(layer, 0.7)


def _branch(
    rng: Generator,
    layer: Layer,
    start: tuple[float, float],
    heading: float,
    length: float,
    width: int,
) -> None:
    step = 6.0
    x, y = start
    points = [start]
    for _ in range(int(length / step)):
        heading += rng.normal(0, 0.28)
        x, y = x + step * np.cos(heading), y + step * np.sin(heading)
        points.append((x, y))
        if width > 1 and rng.random() < 0.3:
            side = heading + rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
            _branch(rng, layer, (x, y), side, length * rng.uniform(0.3, 0.6), width - 1)
    _line(layer, points, width, 150 + 35 * width)


def short_vessels(rng: Generator, count: int, reach: float, dotted: bool) -> Field:
    """Short curved or dotted vessels scattered within `reach`."""
    layer = blank()
    for x, y in _places(rng, count, 0, reach):
        if dotted:
            _dot(layer, x, y, rng.uniform(1.5, 3), 220)
        else:
            heading = rng.uniform(0, 2 * np.pi)
            _branch(rng, layer, (x, y), heading, rng.uniform(10, 26), 1)
    return density(layer, 0.8)


def blotch(rng: Generator, reach: float, low: float, high: float) -> Field:
    """One structureless patch with an uneven edge, off centre by up to `reach`."""
    ((x, y),) = _places(rng, 1, 0.5 * reach, reach)
    radius = rng.uniform(low, high)
    field = ellipse_field(x, y, radius, rng.uniform(0.8, 1.25), rng.uniform(0, np.pi))
    return ramp(field + np.float32(0.2) * cloud(rng, 10, 4, 0.7), -0.15, 0.4)


def lacunae(rng: Generator, reach: float, low: float, high: float) -> tuple[Field, Field]:
    """Crowded round lakes of blood and the pale walls between them (two fields)."""
    lakes, walls = blank(), blank()
    spacing = low + high
    count = int(1.6 * (reach / spacing) ** 2 * np.pi)
    for x, y in _places(rng, count, 0, reach):
        radius = rng.uniform(low, high)
        axes = (round(radius * _UNIT), round(radius * rng.uniform(0.65, 1) * _UNIT))
        gap = (axes[0] + 2 * _UNIT, axes[1] + 2 * _UNIT)
        turn, centre = rng.uniform(0, 180), _fixed(x, y)
        value = int(rng.integers(110, 256))
        cv2.ellipse(walls, centre, gap, turn, 0, 360, 255, -1, cv2.LINE_AA, _SHIFT)
        cv2.ellipse(lakes, centre, gap, turn, 0, 360, 30, -1, cv2.LINE_AA, _SHIFT)
        cv2.ellipse(lakes, centre, axes, turn, 0, 360, value, -1, cv2.LINE_AA, _SHIFT)
    lake = density(lakes, 1.6)
    return lake, density(walls, 1.6) * (1 - lake)


def strawberry(rng: Generator, spacing: float) -> tuple[Field, Field]:
    """Red pseudonetwork between pale, round follicle openings (two fields)."""
    bumps = lattice(rng, spacing, 0.6)
    return ramp(bumps, 0.5, 0.2), ramp(bumps, 0.62, 0.85)


def scales(rng: Generator, cover: float) -> Field:
    """White to yellow flakes with torn edges that cover about the share `cover`."""
    patches = cloud(rng, 14, 3, 0.7)
    threshold = 1.3 - 2.0 * cover
    return ramp(patches, threshold, threshold + 0.5)


def ridges(rng: Generator, spacing: float) -> Field:
    """Brain-like ridges and furrows: bands of a smooth noise; 1 in the furrows."""
    bands = np.abs(cloud(rng, max(5, round(SIDE / (2.2 * spacing))), 1))
    return ramp(bands, 0.4, 0.1)


def openings(rng: Generator, count: int, reach: float, low: float, high: float) -> Field:
    """Comedo-like openings: dark, sharply edged, slightly oval plugs."""
    layer = blank()
    for x, y in _places(rng, count, 0, reach):
        radius = rng.uniform(low, high)
        axes = (round(radius * _UNIT), round(radius * rng.uniform(0.6, 1) * _UNIT))
        turn = rng.uniform(0, 180)
        cv2.ellipse(layer, _fixed(x, y), axes, turn, 0, 360, 255, -1, cv2.LINE_AA, _SHIFT)
    return density(layer, 0.8)
