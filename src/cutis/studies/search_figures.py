"""The figures of a search."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cutis.evaluation import style
from cutis.recipes.search_space import Parameter, Search, label
from cutis.studies.search_record import Outcome, SearchResult, TrialRecord

OUTCOMES: tuple[Outcome, ...] = ("complete", "pruned", "failed", "invalid", "repeated")
_COLUMNS = 3


def words(monitor: str) -> str:
    """A figure's name for people."""
    return monitor.removeprefix("validation_").replace("_", " ") + " on validation"


def draw_history(result: SearchResult, folder: Path) -> bytes:
    """Writes history.png and .svg: the figure by trial, and the best so far."""
    order = [trial for trial in result.trials if trial.outcome == "complete"]
    best_of = np.minimum if result.lower_is_better else np.maximum
    best = best_of.accumulate([trial.figure or 0.0 for trial in order])
    with style.look():
        made, (panel,) = style.panels(width=8.4, height=3.4, unsafe=result.unsafe)
        _scatter(panel, result.trials, lambda trial: trial.number)
        numbers = [trial.number for trial in order]
        panel.step(numbers, best, where="post", color=style.COLOURS[1], label="best so far")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set(xlabel="trial", ylabel=words(result.monitor))
        panel.legend(loc="best")
        return style.save(made, folder, "history")


def draw_importance(result: SearchResult, folder: Path) -> bytes:
    """Writes importance.png and .svg: a bar a setting."""
    names = list(result.importance)
    with style.look():
        height = 1.0 + 0.32 * len(names)
        made, (panel,) = style.panels(width=8.4, height=height, unsafe=result.unsafe)
        panel.barh(names, list(result.importance.values()), color=style.COLOURS[0], height=0.6)
        panel.invert_yaxis()
        panel.set(xlabel="share", xlim=(0, None))
        return style.save(made, folder, "importance")


def draw_slices(
    result: SearchResult, space: Search, folder: Path
) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Writes slices-1.png and .svg and so on, some settings each: the figure by value."""
    figures = [trial.figure or 0.0 for trial in result.judged()]
    low, high = min(figures), max(figures)
    margin = 0.06 * (high - low) or 0.01
    settings = tuple(space.space)
    for first in range(0, len(settings), _COLUMNS):
        names = settings[first : first + _COLUMNS]
        with style.look():
            made, panels = style.panels(_COLUMNS, width=2.9, height=2.8, unsafe=result.unsafe)
            for panel in panels[len(names) :]:
                panel.set_visible(False)
            for panel, name in zip(panels, names, strict=False):
                panel.set_ylim(low - margin, high + margin)
                _slice(panel, result, name, space.space[name])
            panels[0].set_ylabel(words(result.monitor))
            yield names, style.save(made, folder, f"slices-{first // _COLUMNS + 1}")


def _slice(panel: Axes, result: SearchResult, name: str, parameter: Parameter) -> None:
    choices = [label(choice) for choice in parameter.choices or ()]

    def place(trial: TrialRecord) -> float:
        value = trial.values[name]
        return choices.index(label(value)) if choices else value

    _scatter(panel, [trial for trial in result.trials if name in trial.values], place)
    panel.set_title(name, fontsize=8)
    if choices:
        names = [shorten(choice, 24, placeholder="…") for choice in choices]
        turned = sum(map(len, names)) > 24
        panel.set_xticks(range(len(choices)), names, rotation=30 if turned else 0,
                         ha="right" if turned else "center")  # fmt: skip
        panel.set_xlim(-0.5, len(choices) - 0.5)
    elif parameter.log:
        panel.set_xscale("log")


def _scatter(
    panel: Axes, trials: Sequence[TrialRecord], place: Callable[[TrialRecord], float]
) -> None:
    """A point a trial at its figure: filled where complete, hollow where pruned."""
    for outcome, edge in (("complete", style.COLOURS[0]), ("pruned", style.COLOURS[7])):
        found = [(place(trial), trial.figure) for trial in trials
                 if trial.outcome == outcome and trial.figure is not None]  # fmt: skip
        if found:
            x, y = zip(*found, strict=True)
            fill = edge if outcome == "complete" else "none"
            panel.scatter(x, y, s=22, facecolors=fill, edgecolors=edge, label=outcome, zorder=3)
