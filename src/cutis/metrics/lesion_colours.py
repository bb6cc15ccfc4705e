"""The colours of a lesion: which of the six of dermoscopy are there, and how much they vary.

Cameras differ in their white balance, so colours are judged in CIELAB after the skin around the
lesion was shifted to one hue. docs/segmentation.md says where the reference colours come from and
how often they agree with dermatologists.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutis.metrics.bootstrap import Floats

COLOURS = {
    "white": (80.0, 5.0, 8.0),
    "red": (44.0, 31.0, 8.0),
    "light_brown": (63.0, 28.0, 42.0),
    "dark_brown": (36.0, 13.0, 26.0),
    "blue_grey": (55.0, 7.0, 11.0),
    "black": (19.0, 0.0, 16.0),
}
"""The six colours of dermoscopy (Nachbar et al. 1994) as L*, a*, b* beside skin of SKIN_HUE."""

SKIN_HUE = (15.0, 20.0)
"""a*, b* of the skin around the lesion in the median of PH2's photos."""

PRESENT = 0.05
"""Share of the lesion from which a colour counts as present."""

_LINEAR = np.arange(256) / 255
_LINEAR = np.where(_LINEAR <= 0.04045, _LINEAR / 12.92, ((_LINEAR + 0.055) / 1.055) ** 2.4)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


@dataclass(frozen=True)
class LesionColours:
    """What `measure_colours` finds."""

    shares: dict[str, float]
    """Share of the lesion nearest to each of COLOURS; the rest looks like the skin around it."""

    spread: float
    """Root mean square distance from the mean colour, in CIELAB units (1976)."""

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the colours that cover at least PRESENT of the lesion."""
        return tuple(name for name, share in self.shares.items() if share >= PRESENT)


def measure_colours(lesion: NDArray[np.uint8], skin: NDArray[np.uint8]) -> LesionColours:
    """Colours of a lesion's pixels against those of the skin around it.

    Args:
        lesion: (P, 3) RGB, at least one pixel.
        skin: (Q, 3) RGB; with none the colours are judged as they are.
    """
    colours = to_lab(lesion)
    spread = float(np.sqrt(colours.var(axis=0).sum()))
    references = np.array(list(COLOURS.values()))
    if len(skin):
        around = np.median(to_lab(skin), axis=0)
        shift = np.array([0.0, *SKIN_HUE]) - [0.0, *around[1:]]
        colours, references = colours + shift, np.vstack([references, around + shift])
    # |x - r|^2 less |x|^2, which is the same for every reference.
    nearest = (np.square(references).sum(axis=1) - 2 * colours @ references.T).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(references)) / len(colours)
    return LesionColours(dict(zip(COLOURS, shares.tolist(), strict=False)), spread)


def to_lab(rgb: NDArray[np.uint8]) -> Floats:
    """(…, 3) sRGB (IEC 61966-2-1) to CIELAB under D65 (CIE 15:2018): L* in 0 … 100, a*, b*."""
    ratio = _LINEAR[rgb] @ (_TO_XYZ / _WHITE[:, None]).T
    lightness = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = np.moveaxis(lightness, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
