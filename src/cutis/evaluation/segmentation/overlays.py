"""Photos with the true and the predicted outline drawn into them."""

import io
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from cutis import html
from cutis.errors import PhotoError
from cutis.evaluation.context import ReportContext
from cutis.evaluation.names import display_name
from cutis.evaluation.segmentation.examples import SIDE, Example
from cutis.metrics.segmentation import Mask
from cutis.preprocessing import decode

# Okabe and Ito's sky blue and yellow: both stand out on skin and on lesions, and nobody takes one
# for the other. The truth is dashed as well, for prints without colour.
TRUTH, PREDICTED = (86, 180, 233), (240, 228, 66)
_EDGE = (29, 39, 51)
_DASH, _GAP = 9, 6  # pixels of outline


def tiles(shown: Iterable[tuple[dict[str, Any], Example]], context: ReportContext) -> Markup:
    """A grid of photos with their outlines, Jaccard and areas."""
    made = [
        html.element(
            "div",
            _picture(entry, example, context),
            html.element("div", html.element("code", entry["image_id"])),
            html.element("div", _what(entry)),
            html.element("div", "Jaccard ", html.element("b", f"{entry['jaccard']:.3f}")),
            html.element("div", _areas(entry), class_="soft"),
            class_="tile whole",
        )
        for entry, example in tqdm(list(shown), desc="overlays", unit="photo", disable=None)
    ]
    grid = "grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr))"
    return html.element("div", *made, class_="tiles", style=grid)


def legend() -> Markup:
    """Which outline is which."""
    return html.paragraph(
        _swatch(TRUTH, "dashed"), " true outline, ", _swatch(PREDICTED, "solid"), " predicted"
    )


def overlay(rgb: NDArray[np.uint8], predicted: Mask, truth: Mask) -> NDArray[np.uint8]:
    """The photo (height, width, 3) with both outlines; the masks are brought to its size."""
    made = rgb.copy()
    height, width = made.shape[:2]
    for mask, colour, dashed in ((predicted, PREDICTED, False), (truth, TRUTH, True)):
        sized = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(sized, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            parts = (
                _dashes(np.asarray(outline, np.int32))
                if dashed
                else [np.concatenate([outline, outline[:1]])]
            )
            for line, thickness in ((_EDGE, 4), (colour, 2)):
                cv2.polylines(made, parts, False, line, thickness, cv2.LINE_AA)
    return made


def _dashes(outline: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    starts = range(0, len(outline), _DASH + _GAP)
    return [outline[start : start + _DASH] for start in starts]


def _picture(entry: dict[str, Any], example: Example, context: ReportContext) -> Markup:
    if entry["path"] is None:
        return html.element("div", "no path", class_="empty")
    try:
        rgb = decode(context.file_of(entry["path"]), at_least=SIDE)
    except PhotoError as error:
        return html.element("div", error.problem, class_="empty")
    image = Image.fromarray(rgb)
    image.thumbnail((SIDE, SIDE))
    drawn = overlay(np.asarray(image), example.predicted, example.truth)
    written = io.BytesIO()
    # Thin coloured lines would be smeared by the usual subsampling of colour.
    Image.fromarray(drawn).save(written, "JPEG", quality=80, subsampling=0)
    return html.image(written.getvalue(), "image/jpeg", f"{entry['image_id']} with both outlines")


def _what(entry: dict[str, Any]) -> str:
    known = entry["diagnosis"]
    return "diagnosis not known" if known is None else display_name(known)


def _areas(entry: dict[str, Any]) -> str:
    predicted = entry["predicted_share"]
    found = f"{100 * predicted:.1f} % found" if predicted else "nothing found"
    return f"{100 * entry['true_share']:.1f} % of the photo, {found}"


def _swatch(colour: tuple[int, int, int], line: str) -> Markup:
    dark = "rgb({},{},{})".format(*_EDGE)
    drawn = "rgb({},{},{})".format(*colour)
    look = (
        f"display:inline-block;width:2.6em;height:1em;vertical-align:middle;background:{dark};"
        f"border-radius:3px;padding:.42em .3em"
    )
    inner = f"display:block;border-top:.18em {line} {drawn}"
    return html.element("span", html.element("span", style=inner), style=look)
