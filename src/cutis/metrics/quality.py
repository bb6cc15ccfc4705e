"""Photo quality as numbers, and the flags that follow from them.

Every score is taken on a copy of at most 200 pixels a side, because that is about what the
networks see, and outside the black corners of a dermoscope, because those are no part of the
photo. See docs/quality.md for how the thresholds were chosen and how often they are wrong.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, sparse

from cutis.errors import InputError

SIDE = 200
"""Longest side of the copy that is measured, in pixels; smaller photos stay as they are."""

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

_HAIR = 7  # pixels; no hair is that thick
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class QualityScores:
    """What can be measured about a photo without knowing what it shows.

    Luminance is Rec. 601 luma in [0, 1]; shares are of the pixels outside the black corners,
    except `corners` itself.
    """

    sharpness: float
    """Root of the gradient energy at 0.8 pixels over that at 2 pixels, the noise taken off both:
    about 1 for a blur of several pixels, 1.6 for a sharp step, 6 for the finest texture; 0 for
    a photo without any gradient. See `_sharpness`."""

    dark: float
    """Share of pixels with luminance below 0.12."""

    bright: float
    """Share of pixels with luminance above 0.96."""

    contrast: float
    """99th less 1st percentile of luminance."""

    lesion_share: float | None
    """Area of the largest dark spot near the middle, as a share of the frame; None where nothing
    stands out. See `_lesion`."""

    corners: float
    """Share of the frame that is black and reaches one of its four corners."""

    ruler: float
    """How regular the fine dark marks along an edge are, in [0, 1]. See `_ruler`."""

    hair: float
    """Share of pixels outside the lesion that are long thin dark lines. See `_hair`."""

    skin: float
    """Share of pixels that have a colour of skin and calm surroundings. See `_skin`."""


@dataclass(frozen=True)
class Thresholds:
    """Beyond which value a score raises its flag; docs/quality.md says where each comes from."""

    blurred_below: float = 1.15
    dark_above: float = 0.6
    overexposed_above: float = 0.25
    low_contrast_below: float = 0.08
    lesion_small_below: float = 0.02
    black_corners_above: float = 0.1
    ruler_above: float = 0.35
    hair_above: float = 0.06
    not_skin_below: float = 0.2


THRESHOLDS = Thresholds()

FLAG_TEXTS = {
    "blurred": "The photo is blurred: hold still, tap the spot to focus and keep a hand's width "
    "away.",
    "dark": "The photo is too dark: move to daylight or turn on a lamp.",
    "overexposed": "Part of the photo is washed out: turn off the flash or step out of the sun.",
    "low_contrast": "Hardly anything stands out: wipe the lens and use even light.",
    "lesion_small": "The spot is very small in the photo: come closer or crop around it.",
    "black_corners": "The dark rim of the lens covers much of the photo: crop it away.",
    "ruler": "A ruler or scale is in the photo: take one without it if you can.",
    "hair": "Hair covers much of the skin: part or wet it, or clip it, and try again.",
    "not_skin": "This does not look like skin: take a close photo of the spot.",
}
"""Advice by flag, in the order in which `quality_flags` gives them."""

SCORE_OF = {
    "blurred": "sharpness",
    "dark": "dark",
    "overexposed": "bright",
    "low_contrast": "contrast",
    "lesion_small": "lesion_share",
    "black_corners": "corners",
    "ruler": "ruler",
    "hair": "hair",
    "not_skin": "skin",
}
"""The score that raises each flag."""


def measure_quality(rgb: NDArray[np.uint8]) -> QualityScores:
    """Measures one photo, (height, width, 3) RGB of any size.

    InputError for another shape or type, or a photo without pixels.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise InputError(
            "this array is not a photo",
            where=f"shape {rgb.shape}, type {rgb.dtype}",
            expected="(height, width, 3) of type uint8",
        )
    photo = _shrink(rgb)
    luma = photo @ _LUMA
    corners = _corners(luma)
    field = _field(corners, rim=4)
    smooth = ndimage.uniform_filter(photo, (7, 7, 1))
    gradient = _gradient(luma, 0.8)
    lesion = _lesion(photo, field)
    thin_dark = _closed(luma) - luma
    seen = luma[field]
    low, high = np.percentile(seen, (1, 99))
    return QualityScores(
        sharpness=_sharpness(luma, gradient, _field(corners, rim=8)),
        dark=_share(seen < 0.12),
        bright=_share(seen > 0.96),
        contrast=float(high - low),
        lesion_share=None if lesion is None else _share(lesion),
        corners=_share(corners),
        ruler=_ruler(thin_dark),
        hair=_hair(thin_dark, field, lesion),
        skin=_skin(smooth, luma, gradient, field),
    )


def quality_flags(scores: QualityScores, thresholds: Thresholds = THRESHOLDS) -> tuple[str, ...]:
    """The flags that the scores raise, keys of FLAG_TEXTS in its order."""
    raised = []
    for flag, name in SCORE_OF.items():
        score = getattr(scores, name)
        below, limit = flag_limit(flag, thresholds)
        if score is not None and (score < limit if below else score > limit):
            raised.append(flag)
    return tuple(raised)


def flag_limit(flag: str, thresholds: Thresholds = THRESHOLDS) -> tuple[bool, float]:
    """Whether scores below (True) or above (False) raise the flag, and from which value on."""
    below = hasattr(thresholds, f"{flag}_below")
    return below, getattr(thresholds, f"{flag}_below" if below else f"{flag}_above")


def _shrink(rgb: NDArray[np.uint8]) -> Grey:
    """(h, w, 3) in [0, 1] by area averaging; the longest side is at most SIDE."""
    # Of a very large photo every k-th pixel is enough: at least six still make one of the copy.
    step = max(1, max(rgb.shape[:2]) // (6 * SIDE))
    photo: Grey = rgb[::step, ::step].astype(np.float32)
    height, width = photo.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return photo / np.float32(255)
    rows = _averaging(height, max(1, round(height * scale)))
    columns = _averaging(width, max(1, round(width * scale)))
    photo = (rows @ photo.reshape(height, -1)).reshape(-1, width, 3).transpose(1, 0, 2)
    photo = (columns @ photo.reshape(width, -1)).reshape(columns.shape[0], -1, 3)
    return np.ascontiguousarray(photo.transpose(1, 0, 2)) / np.float32(255)


@lru_cache(maxsize=32)
def _averaging(length: int, shorter: int) -> sparse.csr_array:
    """(shorter, length): each row averages the pixels that one pixel of the copy covers."""
    edges = np.linspace(0, length, shorter + 1)
    pixel = np.arange(length)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    covered = covered.clip(0)
    weights = covered / covered.sum(axis=1, keepdims=True)
    return sparse.csr_array(weights.astype(np.float32))


def _corners(luma: Grey) -> Mask:
    """What is below 0.35 of the photo's bright parts and connected to a corner of the frame."""
    calm = ndimage.uniform_filter(luma, 3)
    # The bright parts are the skin even where a lesion or the rim itself covers most of the frame.
    black = calm < 0.35 * np.percentile(calm, 80)
    labels, _ = ndimage.label(black)
    reached = np.unique(labels[[0, 0, -1, -1], [0, -1, 0, -1]])
    return np.isin(labels, reached[reached > 0])


def _field(corners: Mask, rim: int) -> Mask:
    """The photo without its corners and `rim` pixels beside them; all of it if little is left."""
    if not corners.any():
        return ~corners
    field = ndimage.distance_transform_cdt(~corners, "chessboard") > rim
    return field if _share(field) > 0.1 else np.ones_like(corners)


def _share(mask: Mask) -> float:
    return int(np.count_nonzero(mask)) / max(mask.size, 1)


def _closed(values: Grey) -> Grey:
    """The grey closing by a square of _HAIR pixels; scipy's takes four times as long."""
    return -_dilated(-_dilated(values))


def _dilated(values: Grey) -> Grey:
    """The largest value in a square of _HAIR = 7 pixels, by maxima of 2, 4 and then 7 pixels."""
    for _ in range(2):
        padded = np.pad(values, ((3, 3), (0, 0)), constant_values=-np.inf)
        two = np.maximum(padded[:-1], padded[1:])
        four = np.maximum(two[:-2], two[2:])
        values = np.maximum(four[:-3], four[3:]).T
    return values


def _gradient(luma: Grey, sigma: float) -> Grey:
    return np.asarray(ndimage.gaussian_gradient_magnitude(luma, sigma, truncate=3.0))


def _sharpness(luma: Grey, gradient: Grey, field: Mask) -> float:
    """Ratio of the gradient at two scales, after Zhuo and Sim 2011 (Defocus map estimation from a
    single image, section 3), over the whole field instead of along edges.

    White noise of variance v adds v / (4 pi s^4) to the gradient energy at scale s; its variance
    is estimated after Immerkaer 1996 (Fast noise variance estimation), with the median, which
    fine texture disturbs less than the mean.
    """
    second = ndimage.correlate1d(luma, [1, -2, 1], axis=0)
    residual = np.abs(ndimage.correlate1d(second, [1, -2, 1], axis=1)[field])
    noise = (float(np.median(residual)) / 0.6745 / 6) ** 2 / (4 * np.pi)
    fine = np.square(gradient[field]).mean() - noise / 0.8**4
    coarse = np.square(_gradient(luma, 2.0)[field]).mean() - noise / 2.0**4
    return float(np.sqrt(max(fine, 0.0) / max(coarse, 1e-7)))


def _lesion(photo: Grey, field: Mask) -> Mask | None:
    """The dark spot that weighs most near the middle, by Otsu's threshold (1979) on the mean of
    green and blue, in which pigment and blood both are dark.

    None where the two sides of the threshold do not stand apart: less than 0.65 of the variance
    lies between them, or the spot is not 12 % darker than what surrounds it.
    """
    # Hairs are closed first, or a thick coat of them would be the darkest spot.
    hairless = _closed((photo[..., 1] + photo[..., 2]) / np.float32(2))
    value = ndimage.uniform_filter(hairless, 7)[::2, ::2]
    field = field[::2, ::2]
    if not field.any():
        return None
    threshold, separation = _otsu(value[field])
    spots = ndimage.binary_opening((value < threshold) & field, np.ones((3, 3), bool))
    labels, count = ndimage.label(spots)
    if not count or separation < 0.65:
        return None
    height, width = value.shape
    y, x = np.ogrid[:height, :width]
    off_centre = ((y + 0.5) / height - 0.5) ** 2 + ((x + 0.5) / width - 0.5) ** 2
    weights = np.bincount(labels.ravel(), np.exp(-8 * off_centre).ravel())
    spot = np.asarray(ndimage.binary_fill_holes(labels == 1 + weights[1:].argmax()))
    around = field & ~spots & ~spot
    if not around.any() or value[spot].mean() > 0.88 * value[around].mean():
        return None
    return spot.repeat(2, axis=0).repeat(2, axis=1)[: photo.shape[0], : photo.shape[1]]


def _otsu(values: Grey) -> tuple[float, float]:
    """Otsu's threshold and the share of the variance that it explains."""
    counts, edges = np.histogram(values.clip(0, 1), 256, (0, 1))
    centres = (edges[1:] + edges[:-1]) / 2
    share = counts.cumsum() / counts.sum()
    mean = (counts * centres).cumsum() / counts.sum()
    inside = np.maximum(share * (1 - share), 1e-12)
    between = (mean[-1] * share - mean) ** 2 / inside
    best = int(between[:-1].argmax())
    variance = counts @ (centres - mean[-1]) ** 2 / counts.sum()
    return float(edges[best + 1]), float(between[best] / max(variance, 1e-12))


_DEPTH, _LENGTH = 48, 100  # of a window along an edge, in pixels
_FAINT = 0.05  # sum of squared marks below which a window holds no scale
_PERIODS, _TILTS = np.meshgrid(np.arange(4, 24, 0.5), np.radians(np.arange(-30, 31, 3)))


def _ruler(thin_dark: Grey) -> float:
    """The regularity of marks 4 to 23 pixels apart in windows along the four edges.

    In the autocorrelation of the thin dark marks, relative to its value at 0, a scale has peaks
    at one, two and three steps and little between them: the lowest of the three peaks less the
    higher of the two gaps, for the best step and a tilt of at most 30 degrees. Marks fainter than
    0.04 of luminance are left out, and so are windows with next to no marks.
    """
    marks = ndimage.gaussian_filter((thin_dark - 0.04).clip(0, 0.2), 0.7)
    windows = np.stack([w for turns in range(4) for w in _windows(np.rot90(marks, turns))])
    energy = np.square(windows).sum(axis=(1, 2))
    windows, energy = windows[energy > _FAINT], energy[energy > _FAINT]
    if not len(windows):
        return 0.0
    shape = (_DEPTH * 5 // 3, _LENGTH * 8 // 5)  # zeros enough for three of the largest steps
    spectrum = fft.rfft2(windows, shape)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    correlation = fft.irfft2(power, shape)

    def at(steps: float) -> Grey:
        y = np.rint(steps * _PERIODS * np.sin(_TILTS)).astype(int)
        x = np.rint(steps * _PERIODS * np.cos(_TILTS)).astype(int)
        overlap = (1 - np.abs(y) / _DEPTH).clip(0.2) * (1 - x / _LENGTH).clip(0.2)
        return np.asarray(correlation[:, y, x] / (overlap * energy[:, None, None]))

    peaks = np.minimum(np.minimum(at(1), at(2)), at(3))
    gaps = np.maximum(np.maximum(at(0.5), at(1.5)), 0)
    return float((peaks - gaps).max().clip(0, 1))


def _windows(marks: Grey) -> list[Grey]:
    """Two windows (_DEPTH, _LENGTH) along the upper edge, without their mean, filled with zeros."""
    strip = marks[:_DEPTH]
    windows = []
    for part in (strip[:, :_LENGTH], strip[:, -_LENGTH:]):
        window = np.zeros((_DEPTH, _LENGTH), np.float32)
        window[: part.shape[0], : part.shape[1]] = part - part.mean()
        windows.append(window)
    return windows


_LINE = 19  # pixels
_DIRECTIONS = 8


def _hair(thin_dark: Grey, field: Mask, lesion: Mask | None) -> float:
    """Thin dark lines as in DullRazor (Lee et al. 1997): what a closing fills by more than 0.07
    and what holds a straight line of 19 pixels.

    The lesion and its rim are left out, since pigment networks and crusts draw lines too.
    """
    outside = np.zeros_like(field)
    outside[2:-2, 2:-2] = field[2:-2, 2:-2]  # the frame of a framed photo is no hair
    if lesion is not None and _share(lesion) < 0.6:
        outside &= ndimage.distance_transform_cdt(~lesion, "taxicab") > 6
    lines = _line_opening((thin_dark > 0.07) & outside)
    return int(np.count_nonzero(lines)) / max(int(np.count_nonzero(outside)), 1)


def _line_opening(mask: Mask) -> Mask:
    """Union of the openings by lines of _LINE pixels in _DIRECTIONS directions."""
    reach = _LINE // 2
    padded = np.pad(mask, reach)
    flat, opened = padded.ravel(), np.zeros(padded.size, bool)
    dark = np.flatnonzero(flat)
    steps = np.arange(-reach, reach + 1)
    for angle in np.pi / _DIRECTIONS * np.arange(_DIRECTIONS):
        rows = np.rint(steps * np.sin(angle)).astype(int)
        columns = np.rint(steps * np.cos(angle)).astype(int)
        line = rows * padded.shape[1] + columns
        middles = dark
        # The ends first: they rule out most.
        for step in (*line[:reach], *line[:reach:-1]):
            middles = middles[flat[middles + step]]
        opened[middles[:, None] + line] = True
    return opened.reshape(padded.shape)[reach:-reach, reach:-reach]


def _skin(smooth: Grey, luma: Grey, gradient: Grey, field: Mask) -> float:
    """Pixels whose colour may be skin, whatever its tone, and around which little happens.

    Logarithms of channel ratios do not change with brightness, so light and black skin differ
    little in them. The ranges are those of the dermoscopic collections and of the generator's
    seven skin tones, violet and yellow casts included; red must exceed green. Calm: the mean
    gradient in 9 by 9 pixels is below 7 % of the luminance.
    """
    red, green, blue = (smooth[..., channel] + np.float32(0.02) for channel in range(3))
    colour = (
        (red > np.exp(0.005) * green)
        & (red < np.exp(0.9) * green)
        & (green > np.exp(-0.3) * blue)
        & (green < np.exp(0.6) * blue)
        & (red > np.exp(-0.1) * blue)
    )
    around = ndimage.uniform_filter(luma, 9)
    calm = ndimage.uniform_filter(gradient, 9) < 0.07 * (around + 0.05)
    return _share((colour & calm & (around > 0.06))[field])
