"""The tables of a comparison's page: figures, differences, epochs, cost."""

from collections.abc import Mapping

from markupsafe import Markup

from cutis import html
from cutis.evaluation.report import stacked
from cutis.studies.comparison.copies import together
from cutis.studies.comparison.pairs import TESTED
from cutis.studies.comparison.record import (
    Arm,
    Comparison,
    EntryRecord,
    EpochTestRecord,
    Figure,
    Pair,
    PublishedRecord,
)
from cutis.studies.comparison.words import (
    FIGURE_NAMES,
    NOT_INDEPENDENT,
    figure_name,
    names_of,
    p_words,
    published_figure,
)

_COSTS = {
    "parameters": ("Parameters", "{:,.0f}"),
    "megabytes": ("Size, MB", "{:.1f}"),
    "epochs": ("Epochs", "{:.0f}"),
    "seconds": ("Training, s", "{:,.0f}"),
    "milliseconds": ("CPU, ms a photo", "{:.1f}"),
}


def figures(comparison: Comparison, drawn: Mapping[str, bytes]) -> Markup:
    """Published figures, arms and runs below each other, a column a figure."""
    names = _known(comparison)
    rows = [[one.name, *(_published_cell(one, name) for name in names)]
            for one in comparison.published]  # fmt: skip
    for arm in comparison.arms:
        if len(arm.entries) > 1:
            rows.append([_arm_name(arm), *(_arm_cell(arm, name) for name in names)])
        entries = [comparison.entry(name) for name in arm.entries]
        rows += [[_run_name(entry), *(_run_cell(entry, name) for name in names)]
                 for entry in entries]  # fmt: skip
    return html.section(
        "Figures",
        drawing(
            drawn["figures"],
            "Each run with its 95 % interval over resampled groups; runs of one arm have one "
            "colour, published figures are lines.",
        ),
        html.table(
            ["", *map(figure_name, names)],
            rows,
            caption="Below a run's figure its 95 % interval, below a mean the range over the "
            "seeds, then the figure on the training part.",
        ),
    )


def _known(comparison: Comparison) -> list[str]:
    """The figures that are known of anything; those on the training part stand in their cells."""
    ours = {name for arm in comparison.arms for name in arm.figures}
    given = dict.fromkeys(
        name.removeprefix("train_") for one in comparison.published for name in one.figures
    )
    shared = [name for name in FIGURE_NAMES if ours & {name} or given.keys() & names_of(name)]
    covered = {*_COSTS, *(other for name in shared for other in names_of(name))}
    return shared + [name for name in given if name not in covered]


def _published_cell(one: PublishedRecord, name: str) -> html.Content:
    value, train = published_figure(one, name), published_figure(one, f"train_{name}")
    return _cell("–" if value is None else f"{value:.3f}", train)


def _arm_name(arm: Arm) -> Markup:
    return _below(tagged(arm.name, arm.unsafe), f"mean of {len(arm.entries)} seeds")


def _run_name(entry: EntryRecord) -> Markup:
    judged = f"{entry.part}, {entry.photos} photos of {entry.groups} groups"
    copied = together(entry.copies.by_diagnosis).copied
    if copied:
        judged += f", {copied} of them also in training"
    return _below(tagged(entry.name, entry.unsafe), judged)


def _arm_cell(arm: Arm, name: str) -> html.Content:
    spread = arm.figures.get(name)
    if spread is None:
        return "–"
    figure = Figure(value=spread.mean, low=spread.low, high=spread.high)
    return _cell(stacked(figure.model_dump()), arm.train_figures[name].mean)


def _run_cell(entry: EntryRecord, name: str) -> html.Content:
    if name not in entry.figures:
        return "–"
    return _cell(stacked(entry.figures[name].model_dump()), entry.train_figures[name])


def _cell(shown: html.Content, train: float | None) -> html.Content:
    return shown if train is None else _below(shown, f"train {train:.3f}")


def _below(shown: html.Content, note: str) -> Markup:
    """Something with a small note below it."""
    small = html.element("span", note, class_="interval")
    return html.joined([shown, Markup("<br>"), small], "")


def pairs(comparison: Comparison) -> Markup:
    """Every pair with its tests, and why there are no others."""
    title = "Which differences hold"
    why = html.bullets(comparison.unpaired) if comparison.unpaired else Markup("")
    if not comparison.pairs:
        single = len(comparison.entries) == 1
        text = (
            "A single run has nothing to be compared with."
            if single
            else "No two arms were judged on the same photos for the same diagnoses."
        )
        return html.section(title, html.paragraph(text), why)
    clustered = any(pair.groups < pair.photos for pair in comparison.pairs)
    binary = any(pair.area for pair in comparison.pairs)
    head = ["Second less first", "Only one right", "McNemar mid-p", "Holm",
            *(f"{FIGURE_NAMES[name]}, points" for name in TESTED),
            *(["AUROC, points", "DeLong p", "Holm"] if binary else []),
            "Agreement, kappa"]  # fmt: skip
    return html.section(
        title,
        html.table(
            head,
            [_pair_row(comparison, pair, binary) for pair in comparison.pairs],
            caption="Only one right: photos on which only the second, and only the first, was "
            "right. Differences in percentage points with 95 % intervals from the paired "
            "bootstrap over groups. Holm: p corrected for the number of pairs.",
        ),
        html.paragraph(NOT_INDEPENDENT) if clustered else Markup(""),
        why,
    )


def _pair_row(comparison: Comparison, pair: Pair, binary: bool) -> list[html.Content]:
    first, second = (
        tagged(name, comparison.entry(name).unsafe) for name in (pair.first, pair.second)
    )
    row: list[html.Content] = [
        html.joined([second, "less", first], " "),
        f"{pair.only_second}, {pair.only_first}",
        p_words(pair.mcnemar_mid_p),
        p_words(pair.mcnemar_holm),
        *(_gain(pair.differences[name]) for name in TESTED),
    ]
    if binary:
        area = "–" if pair.area is None else _gain(pair.area)
        row += [area, p_words(pair.delong_p), p_words(pair.delong_holm)]
    return [*row, stacked(pair.kappa.model_dump())]


def _gain(figure: Figure) -> html.Content:
    """A difference in percentage points above its interval."""
    if figure.value is None:
        return "–"
    value = f"{100 * figure.value:+.1f}"
    if figure.low is None or figure.high is None:
        return value
    return _below(value, f"{100 * figure.low:+.1f} to {100 * figure.high:+.1f}")


def epoch_tests(comparison: Comparison) -> Markup:
    """The published test on epochs, with the pair that says what holds beside it."""
    rows = [
        _epoch_row(comparison, entry, test)
        for entry in comparison.entries
        for test in entry.epoch_tests
    ]
    if not rows:
        return Markup("")
    return html.section(
        "The t-test on epochs, as papers run it",
        html.paragraph(
            "Epochs of one run are not independent samples: each starts from the weights of the "
            "one before, and one run says nothing about the next. These p-values and intervals "
            "are shown since papers publish them; they do not hold. What holds stands in the last "
            "column: the run cut off after either stage, on the same photos."
        ),
        html.table(
            ["Run", "Stages", "Figure by epoch", "Epochs", "Gain, points", "t", "p",
             "What holds: accuracy, points"],
            rows,
            caption="Paired on the first epochs that all stages have; below a gain its bootstrap "
            "interval over epochs, as published.",
            text_columns=3,
        ),
    )  # fmt: skip


def _epoch_row(
    comparison: Comparison, entry: EntryRecord, test: EpochTestRecord
) -> list[html.Content]:
    return [
        tagged(entry.name, entry.unsafe),
        f"{test.second_stage} after {test.first_stage}",
        test.score.replace("_", " "),
        test.pairs,
        _gain(test.gain),
        "–" if test.t is None else f"{test.t:.2f}",
        p_words(test.p_value),
        _honest(comparison, test),
    ]


def _honest(comparison: Comparison, test: EpochTestRecord) -> html.Content:
    """The pair of the two cut-off runs, turned so that it is the later stage less the earlier."""
    if test.honest is None:
        return "not known: compare the recipe cut off after each stage"
    earlier, later = test.honest
    for pair in comparison.pairs:
        if {pair.first, pair.second} == {earlier, later}:
            gain = pair.differences["accuracy"]
            shown = _gain(gain if pair.first == earlier else _turned(gain))
            return _below(shown, f"mid-p {p_words(pair.mcnemar_mid_p)}")
    return "not known: the two are not tested against each other"


def cost(comparison: Comparison) -> Markup:
    """Parameters, size and times of every run, below what was published of them."""
    rows: list[list[html.Content]] = [
        [one.name, *(_cost_cell(one.figures.get(name), name) for name in _COSTS)]
        for one in comparison.published
        if set(_COSTS) & set(one.figures)
    ]
    for entry in comparison.entries:
        of_entry = entry.cost.model_dump()
        rows.append([entry.name, *(_cost_cell(of_entry[name], name) for name in _COSTS)])
    return html.section(
        "Cost",
        html.table(
            ["Run", *(title for title, _ in _COSTS.values())],
            rows,
            caption="A run on segmented lesions with the segmenter that it needs; its training "
            "without. Size of the 32-bit weights. Training is the sum over the epochs on the "
            "machine that trained. CPU: one photo at a time, without decoding, median of 20 on "
            f"this machine (threads: {comparison.threads}). Published times are of other "
            "machines.",
        ),
    )


def _cost_cell(value: float | None, name: str) -> str:
    return "–" if value is None else _COSTS[name][1].format(value)


def tagged(name: str, unsafe: bool) -> Markup:
    """A name, marked where its split leaks."""
    return html.joined([name, html.tag("UNSAFE")] if unsafe else [name], " ")


def drawing(svg: bytes, caption: str) -> Markup:
    """A drawn figure with its caption."""
    return html.figure(svg, "image/svg+xml", caption, caption)


def _turned(figure: Figure) -> Figure:
    """The same difference the other way round."""
    low, value, high = (
        None if number is None else -number for number in (figure.high, figure.value, figure.low)
    )
    return Figure(value=value, low=low, high=high)
