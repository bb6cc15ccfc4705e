"""The figures of a comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from cutis.evaluation import style
from cutis.evaluation.figures import grid, training
from cutis.evaluation.names import display_name
from cutis.metrics.bootstrap import Floats
from cutis.studies.comparison.record import Arm, Comparison, Confusion, EntryRecord
from cutis.studies.comparison.words import FIGURE_NAMES, published_figure

_PANELS = ("accuracy", "balanced_accuracy", "f1_macro")
_SHORT = 22  # letters of a diagnosis beside an axis


def draw_all(comparison: Comparison, folder: Path) -> dict[str, bytes]:
    """Writes every figure as PNG and SVG; the SVGs by name."""
    entries = {entry.name: entry for entry in comparison.entries}
    drawn: dict[str, bytes] = {}
    with style.look():
        drawn["figures"] = style.save(_intervals(comparison), folder, "figures")
        for number, arm in enumerate(tqdm(comparison.arms, desc="drawing", disable=None), start=1):
            held = [entries[name] for name in arm.entries]
            histories = [pd.DataFrame(list(entry.history)) for entry in held]
            made = {
                f"curves-{number}": training(*histories, unsafe=arm.unsafe),
                f"confusion-{number}": _confusions(held, unsafe=arm.unsafe),
            }
            drawn |= {name: style.save(picture, folder, name) for name, picture in made.items()}
        for number, (_, counts) in enumerate(shares(comparison), start=1):
            name = f"shares-{number}"
            drawn[name] = style.save(_bars(counts), folder, name)
    return drawn


def shares(comparison: Comparison) -> list[tuple[list[str], Mapping[str, Mapping[str, int]]]]:
    """Each different division of photos, with the arms that have it."""
    found: list[tuple[list[str], Mapping[str, Mapping[str, int]]]] = []
    for arm in comparison.arms:
        for name in arm.entries:
            counts = comparison.entry(name).class_counts
            arms = next((arms for arms, known in found if known == counts), None)
            if arms is None:
                found.append(([arm.name], counts))
            elif arm.name not in arms:
                arms.append(arm.name)
    return found


def _intervals(comparison: Comparison) -> Figure:
    """A line an entry with its interval, an arm in one colour, published figures as lines."""
    entries = [comparison.entry(name) for arm in comparison.arms for name in arm.entries]
    height = 1.6 + 0.26 * len(entries)
    made, axes = style.panels(len(_PANELS), width=3.9, height=height)
    for panel, score in zip(axes, _PANELS, strict=True):
        _points(panel, score, entries, comparison.arms)
        for number, one in enumerate(comparison.published):
            value = published_figure(one, score)
            if value is not None:
                dashes = ("--", ":", "-.")[number % 3]
                panel.axvline(value, color=style.DARK, linestyle=dashes, label=one.name)
        panel.set_title(FIGURE_NAMES[score])
        panel.set_ylim(len(entries) - 0.5, -0.5)
        panel.grid(axis="x", color="#e8ecf0", linewidth=0.8)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(loc="best")
    names = [_marked(entry) for entry in entries]
    axes[0].set_yticks(range(len(names)), names)
    for panel in axes[1:]:
        panel.set_yticks(range(len(names)), [""] * len(names))
    return made


def _points(panel: Axes, score: str, entries: Sequence[EntryRecord], arms: Sequence[Arm]) -> None:
    colours = {
        arm.name: style.COLOURS[number % len(style.COLOURS)] for number, arm in enumerate(arms)
    }
    for place, entry in enumerate(entries):
        figure = entry.figures[score]
        if figure.value is None:
            continue
        colour = colours[entry.arm]
        panel.scatter([figure.value], [place], s=24, color=colour, zorder=3)
        if figure.low is not None and figure.high is not None:
            panel.plot([figure.low, figure.high], [place, place], color=colour)


def _marked(entry: EntryRecord) -> str:
    return f"{entry.name} (UNSAFE)" if entry.unsafe else entry.name


def _confusions(entries: Sequence[EntryRecord], *, unsafe: bool) -> Figure:
    """The training and the judged part, photos summed over the entries."""
    side = max(4.4, 0.5 * len(entries[0].confusion.diagnoses) + 2.4)
    made, (left, right) = style.panels(2, width=side, height=side, unsafe=unsafe)
    _matrix(left, [entry.train_confusion for entry in entries])
    _matrix(right, [entry.confusion for entry in entries])
    left.set_title("Training part")
    right.set_title(f"{entries[0].part.capitalize()} part")
    return made


def _matrix(axes: Axes, confusions: Sequence[Confusion]) -> None:
    """Percent of each row, with the count below it where there is room."""
    names = [_shortened(name) for name in confusions[0].diagnoses]
    counts: Floats = np.sum([confusion.counts for confusion in confusions], axis=0, dtype=float)
    support = counts.sum(axis=1, keepdims=True)
    parts = np.divide(counts, support, out=np.full(counts.shape, np.nan), where=support > 0)
    roomy = len(names) <= 10
    texts = [
        [
            "" if not count else f"{100 * share:.0f} %\n{count:.0f}" if roomy else f"{count:.0f}"
            for count, share in zip(row, shares_of_row, strict=True)
        ]
        for row, shares_of_row in zip(counts, parts, strict=True)
    ]
    grid(axes, parts, texts, names)


def _bars(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Share of each diagnosis in each part."""
    diagnoses = list(dict.fromkeys(name for held in counts.values() for name in held))
    made, (axes,) = style.panels(width=7.5, height=1.4 + 0.32 * len(diagnoses))
    filled = {part: held for part, held in counts.items() if held}
    thickness = 0.8 / max(len(filled), 1)
    for number, (part, held) in enumerate(filled.items()):
        together = sum(held.values())
        places = np.arange(len(diagnoses)) + (number - (len(filled) - 1) / 2) * thickness
        values = [100 * held.get(name, 0) / together for name in diagnoses]
        axes.barh(places, values, height=thickness * 0.9, color=style.COLOURS[number], label=part)
    axes.set_yticks(range(len(diagnoses)), [_shortened(name) for name in diagnoses])
    axes.set_ylim(len(diagnoses) - 0.5, -0.5)
    axes.set_xlabel("percent of the part's photos")
    made.legend(loc="outside lower right", ncols=len(filled))
    return made


def _shortened(class_id: str) -> str:
    name = display_name(class_id)
    return name if len(name) <= _SHORT else name[: _SHORT - 1].rstrip() + "…"
