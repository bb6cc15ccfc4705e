"""A lesion's A, B, C and D of dermoscopy as numbers, from a photo and the lesion's mask.

They describe what the mask encloses. They are no score of malignancy and no part of any model's
answer: round, even, small lesions can be melanomas, and ragged ones harmless. The definitions,
their sources and how well they agree with dermatologists stand in docs/segmentation.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from cutis.errors import InputError
from cutis.metrics.bootstrap import Floats
from cutis.metrics.lesion_colours import LesionColours, measure_colours, to_lab
from cutis.metrics.segmentation import Mask, boundary

MEASURES_NOTICE = "These numbers describe the photo. They do not say whether a lesion is harmless."
"""Stands wherever the measures are shown."""

MEASURE_TEXTS = {
    "area_share": "How much of the photo the lesion covers.",
    "asymmetry": "How much of the lesion has no counterpart when it is folded along two crossed "
    "lines through its middle, placed where it looks most alike on both sides: 0 for a perfect "
    "match.",
    "compactness": "How long the outline is for the area it encloses: 1 for a disk, more for a "
    "long or ragged shape.",
    "solidity": "How much of the tightest shape without dents the lesion fills: 1 without dents.",
    "colours": "Which of white, red, light brown, dark brown, blue-grey and black cover at least "
    "a twentieth of the lesion.",
    "colour_spread": "How much the colours inside the lesion differ from their mean.",
    "longest_diameter": "The longest straight line across the lesion, in pixels of the photo. How "
    "many millimetres that is, the photo does not tell.",
    "equal_area_diameter": "The diameter of a disk of the same area, in pixels of the photo.",
    "pieces": "How many separate pieces the outline has; the largest one was measured.",
    "touches_frame": "The lesion reaches the edge of the photo, so part of it may be missing.",
}
"""What each measure is, in plain words."""


@dataclass(frozen=True)
class LesionMeasures:
    """Measures of the largest piece of a mask, its holes filled. MEASURE_TEXTS in plain words."""

    area_share: float
    """Area over that of the photo."""

    asymmetry: tuple[float, float]
    """Share of the lesion outside its mirror image, for two perpendicular axes through the
    centroid, the smaller first; see `_asymmetry`."""

    compactness: float
    """P^2 / (4 pi A) with perimeter P and area A: 1 for a disk; see `_perimeter`."""

    solidity: float
    """Area over that of the convex hull, at most 1."""

    colours: LesionColours

    longest_diameter: float
    """Largest Feret diameter, pixels."""

    equal_area_diameter: float
    """Diameter of the disk of the same area, pixels (ISO 9276-6:2008)."""

    pieces: int
    """Pieces of the mask, pixels that touch at a corner being connected."""

    largest_share: float
    """Area of the largest piece over that of all, before holes are filled."""

    touches_frame: bool
    """Whether the piece reaches the edge of the photo: shape and size are then those of a part."""


def measure_lesion(rgb: NDArray[np.uint8], mask: Mask) -> LesionMeasures | None:
    """Measures one lesion; None where the mask is empty.

    Args:
        rgb: (height, width, 3) the photo.
        mask: (height, width) true on the lesion; InputError for another size or type.
    """
    _check(rgb, mask)
    labels, pieces = ndimage.label(mask, np.ones((3, 3)))
    if not pieces:
        return None
    areas = np.bincount(labels.ravel())[1:]
    lesion = np.asarray(ndimage.binary_fill_holes(labels == 1 + areas.argmax()))
    area = np.count_nonzero(lesion)
    diameter = float(np.sqrt(4 / np.pi * area))
    step = 1 + int(diameter // _LARGE)
    shape, photo = _crop(lesion, rgb, margin=int(np.ceil(_SKIN_REACH * diameter)) + 1)
    shape, photo = shape[::step, ::step], photo[::step, ::step]
    shape_area = np.count_nonzero(shape)
    hull = _hull(shape)
    perimeter = _perimeter(shape, diameter / step)
    return LesionMeasures(
        area_share=area / lesion.size,
        asymmetry=_asymmetry(shape),
        compactness=perimeter**2 / (4 * np.pi * shape_area),
        solidity=min(1.0, shape_area / hull.volume),
        colours=measure_colours(photo[shape], photo[_skin_around(shape, photo, diameter / step)]),
        longest_diameter=step * float(pdist(hull.points[hull.vertices]).max()),
        equal_area_diameter=diameter,
        pieces=pieces,
        largest_share=float(areas.max() / areas.sum()),
        touches_frame=bool(lesion[[0, -1]].any() or lesion[:, [0, -1]].any()),
    )


_LARGE = 600  # pixels of diameter; of a lesion that is larger every second pixel and so on is read

_TURNS = np.radians(np.arange(0, 90, 3))
_POINTS = 20_000  # tell a share as well as all pixels of a large lesion


def _asymmetry(lesion: Mask) -> tuple[float, float]:
    """Folds the lesion along perpendicular axes through its centroid; the pair that leaves least
    over counts, as the ABCD rule asks (Stolz et al. 1994; Nachbar et al. 1994). The search starts
    at the principal axes, which alone would be arbitrary for round and square lesions.

    What is left over is the share of pixels whose mirror image lies outside, half the area of the
    difference over the area of the lesion (Stoecker, Li and Moss 1992).
    """
    points = np.argwhere(lesion)
    centre = points.mean(axis=0)
    offsets = points[:: 1 + len(points) // _POINTS] - centre
    rows, columns = offsets.T
    principal = np.arctan2(2 * (rows @ columns), rows @ rows - columns @ columns) / 2
    left_over = np.array(
        [
            [_outside_mirror(lesion, centre, offsets, principal + turn) for turn in pair]
            for pair in zip(_TURNS, _TURNS + np.pi / 2, strict=True)
        ]
    )
    low, high = sorted(left_over[left_over.sum(axis=1).argmin()].tolist())
    return low, high


def _outside_mirror(lesion: Mask, centre: Floats, offsets: Floats, axis: float) -> float:
    cosine, sine = np.cos(2 * axis), np.sin(2 * axis)
    mirror = np.array([[cosine, sine], [sine, -cosine]])
    rows, columns = np.rint(centre + offsets @ mirror).astype(np.intp).T
    height, width = lesion.shape
    framed = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return 1 - np.count_nonzero(lesion[rows[framed], columns[framed]]) / len(offsets)


def _perimeter(lesion: Mask, diameter: float) -> float:
    """Mean length of the level lines of the smoothed lesion: by the co-area formula (Federer 1969,
    3.2.11) the integral of its gradient's length.

    Unlike a count of border pixels it does not grow on slanted borders. It is smoothed over 2 %
    of the diameter, and at least a pixel, so that steps of pixels and a trembling hand count as
    little in a large photo as in a small one: what irregularity means are dents and bulges
    (Lee, McLean and Atkins 2003), not texture.
    """
    sigma = max(1.0, 0.02 * diameter)
    padded = np.pad(lesion, int(np.ceil(4 * sigma)) + 1).astype(np.float64)
    return float(ndimage.gaussian_gradient_magnitude(padded, sigma).sum())


def _hull(lesion: Mask) -> ConvexHull:
    """Convex hull of the middles of the border pixels' sides.

    Their corners would make a digital disk larger than it is, their centres smaller.
    """
    sides = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    return ConvexHull((boundary(lesion)[:, None] + sides).reshape(-1, 2))


_SKIN_GAP, _SKIN_REACH = 0.05, 0.2  # of the diameter: where the skin around a lesion begins, ends


def _skin_around(lesion: Mask, photo: NDArray[np.uint8], diameter: float) -> Mask:
    """A ring around the lesion without what is as black as a dermoscope's corners (L* below 15)."""
    away = ndimage.distance_transform_edt(~lesion)
    ring = (away > _SKIN_GAP * diameter) & (away <= _SKIN_REACH * diameter)
    ring[ring] = to_lab(photo[ring])[:, 0] >= 15
    return np.asarray(ring)


def _crop(lesion: Mask, photo: NDArray[np.uint8], margin: int) -> tuple[Mask, NDArray[np.uint8]]:
    box = ndimage.find_objects(lesion.astype(np.uint8))[0]
    window = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
    return lesion[window], photo[window]


def _check(rgb: NDArray[np.uint8], mask: Mask) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InputError(
            "this array is not a photo",
            where=f"shape {rgb.shape}, type {rgb.dtype}",
            expected="(height, width, 3) of type uint8",
        )
    if mask.shape != rgb.shape[:2] or mask.dtype != np.bool_:
        raise InputError(
            "this mask does not fit the photo",
            where=f"shape {mask.shape}, type {mask.dtype}",
            expected=f"{rgb.shape[:2]} of type bool",
        )
