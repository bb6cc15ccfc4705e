"""The page of a search: its history, which settings mattered, every trial."""

import tempfile
from functools import partial
from pathlib import Path
from shutil import copyfile

from markupsafe import Markup

from cutis import html
from cutis.recipes.search_space import Parameter, Search, label
from cutis.storage import commit_files
from cutis.studies import search_figures as figures
from cutis.studies.search_record import SearchResult, TrialRecord
from cutis.studies.search_study import NEEDED_FOR_IMPORTANCE

PAGE = "page.html"


def headline(result: SearchResult) -> str:
    """The search in one sentence."""
    best = result.ranked()[0]
    return (
        f"Trial {best.number:04d} of {len(result.trained())} has the best "
        f"{figures.words(result.monitor)}, {best.figure:.4f}. The figure is optimistic: it was "
        "chosen on these validation photos. The test part was not read."
    )


def value_text(value: object) -> str:
    """A drawn value for people; a setting that was not drawn is a dash."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else label(value)


def write_page(result: SearchResult, space: Search, folder: Path) -> None:
    """Writes page.html and its figures as PNG and SVG, together."""
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        (made / PAGE).write_text(_page(result, space, made), encoding="utf-8")
        commit_files(
            folder, {file.name: partial(copyfile, file) for file in sorted(made.iterdir())}
        )


def _page(result: SearchResult, space: Search, folder: Path) -> str:
    title = f"Search over {result.terms.recipe}"
    unsafe = "The split lets photos of one lesion stand on both sides, so every figure is too high."
    return html.page(
        title,
        html.element("h1", title),
        html.paragraph(html.element("strong", headline(result))),
        html.notice(),
        *([html.unsafe_banner(unsafe)] if result.unsafe else []),
        _history(result, folder),
        _importance(result, folder),
        _slices(result, space, folder),
        _trials(result, space),
        _method(result, space),
    )


def _history(result: SearchResult, folder: Path) -> Markup:
    counts = result.counts()
    seconds = sum(trial.seconds for trial in result.trials)
    ended = ", ".join(f"{counts.get(name, 0)} {name}" for name in figures.OUTCOMES)
    return html.section(
        "History",
        html.figure(
            figures.draw_history(result, folder),
            "image/svg+xml",
            f"The {figures.words(result.monitor)} of every trial and the best so far",
            "A point a trial; the line is the best so far. A pruned trial stands where it was "
            "when it was stopped.",
        ),
        html.paragraph(f"Trials: {ended}. {_duration(seconds)} of training in all."),
    )


def _importance(result: SearchResult, folder: Path) -> Markup:
    if not result.importance:
        judged = len(result.judged())
        text = f"Needs {NEEDED_FOR_IMPORTANCE} complete or pruned trials; there are {judged}."
        return html.section("Importance of the settings", html.paragraph(text))
    return html.section(
        "Importance of the settings",
        html.figure(
            figures.draw_importance(result, folder),
            "image/svg+xml",
            "; ".join(f"{name} {share:.2f}" for name, share in result.importance.items()),
            "The share of each setting in reaching the best quarter of the trials (PED-ANOVA); a "
            "pruned trial counts with its figure until then. With few trials the shares move from "
            "search to search.",
        ),
    )


def _slices(result: SearchResult, space: Search, folder: Path) -> Markup:
    drawn = [
        html.image(data, "image/svg+xml", f"The figure by {', '.join(names)}; see the table")
        for names, data in figures.draw_slices(result, space, folder)
    ]
    text = "A point a trial, against what it was given for each setting; pruned trials are hollow."
    return html.section("Slices", html.paragraph(text), *(html.element("figure", d) for d in drawn))


def _trials(result: SearchResult, space: Search) -> Markup:
    best = result.ranked()[0]
    head = ["Trial", "Ended", "Figure", *map(_breakable, space.space), "Epochs", "Seconds"]
    reasons = [f"Trial {t.number:04d}, {t.outcome}: {t.reason}" for t in result.trials if t.reason]
    return html.section(
        "Trials",
        html.table(
            head,
            [_row(trial, trial == best, space) for trial in result.trials],
            caption=f"Figure: {figures.words(result.monitor)}. A dash: not drawn, since the "
            "condition of the setting did not hold. Seconds are those of the epochs.",
            text_columns=3 + len(space.space),
        ),
        html.bullets(reasons) if reasons else "",
    )


def _row(trial: TrialRecord, best: bool, space: Search) -> list[html.Content]:
    number = f"{trial.number:04d}"
    return [
        html.joined([number, html.tag("best")], " ") if best else number,
        trial.outcome,
        "–" if trial.figure is None else f"{trial.figure:.4f}",
        *(value_text(trial.values.get(name)) for name in space.space),
        trial.epochs or "–",
        f"{trial.seconds:.1f}" if trial.epochs else "–",
    ]


def _method(result: SearchResult, space: Search) -> Markup:
    terms = result.terms
    pruning = "None: every trial trained to its end."
    if space.pruning is not None:
        first, factor = space.pruning.min_epochs, space.pruning.factor
        pruning = (
            f"Successive halving after {first}, {first * factor}, {first * factor**2} … epochs; a "
            f"trial goes on if it is among the best 1/{factor} of those that came so far."
        )
    drawn = {"random": "independent random draws", "tpe": "TPE, multivariate"}[terms.sampler]
    rows = [
        [html.element("code", name), _range(parameter), _conditions(parameter)]
        for name, parameter in space.space.items()
    ]
    return html.section(
        "How it was searched",
        html.bullets(
            [
                f"Sampler: {drawn}, seed {terms.seed}. Wanted: {result.wanted} trials.",
                f"Pruning: {pruning}",
                "Invalid points contradict themselves or the data, repeated ones were drawn "
                "before; neither was trained, and neither counts.",
                f"Start weights: {terms.weights[:12]}; catalog {terms.catalog_sha256[:12]}; split "
                f"{terms.split_name} {terms.split_sha256[:12]}; Cutis {result.cutis_version}.",
            ]
        ),
        html.table(["Setting", "Drawn from", "Only where"], rows, text_columns=3),
    )


def _breakable(name: str) -> str:
    """The name with places where a narrow heading may break."""
    return name.replace(".", ".\u200b").replace("_", "_\u200b")


def _range(parameter: Parameter) -> str:
    if parameter.choices is not None:
        return " | ".join(label(choice) for choice in parameter.choices)
    low, high, step = parameter.ends()
    scale = ", logarithmic" if parameter.log else ""
    return f"{low:g} to {high:g}{scale}" + (f", in steps of {step:g}" if step else "")


def _conditions(parameter: Parameter) -> str:
    return " and ".join(
        f"{parent} is {' or '.join(label(value) for value in wanted)}"
        for parent, wanted in parameter.when.items()
    )


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 36000 else f"{seconds / 3600:.1f} hours"
