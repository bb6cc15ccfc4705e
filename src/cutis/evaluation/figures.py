"""The figures of a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cutis.evaluation import style
from cutis.evaluation.malignant import BinaryView
from cutis.evaluation.names import display_name
from cutis.evaluation.table import EvaluationTable
from cutis.metrics.bootstrap import Floats
from cutis.metrics.ranking import RankedCounts, ranked_counts

_COLOURED = len(style.COLOURS)
_SHORT = 26  # letters of a name beside an axis


def draw_all(
    table: EvaluationTable,
    view: BinaryView | None,
    metrics: Mapping[str, Any],
    history: pd.DataFrame | None,
    folder: Path,
    *,
    unsafe: bool,
) -> dict[str, bytes]:
    """Writes every figure that the table allows as PNG and SVG; the SVGs by name."""
    with style.look():
        counts, shares = confusion(metrics["confusion"], unsafe=unsafe)
        made = {"confusion": counts, "confusion_rows": shares}
        if table.probabilities is not None:
            made["roc"], made["precision_recall"] = curves(table, view, metrics, unsafe=unsafe)
            made["reliability"] = reliability(metrics["calibration"], unsafe=unsafe)
        if history is not None and len(history):
            made["training"] = training(history, unsafe=unsafe)
        return {name: style.save(picture, folder, name) for name, picture in made.items()}


def confusion(matrix: Mapping[str, Any], *, unsafe: bool) -> tuple[Figure, Figure]:
    """Counts, and percent of each row; rows are the truth."""
    counts = np.array(matrix["counts"])
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.full(counts.shape, np.nan), where=support > 0)
    names = [_short(name) for name in matrix["diagnoses"]]
    side = max(4.6, 0.34 * len(names) + 2.6)
    by_count, (left,) = style.panels(width=side, height=side, unsafe=unsafe)
    by_row, (right,) = style.panels(width=side, height=side, unsafe=unsafe)
    grid(left, shares, [[str(cell) if cell else "" for cell in row] for row in counts], names)
    percent = [["" if not cell > 0 else f"{100 * cell:.0f}" for cell in row] for row in shares]
    grid(right, shares, percent, names)
    left.set_title("Photos")
    right.set_title("Percent of each row")
    return by_count, by_row


def grid(axes: Axes, shares: Floats, texts: Sequence[Sequence[str]], names: list[str]) -> None:
    """A confusion matrix: cells coloured by their share of the row, with a text each."""
    axes.imshow(np.nan_to_num(shares), cmap=style.SEQUENTIAL, vmin=0, vmax=1)
    size = 9 if len(names) <= 10 else 5.5
    for row, cells in enumerate(texts):
        for column, text in enumerate(cells):
            colour = "white" if shares[row, column] > 0.55 else style.DARK
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=8 if len(names) <= 10 else 6.5)
    axes.set(xlabel="answer", ylabel="truth")
    axes.spines[:].set_visible(False)


def curves(
    table: EvaluationTable, view: BinaryView | None, metrics: Mapping[str, Any], *, unsafe: bool
) -> tuple[Figure, Figure]:
    """ROC and precision-recall curves of each diagnosis against the rest."""
    roc, (roc_axes,) = style.panels(height=6.3, unsafe=unsafe)
    recall, (recall_axes,) = style.panels(height=6.3, unsafe=unsafe)
    style.unit_square(roc_axes, "1 - specificity", "sensitivity")
    style.unit_square(recall_axes, "sensitivity (recall)", "precision")
    roc_axes.plot([0, 1], [0, 1], color=style.FAINT, linewidth=1, linestyle=":")
    for look, entry, counts in _one_against_rest(table, metrics):
        roc_axes.plot(*_roc_points(counts), **_label(look, entry, "auroc"))
        recall_axes.plot(*_recall_points(counts), **_label(look, entry, "average_precision"))
    if view is not None and view.scores is not None:
        area = metrics["malignant"]["auroc"]["value"]
        if area is not None:
            ones = np.ones((1, view.scores.size))
            counts = ranked_counts(view.scores, view.positive, ones)
            name = f"Malignant or not  {area:.2f}"
            roc_axes.plot(*_roc_points(counts), color=style.DARK, linewidth=2.2, label=name)
    roc_axes.set_title("ROC (area)")
    recall_axes.set_title("Precision and recall (average precision)")
    for made, axes in ((roc, roc_axes), (recall, recall_axes)):
        if axes.get_legend_handles_labels()[0]:
            made.legend(loc="outside lower left", ncols=2)
    return roc, recall


def _one_against_rest(
    table: EvaluationTable, metrics: Mapping[str, Any]
) -> list[tuple[dict[str, Any], Mapping[str, Any], RankedCounts]]:
    """Line style, entry and counts of each diagnosis with an AUROC; those with most photos last."""
    if table.probabilities is None:
        return []
    ones = np.ones((1, table.truth_index.size))
    entries = [
        (index, entry)
        for index, entry in enumerate(metrics["per_diagnosis"])
        if entry["auroc"]["value"] is not None
    ]
    ranked = sorted(entries, key=lambda pair: -pair[1]["photos"])
    coloured = {index for index, _ in ranked[:_COLOURED]}
    colours = iter(style.COLOURS)
    made = []
    for index, entry in entries:
        look: dict[str, Any] = {"color": style.FAINT, "linewidth": 0.7, "zorder": 1}
        if index in coloured:
            look = {"color": next(colours), "linewidth": 1.4}
        scores = table.probabilities[:, index]
        made.append((look, entry, ranked_counts(scores, table.truth_index == index, ones)))
    return made


def _label(look: dict[str, Any], entry: Mapping[str, Any], score: str) -> dict[str, Any]:
    if look["color"] == style.FAINT:
        return look
    return {**look, "label": f"{_short(entry['diagnosis'])}  {entry[score]['value']:.2f}"}


def _roc_points(counts: RankedCounts) -> tuple[Floats, Floats]:
    return (
        np.append(0.0, counts.false_positives[0] / counts.negatives[0]),
        np.append(0.0, counts.true_positives[0] / counts.positives[0]),
    )


def _recall_points(counts: RankedCounts) -> tuple[Floats, Floats]:
    answered = counts.true_positives[0] + counts.false_positives[0]
    return counts.true_positives[0] / counts.positives[0], counts.true_positives[0] / answered


def reliability(calibration: Mapping[str, Any], *, unsafe: bool) -> Figure:
    """Accuracy by confidence, before and, where there is a temperature, after scaling."""
    shown = [("Before temperature scaling", calibration["before"])]
    if calibration["after"]:
        title = f"After, temperature {calibration['temperature']:.2f}"
        shown.append((title, calibration["after"]))
    made, axes = style.panels(len(shown), width=4.2, height=4.2, unsafe=unsafe)
    for panel, (title, scores) in zip(axes, shown, strict=True):
        _bars(panel, scores["reliability"])
        error = scores["calibration_error"]["value"]
        panel.set_title(f"{title}\ncalibration error {error:.3f}")
    return made


def _bars(axes: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    style.unit_square(axes, "confidence of the top answer", "share that was right")
    axes.plot([0, 1], [0, 1], color="#8b96a1", linewidth=1, linestyle=":")
    filled = [bar for bar in bins if bar["photos"]]
    width = bins[0]["high"] - bins[0]["low"]
    left = [bar["low"] for bar in filled]
    axes.bar(
        left,
        [bar["accuracy"] for bar in filled],
        width=width * 0.94,
        align="edge",
        color=style.COLOURS[0],
        alpha=0.85,
    )
    sizes = np.array([bar["photos"] for bar in filled], float)
    axes.scatter(
        [bar["confidence"] for bar in filled],
        [bar["accuracy"] for bar in filled],
        s=8 + 90 * sizes / sizes.max(),
        color=style.COLOURS[1],
        edgecolor="white",
        linewidth=0.6,
        zorder=3,
        label="mean, by number of photos",
    )
    axes.legend(loc="upper left")


def training(*histories: pd.DataFrame, unsafe: bool) -> Figure:
    """Loss and accuracy over the epochs of one run, or of several seeds, with the stages' borders.

    Precision and recall have a panel of their own where the history holds them.
    """
    first = histories[0]
    others = [name for name in map(str, first) if "precision" in name or "recall" in name]
    wanted: list[tuple[str, list[str]]] = [
        ("Loss", ["train_loss", "validation_loss"]),
        ("Accuracy", ["train_accuracy", "validation_accuracy", "validation_balanced_accuracy"]),
        *([("Precision and recall", others)] if others else []),
    ]
    return history_panels(histories, wanted, unsafe=unsafe)


def history_panels(
    histories: Sequence[pd.DataFrame], wanted: Sequence[tuple[str, list[str]]], *, unsafe: bool
) -> Figure:
    """A panel for each title in `wanted` with the columns that stand beside it, over the epochs."""
    first = histories[0]
    made, axes = style.panels(len(wanted), width=4.2, height=3.4, unsafe=unsafe)
    for panel, (title, names) in zip(axes, wanted, strict=True):
        for name, colour in zip(names, style.COLOURS, strict=False):
            if name in first:
                label = name.removesuffix("_" + title.lower()).replace("_", ", ")
                _lines(panel, histories, name, colour, label)
        for epoch in _stage_starts(first):
            panel.axvline(epoch - 0.5, color=style.FAINT, linestyle="--", linewidth=1)
        panel.set(xlabel="epoch")
        panel.set_title(title)
        panel.grid(color="#e8ecf0", linewidth=0.8)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.legend()
    return made


def _lines(
    panel: Axes, histories: Sequence[pd.DataFrame], name: str, colour: str, label: str
) -> None:
    for number, history in enumerate(histories):
        panel.plot(
            history["epoch"],
            pd.to_numeric(history[name], errors="coerce"),
            color=colour,
            label=label if number == 0 else None,
            alpha=1.0 if len(histories) == 1 else 0.7,
            marker="o" if len(history) < 30 else "",
            markersize=3,
        )


def _stage_starts(history: pd.DataFrame) -> list[int]:
    if "stage" not in history:
        return []
    stages = history["stage"].to_numpy()
    return [int(history["epoch"].iloc[n]) for n in np.flatnonzero(stages[1:] != stages[:-1]) + 1]


def _short(class_id: str) -> str:
    name = display_name(class_id)
    return name if len(name) <= _SHORT else name[: _SHORT - 1].rstrip() + "…"
