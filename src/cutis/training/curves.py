"""The curves of a run as a picture."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure


def draw_curves(history: pd.DataFrame, path: Path) -> None:
    """Loss and accuracies by epoch, training and validation, as a PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for column in ("train_loss", "validation_loss"):
        left.plot(history["epoch"], history[column], label=column.replace("_", " "))
    for column in ("train_accuracy", "validation_accuracy", "validation_balanced_accuracy"):
        right.plot(history["epoch"], history[column], label=column.replace("_", " "))
    for axes in (left, right):
        for epoch in history["epoch"][history["stage"] != history["stage"].shift()].iloc[1:]:
            axes.axvline(epoch - 0.5, color="grey", linestyle=":")
        axes.set_xlabel("epoch")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
