"""The one look of all figures: fonts, sizes, and colours that everybody can tell apart."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#6B6B6B")
"""Okabe and Ito's palette, with its yellow and black replaced by a violet and a grey."""

DARK = "#1d2733"
FAINT = "#c4ccd4"
SEQUENTIAL = "Blues"

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": "#8b96a1",
    "axes.labelcolor": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": DARK,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "cutis",  # the same figure gives the same file
}
UNSAFE_STAMP = "UNSAFE: photos of one lesion stand on both sides of this split"


@contextmanager
def look() -> Iterator[None]:
    """Within it, all that is drawn has the look; the settings of the caller come back."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def panels(
    columns: int = 1, *, width: float = 5.2, height: float = 4.4, unsafe: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, each `width` by `height` inches.

    An unsafe split is written into the picture itself, since pictures travel without their page.
    """
    made = Figure(figsize=(width * columns, height), layout="constrained")
    FigureCanvasAgg(made)
    axes = [made.add_subplot(1, columns, number + 1) for number in range(columns)]
    if unsafe:
        made.suptitle(UNSAFE_STAMP, color="#b3261e", fontsize=9, fontweight="bold")
    return made, axes


def save(made: Figure, folder: Path, name: str) -> bytes:
    """Writes NAME.png and NAME.svg and gives back the SVG for the page."""
    drawn = io.BytesIO()
    made.savefig(folder / f"{name}.png", dpi=160)
    made.set_layout_engine("none")  # laid out once; the second time costs as much as drawing
    made.savefig(drawn, format="svg", metadata={"Date": None})
    (folder / f"{name}.svg").write_bytes(drawn.getvalue())
    return drawn.getvalue()


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Both axes from 0 to 1 at the same scale, with a faint grid."""
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel=x, ylabel=y, aspect="equal")
    axes.grid(color="#e8ecf0", linewidth=0.8)
    axes.set_axisbelow(True)
