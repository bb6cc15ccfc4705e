"""The figures of a segmentation report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from cutis.evaluation import style
from cutis.evaluation.figures import history_panels
from cutis.evaluation.segmentation.assembly import size_terciles
from cutis.evaluation.segmentation.scoring import ScoredMasks
from cutis.metrics.segmentation import JACCARD_THRESHOLD

_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the photo, at the axis


def draw_all(
    scored: ScoredMasks,
    metrics: Mapping[str, Any],
    history: pd.DataFrame | None,
    folder: Path,
    *,
    unsafe: bool,
) -> dict[str, bytes]:
    """Writes every figure as PNG and SVG; the SVGs by name."""
    with style.look():
        made = {
            "jaccard": jaccard(metrics["histogram"], unsafe=unsafe),
            "jaccard_by_size": by_size(scored, unsafe=unsafe),
        }
        if history is not None and len(history):
            made["training"] = training(history, unsafe=unsafe)
        return {name: style.save(picture, folder, name) for name, picture in made.items()}


def jaccard(histogram: Mapping[str, Any], *, unsafe: bool) -> Figure:
    """How many photos reach which Jaccard; failed ones in another colour."""
    made, (axes,) = style.panels(height=3.6, unsafe=unsafe)
    edges = np.array(histogram["edges"])
    failed = edges[:-1] < JACCARD_THRESHOLD - 1e-9
    colours = np.where(failed, style.COLOURS[1], style.COLOURS[0]).tolist()
    axes.bar(edges[:-1], histogram["photos"], np.diff(edges) * 0.94, align="edge", color=colours)
    axes.axvline(JACCARD_THRESHOLD, color=style.DARK, linewidth=1, linestyle=":")
    axes.set(xlim=(0, 1), xlabel="Jaccard", ylabel="photos")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"Photos by Jaccard; failed below {JACCARD_THRESHOLD}")
    return made


def by_size(scored: ScoredMasks, *, unsafe: bool) -> Figure:
    """Jaccard of every photo against its lesion's size, with the median of each third."""
    made, (axes,) = style.panels(height=3.6, unsafe=unsafe)
    known = scored.true_share > 0
    axes.scatter(
        scored.true_share[known],
        scored.jaccard[known],
        s=7,
        color=style.COLOURS[0],
        alpha=0.35,
        linewidth=0,
        rasterized=True,  # ten thousand points would make the page heavy
    )
    for number, (_, low, high, chosen) in enumerate(size_terciles(scored)):
        if chosen.any():
            axes.plot(
                [max(low, scored.true_share[chosen].min()), high],
                [np.median(scored.jaccard[chosen])] * 2,
                color=style.COLOURS[1],
                linewidth=2,
                label=None if number else "median of each third",
            )
    axes.axhline(JACCARD_THRESHOLD, color=style.DARK, linewidth=1, linestyle=":")
    axes.set_xscale("log")
    axes.set_xticks(_SHARES, [f"{100 * share:g} %" for share in _SHARES])
    axes.xaxis.set_minor_locator(NullLocator())
    smallest = scored.true_share[known].min(initial=0.1)
    axes.set(
        xlim=(0.8 * smallest, 1.1),
        ylim=(-0.01, 1.01),
        xlabel="lesion's share of the photo",
        ylabel="Jaccard",
    )
    axes.set_title("Jaccard by lesion size")
    axes.grid(color="#e8ecf0", linewidth=0.8)
    axes.set_axisbelow(True)
    if known.any():
        axes.legend(loc="lower right")
    return made


def training(history: pd.DataFrame, *, unsafe: bool) -> Figure:
    """Loss and Jaccard over the epochs, with the stages' borders."""
    wanted = [
        (title, [name for name in (f"train_{score}", f"validation_{score}") if name in history])
        for title, score in (("Loss", "loss"), ("Jaccard", "jaccard"))
    ]
    return history_panels([history], [panel for panel in wanted if panel[1]], unsafe=unsafe)
