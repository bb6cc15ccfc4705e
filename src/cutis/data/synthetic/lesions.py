"""Seven diagnoses, painted on a canvas as layers of pigment under the skin.

Colour follows the Beer-Lambert law: reflected light is the skin's albedo times exp(-absorbance),
with one absorbance a channel for melanin in the epidermis, for blood, and for melanin deep in the
dermis, which looks blue-grey. The amount of each pigment is drawn from much the same distribution
whatever the diagnosis, so that colour says little and structure says much.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from cutis.data.synthetic import structures as draw
from cutis.data.synthetic.fields import (
    SIDE,
    Field,
    Generator,
    cloud,
    ellipse_field,
    ramp,
    speckle,
)

TONES = 7
"""Skin tones, 0 the lightest; the last two cover brown and black skin."""

_TONE_MELANIN = (0.02, 0.12, 0.25, 0.45, 0.75, 1.15, 1.65)
_ABSORBANCE = np.array(
    [[0.38, 0.65, 0.83], [0.08, 0.75, 0.60], [0.80, 0.58, 0.40]], np.float32
)  # rows: melanin, blood, deep melanin; columns: red, green, blue
_ALBEDO = np.array([0.95, 0.83, 0.78], np.float32)
_LOG_LIGHT = np.column_stack([-_ABSORBANCE.T, np.log(_ALBEDO)])


@dataclass(frozen=True)
class Lesion:
    """A painted lesion: reflectance (SIDE, SIDE, 3) in 0..1, mask and relief (SIDE, SIDE)."""

    reflectance: Field
    mask: NDArray[np.bool_]
    relief: Field
    bare_melanin: Field
    bare_blood: Field

    @cached_property
    def skin(self) -> Field:
        """The same skin without the lesion, as `reflectance`."""
        return _reflected(self.bare_melanin, self.bare_blood, np.zeros_like(self.bare_blood))


@dataclass
class _Canvas:
    """Pigment amounts while a lesion is being painted; `white` covers whatever lies below."""

    rng: Generator
    radius: float
    contrast: float
    melanin: Field
    blood: Field
    deep: Field
    white: Field
    relief: Field
    body: Field
    """Extent of the lesion, 1 inside."""
    depth: Field
    """0 at the border, 1 in the middle."""
    halo: Field
    """The body with a wide, faint rim on the skin around."""

    def shape(self, irregularity: float, asymmetry: float, edge: float) -> None:
        """Sets `body`, the lesion's extent from 0 to 1, with a border `edge` wide (share of R)."""
        rng, radius = self.rng, self.radius
        aspect, angle = rng.uniform(1.0, 1.2), rng.uniform(0, np.pi)
        field = ellipse_field(0, 0, radius, aspect, angle)
        if asymmetry > 0:
            reach = asymmetry * radius
            for _ in range(2):
                away = rng.uniform(0, 2 * np.pi)
                lobe = ellipse_field(
                    reach * np.cos(away),
                    reach * np.sin(away),
                    radius * rng.uniform(0.45, 0.7),
                    rng.uniform(0.8, 1.3),
                    rng.uniform(0, np.pi),
                )
                np.maximum(field, lobe * np.float32(0.7), out=field)
        ragged = cloud(rng, 8, 4, 0.65)
        field += np.float32(0.05 + irregularity) * ragged
        self.body = ramp(field, -0.5 * edge, 0.5 * edge)
        self.depth = ramp(field, -0.2, 1.0)
        self.halo = ramp(field, -0.75, 0.05)

    def tint(self, uneven: float, brown: float = 1.0, red: float = 1.0) -> None:
        """Fills the body with melanin and blood, in amounts that hardly tell the diagnosis.

        `brown` and `red` tilt their distributions.
        """
        rng = self.rng
        melanin = np.clip(rng.lognormal(-0.35, 0.65), 0.12, 2.4)
        patches = cv2.exp(
            np.float32(uneven) * cloud(rng, 5, 2) + np.float32(0.16) * cloud(rng, 36, 2, 0.8)
        )
        profile = 1 + np.float32(rng.normal(0, 0.3)) * self.depth
        self.melanin += np.float32(brown * melanin) * patches * profile * self.body
        self.melanin += np.float32(0.12 * brown * melanin) * self.halo
        blood = np.float32(red * rng.uniform(0, 0.5))
        self.blood += blood * self.body + np.float32(0.3) * blood * self.halo
        if rng.random() < 0.25:
            self.deep += np.float32(rng.uniform(0.1, 0.6)) * self.body
        self.relief += self.body * np.float32(rng.uniform(0, 4))

    def faded(self) -> Field:
        """The body with pale places, for a pattern that does not fill the whole lesion."""
        return self.body * ramp(cloud(self.rng, 7, 2), -1.3, 0.3)


def _canvas(rng: Generator, tone: int) -> _Canvas:
    """Skin without a lesion: melanin by tone, freckles, redness and fine vessels."""
    melanin = np.float32(_TONE_MELANIN[tone] * rng.uniform(0.8, 1.25)) * (
        1 + np.float32(0.08) * cloud(rng, 30, 2, 0.8)
    )
    melanin += np.float32(0.035) * cloud(rng, 80, 1) + np.float32(0.07) * speckle(rng)
    if rng.random() < 0.25:
        melanin += np.float32(rng.uniform(0.1, 0.35)) * ramp(cloud(rng, 14, 2), 1.2, 2.2)
    blood = np.float32(rng.uniform(0.08, 0.36) * (1 - 0.1 * tone)) + np.float32(
        rng.uniform(0.02, 0.08)
    ) * cloud(rng, 12, 3, 0.9)
    nothing = np.zeros((SIDE, SIDE), np.float32)
    return _Canvas(
        rng=rng,
        radius=rng.uniform(42, 72),
        # One lesion in eight hardly shows its structures, as in a clinic.
        contrast=rng.uniform(0.65, 1.1) if rng.random() > 0.125 else rng.uniform(0.2, 0.5),
        melanin=melanin,
        blood=blood,
        deep=nothing.copy(),
        white=nothing.copy(),
        relief=cloud(rng, 60, 1),
        body=nothing,
        depth=nothing,
        halo=nothing,
    )


def _nevus(c: _Canvas) -> None:
    """Symmetric, even, one pattern: network, globules, or both from centre to rim."""
    rng = c.rng
    c.shape(rng.uniform(0, 0.03), 0.0, rng.uniform(0.25, 0.6))
    c.tint(0.08)
    amount = np.float32(c.contrast * rng.uniform(0.8, 1.4))
    pattern = rng.choice(3, p=(0.65, 0.25, 0.1))
    if pattern == 0:
        c.melanin += amount * draw.network(rng, rng.uniform(12, 16), 0.75, 0.3) * c.faded()
    elif pattern == 1:
        c.melanin += amount * draw.cobblestones(rng, rng.uniform(12, 17), 0.75) * c.faded()
    else:
        rim = ramp(c.body, 1.0, 0.7) * c.body
        c.melanin += amount * draw.network(rng, rng.uniform(9, 12), 0.8, 0.3) * rim
        c.melanin += amount * np.float32(0.8) * ramp(ellipse_field(0, 0, c.radius, 1, 0), 0.1, 0.6)


def _atypical_nevus(c: _Canvas) -> None:
    """Between nevus and melanoma: an uneven border, a coarser network, some blotches."""
    rng = c.rng
    c.shape(rng.uniform(0.06, 0.12), rng.uniform(0.2, 0.4), rng.uniform(0.25, 0.5))
    c.tint(0.2)
    amount = np.float32(c.contrast * rng.uniform(0.8, 1.3))
    c.melanin += amount * draw.network(rng, rng.uniform(14, 20), 0.7, 0.35) * c.body
    c.melanin += amount * draw.blotch(rng, 0.4 * c.radius, 12, 22) * c.body


def _melanoma(c: _Canvas) -> None:
    """Asymmetric, jagged, several colours; broken network, streaks, blotches, blue-white veil."""
    rng = c.rng
    c.radius *= 0.85
    c.shape(rng.uniform(0.1, 0.2), rng.uniform(0.4, 0.75), rng.uniform(0.12, 0.4))
    c.tint(rng.uniform(0.3, 0.5), brown=1.25)
    amount = np.float32(c.contrast * rng.uniform(0.9, 1.6))
    part = ramp(cloud(rng, 4, 1), -0.2, 0.6)
    c.melanin += amount * draw.network(rng, rng.uniform(15, 22), 1.3, 0.45) * c.body * part
    for _ in range(int(rng.integers(1, 4))):
        c.melanin += amount * draw.blotch(rng, 0.6 * c.radius, 16, 30) * c.body
    if rng.random() < 0.6:
        veil = draw.blotch(rng, 0.5 * c.radius, 18, 36) * c.body * np.float32(c.contrast)
        c.deep += np.float32(0.9) * veil
        c.white += np.float32(0.25) * veil
    if rng.random() < 0.5:
        start = rng.uniform(0, 2 * np.pi)
        rays = draw.streaks(rng, int(rng.integers(7, 14)), c.radius, (start, start + 2.4))
        c.melanin += amount * rays
    else:
        c.melanin += amount * draw.globules(rng, 22, c.radius, 2.5, 6.5) * c.body
    if rng.random() < 0.35:
        c.melanin *= 1 - np.float32(0.6) * draw.blotch(rng, 0.5 * c.radius, 16, 28)


def _keratosis(c: _Canvas) -> None:
    """Stuck on, with a sharp edge: milia-like cysts, comedo-like openings, ridges."""
    rng = c.rng
    c.shape(rng.uniform(0.0, 0.07), rng.choice((0.0, 0.4)), rng.uniform(0.06, 0.16))
    c.tint(0.15)
    amount = np.float32(c.contrast * rng.uniform(0.8, 1.3))
    if rng.random() < 0.6:
        furrows = draw.ridges(rng, rng.uniform(13, 19))
        c.melanin += amount * furrows * c.body
        c.relief -= 3 * furrows * c.body
    openings = draw.openings(rng, int(rng.integers(5, 13)), 0.85 * c.radius, 3, 6)
    c.melanin += (1.5 + amount) * openings * c.body
    cysts = draw.globules(rng, int(rng.integers(8, 20)), 0.9 * c.radius, 2.5, 5.5)
    c.white += np.float32(0.75 * c.contrast) * cysts * c.body


def _basal_cell(c: _Canvas) -> None:
    """Arborising vessels, leaf-like areas, blue-grey ovoid nests, ulceration; no network."""
    rng = c.rng
    c.shape(rng.uniform(0.05, 0.14), rng.choice((0.0, 0.5)), rng.uniform(0.2, 0.6))
    c.tint(0.2, brown=0.6)
    amount = np.float32(c.contrast)
    has_vessels = rng.random() < 0.75
    if has_vessels:
        vessels = draw.arborising_vessels(rng, int(rng.integers(2, 5)), c.radius)
        c.blood += np.float32(rng.uniform(1.0, 1.9)) * amount * vessels
        c.melanin *= 1 - np.float32(0.5) * vessels
    if not has_vessels or rng.random() < 0.5:
        leaf = draw.leaves(rng, int(rng.integers(3, 6)), c.radius)
        c.melanin += amount * leaf
        c.deep += np.float32(rng.uniform(0.4, 1.2)) * amount * leaf
    if rng.random() < 0.5:
        c.deep += amount * draw.globules(rng, int(rng.integers(3, 8)), 0.8 * c.radius, 6, 11)
    if rng.random() < 0.35:
        ulcer = draw.blotch(rng, 0.4 * c.radius, 12, 22) * c.body
        c.blood += np.float32(1.8) * ulcer
        c.melanin += np.float32(0.8) * ulcer
        c.relief -= 4 * ulcer


def _dermatofibroma(c: _Canvas) -> None:
    """Round: a white, scar-like centre in a ring of delicate network that fades outwards."""
    rng = c.rng
    c.shape(rng.uniform(0, 0.04), 0.0, rng.uniform(0.5, 0.9))
    c.tint(0.1, brown=0.7)
    x, y = rng.uniform(-0.12, 0.12, 2) * c.radius
    size = c.radius * rng.uniform(0.4, 0.6)
    centre = ramp(
        ellipse_field(x, y, size, rng.uniform(0.8, 1.25), rng.uniform(0, np.pi))
        + np.float32(0.16) * cloud(rng, 10, 3, 0.7),
        -0.35,
        0.55,
    )
    ring = c.body * (1 - centre)
    amount = np.float32(c.contrast * rng.uniform(0.6, 1.1))
    c.melanin += amount * draw.network(rng, rng.uniform(10, 14), 0.9, 0.25) * ring * c.faded()
    c.melanin *= 1 - np.float32(0.5) * centre
    c.white += np.float32(rng.uniform(0.3, 0.65) * c.contrast) * centre
    c.relief += 3 * centre


def _keratinocyte(c: _Canvas) -> None:
    """Ill-defined: red pseudonetwork round pale follicles, torn scales, dotted vessels."""
    rng = c.rng
    c.shape(rng.uniform(0.1, 0.2), rng.choice((0.0, 0.5)), rng.uniform(0.5, 1.0))
    c.tint(0.3, brown=0.5, red=1.5)
    amount = np.float32(c.contrast)
    net, follicles = draw.strawberry(rng, rng.uniform(18, 26))
    if rng.random() < 0.7:
        part = c.faded()
        c.blood += np.float32(0.9) * amount * net * part
        c.white += np.float32(0.55) * amount * follicles * part
    else:
        c.blood += np.float32(1.2) * amount * draw.short_vessels(rng, 60, c.radius, True) * c.body
    c.white += np.float32(0.65) * amount * draw.scales(rng, rng.uniform(0.25, 0.5)) * c.body


def _vascular(c: _Canvas) -> None:
    """Crowded red, purple or nearly black lakes with pale walls; sharply bounded."""
    rng = c.rng
    c.shape(rng.uniform(0.02, 0.08), rng.choice((0.0, 0.4)), rng.uniform(0.06, 0.2))
    c.tint(0.1, brown=0.4, red=1.3)
    low = rng.uniform(6, 10)
    lakes, walls = draw.lacunae(rng, 1.1 * c.radius, low, low + rng.uniform(2, 6))
    c.blood += np.float32(c.contrast * rng.uniform(1.0, 2.4)) * lakes * c.body
    c.deep += np.float32(c.contrast * rng.uniform(0.0, 0.9)) * lakes * c.body
    c.white += np.float32(0.3 * c.contrast * rng.random()) * walls * c.body
    c.relief += 3 * lakes * c.body


_PAINTERS: dict[str, Callable[[_Canvas], None]] = {
    "akiec": _keratinocyte,
    "bcc": _basal_cell,
    "bkl": _keratosis,
    "df": _dermatofibroma,
    "mel": _melanoma,
    "nv": _nevus,
    "nv-atypical": _atypical_nevus,
    "vasc": _vascular,
}

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
"""The seven diagnoses of HAM10000 by their codes there."""

DRAWABLE = tuple(_PAINTERS)
"""The diagnoses, and the atypical nevus that PH2 tells from the common one."""


def paint(dx: str, rng: Generator, tone: int) -> Lesion:
    """Paints one lesion of diagnosis `dx` on skin of tone 0 to 6."""
    canvas = _canvas(rng, tone)
    bare_melanin, bare_blood = canvas.melanin.copy(), canvas.blood.copy()
    _PAINTERS[dx](canvas)
    reflectance = _reflected(canvas.melanin, canvas.blood, canvas.deep)
    cover = np.clip(canvas.white, 0, 0.9)
    # Scale, scar and keratin are as pale as the surrounding skin allows, never a paper white.
    pale = np.float32(0.55) * _ALBEDO + np.float32(0.45) * np.array(cv2.mean(reflectance)[:3])
    pale *= np.array([1.0, rng.uniform(0.9, 1.0), rng.uniform(0.75, 1.0)])
    bare = 1 - cover
    covered = [
        channel * bare + np.float32(colour) * cover
        for channel, colour in zip(cv2.split(reflectance), pale, strict=True)
    ]
    reflectance = cv2.merge(covered)
    return Lesion(reflectance, canvas.body > 0.5, canvas.relief, bare_melanin, bare_blood)


def _reflected(melanin: Field, blood: Field, deep: Field) -> Field:
    """Reflected light of red, green and blue through three layers of pigment."""
    return cv2.exp(cv2.transform(cv2.merge([melanin, blood, deep]), _LOG_LIGHT))
