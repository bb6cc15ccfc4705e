"""The curves of a run as a picture."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure


def draw_curves(history: pd.DataFrame, path: Path, scores: Sequence[str]) -> None:
    """The loss, and the scores of these names, by epoch in training and validation, as a PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for column in ("train_loss", "validation_loss"):
        left.plot(history["epoch"], history[column], label=column.replace("_", " "))
    for column in (f"{part}_{score}" for score in scores for part in ("train", "validation")):
        if column in history:
            right.plot(history["epoch"], history[column], label=column.replace("_", " "))
    for axes in (left, right):
        for epoch in history["epoch"][history["stage"] != history["stage"].shift()].iloc[1:]:
            axes.axvline(epoch - 0.5, color="grey", linestyle=":")
        axes.set_xlabel("epoch")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
