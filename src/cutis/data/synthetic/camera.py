"""Photographs of a painted lesion: pose, light, hair, what lies on the skin, lens and sensor."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cutis.data.synthetic.fields import SIDE, Field, Generator, coordinates, ramp
from cutis.data.synthetic.lesions import Lesion

Photo = NDArray[Any]


def photograph(
    lesion: Lesion, rng: Generator, width: int, height: int, clinical: bool
) -> tuple[Photo, NDArray[np.bool_]]:
    """One photo (height, width, 3), RGB, and the lesion's mask (height, width).

    A dermoscopic photo is close, flat and may show the rim of the lens; a clinical one is taken
    from farther away, in slanting light, with a phone.
    """
    unit = height / 225
    pose = _pose(rng, width, height, clinical)
    image = _seen(lesion.reflectance, pose, width, height)
    if clinical:
        # From farther away the photo reaches beyond the canvas, where skin goes on without lesion.
        skin = _seen(lesion.skin, pose, width, height)
        inside = _seen(_middle(), pose, width, height, cv2.BORDER_CONSTANT)
        image = cv2.blendLinear(image, skin, inside, 1 - inside)
        slant = _slanting_light(lesion, pose, rng, width, height)
        image = cv2.multiply(image, cv2.merge([slant, slant, slant]))
    mask = cv2.warpAffine(
        lesion.mask.view(np.uint8), pose, (width, height), flags=cv2.INTER_NEAREST
    )
    image *= _light(rng, width, height, clinical)
    if clinical:
        _glare(image, rng)
    photo = cv2.convertScaleAbs(image, alpha=255.0)
    if rng.random() < 0.4:
        _hair(photo, rng, unit)
    if rng.random() < 0.12:
        _ruler(photo, rng, unit)
    if not clinical:
        if rng.random() < 0.2:
            _bubbles(photo, rng, unit)
        if rng.random() < 0.25:
            photo = _lens_rim(photo, rng)
    return _sensor(photo, rng, unit, clinical), mask.astype(bool)


def _seen(
    field: Field,
    pose: NDArray[np.float64],
    width: int,
    height: int,
    border: int = cv2.BORDER_REFLECT,
) -> Field:
    """A canvas field as it lies in the photo."""
    return cv2.warpAffine(field, pose, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


@cache
def _middle() -> Field:
    """1 over the canvas, falling to 0 at its rim."""
    x, y = coordinates()
    return ramp(np.maximum(np.abs(x), np.abs(y)), SIDE / 2, SIDE / 2 - 24)


def _pose(rng: Generator, width: int, height: int, clinical: bool) -> NDArray[np.float64]:
    """Canvas to photo: any turn or mirror, zoom, slight tilt, the lesion near the middle."""
    zoom = height / 225 * (rng.uniform(0.75, 1.1) if clinical else rng.uniform(0.95, 1.5))
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    tilt = np.diag([1.0, rng.uniform(0.85, 1.0) if clinical else 1.0])
    mirror = np.diag([1.0, rng.choice((-1.0, 1.0))])
    turn = zoom * tilt @ np.array([[cos, -sin], [sin, cos]]) @ mirror
    target = np.array([width / 2, height / 2]) + rng.normal(0, 0.045, 2) * (width, height)
    middle = np.full(2, (SIDE - 1) / 2)
    return np.column_stack([turn, target - turn @ middle])


def _slanting_light(
    lesion: Lesion, pose: NDArray[np.float64], rng: Generator, width: int, height: int
) -> Field:
    """Brightness of the skin's surface in light that falls from one side."""
    relief = _seen(lesion.relief, pose, width, height)
    relief = cv2.GaussianBlur(relief, (0, 0), 1.2 * height / 225)
    bearing = rng.uniform(0, 2 * np.pi)
    strength = rng.uniform(0.01, 0.04)
    kernel = np.zeros((3, 3), np.float32)
    kernel[1, 2], kernel[1, 0] = strength * np.cos(bearing), -strength * np.cos(bearing)
    kernel[2, 1], kernel[0, 1] = strength * np.sin(bearing), -strength * np.sin(bearing)
    return cv2.filter2D(relief, -1, kernel) + np.float32(1)


def _light(rng: Generator, width: int, height: int, clinical: bool) -> Field:
    """Exposure, white balance and uneven light as a gain for every pixel and channel."""
    spread = 0.12 if clinical else 0.04
    exposure = rng.uniform(0.75, 1.1)
    balance = np.exp(rng.normal(0, 0.07, 3))
    grid = np.exp(rng.normal(0, spread, (3, 4, 1)) + rng.normal(0, 0.02, (3, 4, 3)))
    gain = (exposure * balance * grid).astype(np.float32)
    return cv2.resize(gain, (width, height), interpolation=cv2.INTER_CUBIC)


def _glare(image: Field, rng: Generator) -> None:
    """Light that the dry surface throws back: a pale haze, stronger on one side."""
    haze = rng.uniform(0.0, 0.12, (2, 3)).astype(np.float32)
    veil = cv2.resize(haze, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    image += cv2.merge([veil, veil, veil]) * (np.float32(0.9) - image)


def _hair(photo: Photo, rng: Generator, unit: float) -> None:
    """Curved hairs, all of about one colour and one direction."""
    height, width = photo.shape[:2]
    pale = rng.random() < 0.25
    shade = rng.uniform(140, 200) if pale else rng.uniform(20, 80)
    colour = tuple(float(v) for v in shade * np.array([1.0, 0.86, 0.72]))
    lean = rng.uniform(0, np.pi)
    fine = rng.random() < 0.6
    t = np.linspace(0, 1, 14)[:, None]
    for _ in range(int(rng.integers(2, 20))):
        start = rng.uniform(-0.1, 1.1, 2) * (width, height)
        heading = lean + rng.normal(0, 0.5)
        length = rng.uniform(25, 240) * unit
        along = np.array([np.cos(heading), np.sin(heading)])
        bow = np.array([-along[1], along[0]]) * rng.normal(0, 0.1) * length
        points = start + t * length * along + 4 * t * (1 - t) * bow
        thickness = max(1, round((1.0 if fine else rng.uniform(1.2, 2.2)) * unit))
        corners = np.round(points * 16).astype(np.int32)
        cv2.polylines(photo, [corners], False, colour, thickness, cv2.LINE_AA, 4)


def _ruler(photo: Photo, rng: Generator, unit: float) -> None:
    """A millimetre scale near one edge, as printed on a dermoscope's glass."""
    height, width = photo.shape[:2]
    tilt = rng.normal(0, 0.25)
    along = np.array([np.cos(tilt), np.sin(tilt)])
    across = np.array([-along[1], along[0]])
    offset = rng.uniform(0.04, 0.14) * height
    start = np.array([0.0, offset if rng.random() < 0.5 else height - offset])
    step = rng.uniform(8, 15) * unit
    for mark in range(int(width / step)):
        length = (11 if mark % 5 == 0 else 6) * unit
        foot = start + along * step * mark
        ends = np.round(np.stack([foot, foot + across * length]) * 16).astype(np.int32)
        cv2.polylines(
            photo, [ends], False, (25.0, 22.0, 24.0), max(1, round(1.3 * unit)), cv2.LINE_AA, 4
        )


def _bubbles(photo: Photo, rng: Generator, unit: float) -> None:
    """Air bubbles in the contact gel: a thin bright rim, a darker one inside, a highlight."""
    height, width = photo.shape[:2]
    cluster = rng.uniform(0, 1, 2) * (width, height)
    for _ in range(int(rng.integers(1, 7))):
        place = cluster + rng.normal(0, 30 * unit, 2)
        centre = tuple(np.round(place * 16).astype(int).tolist())
        radius = rng.uniform(2, 9) * unit
        light = photo.mean()
        for share, gain in ((1.0, 1.3), (0.8, 0.75)):
            tone = (min(255.0, gain * light),) * 3
            cv2.circle(photo, centre, round(share * radius * 16), tone, 1, cv2.LINE_AA, 4)
        glint = tuple(np.round((place - 0.4 * radius) * 16).astype(int).tolist())
        cv2.circle(photo, glint, round(0.18 * radius * 16), (240.0,) * 3, -1, cv2.LINE_AA, 4)


def _lens_rim(photo: Photo, rng: Generator) -> Photo:
    """The dark corners outside a dermoscope's round field."""
    height, width = photo.shape[:2]
    small = np.zeros((height // 2, width // 2), np.uint8)
    radius = rng.uniform(0.5, 0.6) * width / 2
    centre = np.array([width, height]) / 4 + rng.normal(0, 0.01, 2) * width
    corner = tuple(np.round(centre * 16).astype(int).tolist())
    cv2.circle(small, corner, round(radius * 16), 255, -1, cv2.LINE_AA, 4)
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(1.0, 4.0) * height / 225)
    rim = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(photo, cv2.merge([rim, rim, rim]), scale=1 / 255)


def _sensor(photo: Photo, rng: Generator, unit: float, clinical: bool) -> Photo:
    """Blur of the lens, tone curve, noise of the sensor."""
    sigma = rng.uniform(0.3, 1.3 if clinical else 0.9) * unit
    photo = cv2.GaussianBlur(photo, (0, 0), sigma)
    levels = np.linspace(0, 1, 256)
    curve = 255 * levels ** rng.uniform(0.75, 1.05)
    photo = cv2.LUT(photo, curve.round().astype(np.uint8))
    reach = int(rng.integers(2, 10 if clinical else 7))
    grain = np.frombuffer(rng.bytes(photo.size), np.uint8).reshape(photo.shape)
    noise = cv2.convertScaleAbs(grain, alpha=2 * reach / 255)
    return cv2.subtract(cv2.add(photo, noise), np.full(4, reach, np.float64))
