"""What is drawn over a photo, and measured on it: the lesion's outline and measures, a heat map.

Layers are PNGs of palette colours, transparent where nothing is drawn.
"""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutis.lesion import (
    MARGIN,
    SMALLEST_CROP,
    Mask,
    Pixels,
    lesion_view,
    mask_at_size,
    usable_probabilities,
)
from cutis.metrics.bootstrap import Floats
from cutis.metrics.lesion_measures import measure_lesion
from cutis.preprocessing import resize
from cutis.runtime import Predictor

_EDGE, _LINE = (29, 39, 51), (240, 228, 66)  # as in overlays: they stand out on skin and lesions
_LINES_PER_SIDE = 400  # the outline's width is the longer side divided by it

_CELLS = 8  # of the grid, on each side; a patch covers two by two, so neighbours overlap by half
_PATCHES = _CELLS - 1  # on each side: 49 passes, and one of the photo as it is
_GREY = 127
_FAINT = 1.0  # natural log odds; where no place is worth as much, the map stays faint

# Viridis (van der Walt and Smith 2015, CC0): its lightness rises evenly, so that it reads the same
# without colour vision.
_VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_SHADES = 64
_OPACITY = 0.8  # of the strongest; the photo shows through


def outline(rgb: Pixels, mask: Mask) -> bytes:
    """The border of the lesion as a PNG of the photo's size, a light line with a dark edge.

    Args:
        rgb: (height, width, 3).
        mask: (height, width), true on the lesion; nothing is drawn for an empty one.
    """
    drawn = np.zeros(rgb.shape[:2], np.uint8)
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(max(rgb.shape) / _LINES_PER_SIDE))
    cv2.drawContours(drawn, lines, -1, 1, width + 2)
    cv2.drawContours(drawn, lines, -1, 2, width)
    return _png(drawn, np.array([(0, 0, 0), _EDGE, _LINE]), np.array([0, 255, 255]))


def heat_map(predictor: Predictor, rgb: Pixels, diagnosis: str) -> bytes:
    """What a diagnosis's probability hangs on, as a PNG of the photo's size.

    Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901, section 4.2): parts of the photo are
    covered with grey, one after another. Drawn is by how much the log odds of the diagnosis fall
    (weight of evidence; Robnik-Šikonja and Kononenko 2008), averaged over the patches that cover a
    place, from dark and faint to light and strong. A part that speaks against it stays clear.

    Args:
        rgb: (height, width, 3).
        diagnosis: one of the model's.
    """
    mask = _lesion(predictor, rgb)
    whole = predictor.model_info.preprocessing.lesion == "channel"
    rows, columns = _looked_at(None if whole else mask, rgb.shape[:2])
    fallen = _evidence(predictor, rgb, mask, (rows, columns), diagnosis)
    strength = np.clip(fallen / max(fallen.max(), _FAINT), 0, 1)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    smooth = cv2.resize(strength.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    shades = np.zeros(rgb.shape[:2], np.uint8)
    shades[rows, columns] = np.rint(smooth * (_SHADES - 1))
    share = np.arange(_SHADES) / (_SHADES - 1)
    anchors = np.linspace(0, 1, len(_VIRIDIS))
    colours = np.stack([np.interp(share, anchors, plane) for plane in np.transpose(_VIRIDIS)], 1)
    return _png(shades, colours, 255 * _OPACITY * share)


def measures(rgb: Pixels, mask: Mask) -> dict[str, object]:
    """The measures of MEASURE_TEXTS by name, as JSON holds them; {} for an empty mask.

    Asymmetry is a pair, colours are the names of those that are present.
    """
    found = measure_lesion(rgb, mask)
    if found is None:
        return {}
    return {
        "area_share": float(found.area_share),
        "asymmetry": list(found.asymmetry),
        "compactness": float(found.compactness),
        "solidity": float(found.solidity),
        "colours": list(found.colours.present),
        "colour_spread": found.colours.spread,
        "longest_diameter": found.longest_diameter,
        "equal_area_diameter": found.equal_area_diameter,
        "pieces": found.pieces,
        "touches_frame": found.touches_frame,
    }


def _evidence(
    predictor: Predictor, rgb: Pixels, mask: Mask | None, window: tuple[slice, slice], name: str
) -> Floats:
    """(cells, cells) by how much the log odds fall where a cell of the window is covered.

    The lesion is not looked for again on the covered photos: it stays where it was found.
    """
    settings = predictor.model_info.preprocessing
    edges = [np.linspace(s.start, s.stop, _CELLS + 1).round().astype(int) for s in window]
    places = [(slice(i, i + 2), slice(j, j + 2)) for i in range(_PATCHES) for j in range(_PATCHES)]
    seen = [lesion_view(rgb, mask, settings)]
    for row, column in places:
        covered = rgb.copy()
        covered[_pixels(edges[0], row), _pixels(edges[1], column)] = _GREY
        seen.append(lesion_view(covered, mask, settings))
    odds = _log_odds(predictor, np.stack(seen), predictor.model_info.diagnoses.index(name))
    fallen, patches = np.zeros((_CELLS, _CELLS)), np.zeros((_CELLS, _CELLS))
    for place, covered_odds in zip(places, odds[1:], strict=True):
        fallen[place] += odds[0] - covered_odds
        patches[place] += 1
    return np.asarray(fallen / patches)


def _pixels(edges: NDArray[np.int_], cells: slice) -> slice:
    return slice(int(edges[cells.start]), int(edges[cells.stop]))


def _log_odds(predictor: Predictor, pixels: NDArray[np.uint8], column: int) -> Floats:
    """Of one diagnosis against the others, after calibration: (batch,)."""
    logits = predictor.calibrated(predictor.logits(pixels))
    others = np.delete(logits, column, axis=1)
    return np.asarray(logits[:, column] - np.logaddexp.reduce(others, axis=1))


def _lesion(predictor: Predictor, rgb: Pixels) -> Mask | None:
    """The mask that the model is given; None where it looks at the whole photo."""
    segmenter = predictor.segmenter
    if segmenter is None:
        return None
    settings = segmenter.info.preprocessing
    seen = resize(rgb, settings.size, settings.fit)
    found = segmenter.probabilities(seen[None])[0]
    usable, _ = usable_probabilities(found, segmenter.info.threshold)
    if usable is None:
        return None
    height, width = rgb.shape[:2]
    mask = mask_at_size(usable, height, width, segmenter.info.threshold)
    return mask if mask.any() else None


def _looked_at(mask: Mask | None, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns to cover: of the lesion with the margin of a crop, else of all the photo."""
    if mask is None:
        return slice(0, shape[0]), slice(0, shape[1])
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    longer = max(span[-1] + 1 - span[0] for span in spans)
    reach = max(longer * (0.5 + MARGIN), min(shape[:2]) / SMALLEST_CROP / 2)
    rows, columns = (
        slice(max(0, int(middle - reach)), min(whole, int(np.ceil(middle + reach))))
        for middle, whole in zip([(s[0] + s[-1] + 1) / 2 for s in spans], shape, strict=False)
    )
    return rows, columns


def _png(index: NDArray[np.uint8], colours: NDArray[np.float64], alpha: Floats) -> bytes:
    """(height, width) of places in a palette (colours, 3) and (colours,) to a file."""
    image = Image.fromarray(index, "P")
    image.putpalette(np.rint(colours).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", transparency=np.rint(alpha).astype(np.uint8).tobytes())
    return file.getvalue()
