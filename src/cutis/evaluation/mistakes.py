"""The most confident mistakes, as thumbnails."""

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from tqdm import tqdm

from cutis import html
from cutis.errors import PhotoError
from cutis.evaluation.context import EvaluationContext
from cutis.evaluation.names import display_name
from cutis.evaluation.table import EvaluationTable
from cutis.preprocessing import thumbnail

SHOWN = 24
_SIDE = 176  # pixels


def most_confident(table: EvaluationTable, count: int = SHOWN) -> list[dict[str, Any]]:
    """Wrong answers with the highest probability first; empty without probabilities."""
    if table.probabilities is None:
        return []
    confidence = table.probabilities[np.arange(len(table.photos)), table.predicted_index]
    wrong = np.flatnonzero(table.truth_index != table.predicted_index)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return [
        {
            **{name: _text(table.photos[name].iloc[row]) for name in ("image_id", "path")},
            "truth": table.photos["truth"].iloc[row],
            "predicted": table.photos["predicted"].iloc[row],
            "probability": float(confidence[row]),
            "truth_probability": float(table.probabilities[row, table.truth_index[row]]),
        }
        for row in worst
    ]


def tiles(mistakes: list[dict[str, Any]], context: EvaluationContext) -> Markup:
    """A grid of the photos with truth, answer and probability."""
    made = []
    for mistake in tqdm(mistakes, desc="thumbnails", unit="photo", disable=None):
        stored = mistake["path"]
        name = mistake["image_id"] or stored
        made.append(
            html.element(
                "div",
                picture(None if stored is None else context.file_of(stored), name),
                html.element("div", html.element("code", name)),
                html.element("div", "truth: ", html.element("b", display_name(mistake["truth"]))),
                html.element(
                    "div",
                    f"answer: {display_name(mistake['predicted'])}, {mistake['probability']:.2f}",
                ),
                class_="tile",
            )
        )
    return html.element("div", *made, class_="tiles")


def picture(photo: Path | None, name: str) -> Markup:
    """A thumbnail for a tile, or why there is none."""
    if photo is None:
        return html.element("div", "no path", class_="empty")
    try:
        return html.image(thumbnail(photo, _SIDE), "image/jpeg", name)
    except PhotoError as error:
        return html.element("div", error.problem, class_="empty")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
