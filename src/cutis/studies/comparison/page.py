"""The page of a comparison."""

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from cutis import html
from cutis.evaluation.names import display_name
from cutis.studies.comparison import copies, tables
from cutis.studies.comparison.judging import TRAIN_SAMPLE, Judged
from cutis.studies.comparison.photos import previews, sample
from cutis.studies.comparison.pictures import shares
from cutis.studies.comparison.record import Arm, Comparison
from cutis.studies.comparison.words import UNSAFE


def render(comparison: Comparison, drawn: Mapping[str, bytes], judged: Sequence[Judged]) -> str:
    """The whole page as one self-contained HTML text."""
    first, *others = comparison.verdict
    return html.page(
        comparison.title,
        html.element("h1", comparison.title),
        html.paragraph(html.element("strong", first)),
        *(html.paragraph(sentence) for sentence in others),
        html.unsafe_banner(UNSAFE) if comparison.unsafe else Markup(""),
        html.notice(),
        tables.figures(comparison, drawn),
        copies.section(comparison),
        tables.pairs(comparison),
        tables.epoch_tests(comparison),
        _notes(comparison),
        tables.cost(comparison),
        _by_arm("Curves of every stage", "curves", comparison, drawn, _stages),
        _by_arm("Confusion matrices", "confusion", comparison, drawn, _rows),
        _shares(comparison, drawn),
        _photos(judged),
        _recipes(comparison),
        _method(comparison),
    )


def _notes(comparison: Comparison) -> Markup:
    if not comparison.notes:
        return Markup("")
    return html.section(
        "What was run",
        *(
            html.joined([html.element("h3", heading), html.bullets(texts)])
            for heading, texts in comparison.notes.items()
        ),
    )


def _by_arm(
    title: str,
    drawing: str,
    comparison: Comparison,
    drawn: Mapping[str, bytes],
    caption: Callable[[Arm], str],
) -> Markup:
    """A section with one drawing an arm."""
    figures = [
        html.joined(
            [
                html.element("h3", tables.tagged(arm.name, arm.unsafe)),
                tables.drawing(drawn[f"{drawing}-{number}"], caption(arm)),
            ]
        )
        for number, arm in enumerate(comparison.arms, start=1)
    ]
    return html.section(title, *figures)


def _stages(_: Arm) -> str:
    return "Dashed lines are the borders of stages; each seed is a line."


def _rows(arm: Arm) -> str:
    photos = _summed(len(arm.entries))
    return f"Rows are the truth, coloured by their percentage; photos {photos}."


def _summed(entries: int) -> str:
    return "of one run" if entries == 1 else f"summed over {entries} seeds"


def _shares(comparison: Comparison, drawn: Mapping[str, bytes]) -> Markup:
    made = []
    for number, (arms, counts) in enumerate(shares(comparison), start=1):
        filled = {part: held for part, held in counts.items() if held}
        names = list(dict.fromkeys(name for held in filled.values() for name in held))
        rows: list[list[html.Content]] = [
            [display_name(name), *(_share(held, name) for held in filled.values())]
            for name in names
        ]
        rows.append(["Together", *(sum(held.values()) for held in filled.values())])
        made += [
            html.element("h3", ", ".join(arms)),
            html.table(["Diagnosis", *filled], rows),
            tables.drawing(drawn[f"shares-{number}"], "Share of each diagnosis in each part."),
        ]
    return html.section("Photos by diagnosis and part", *made)


def _share(held: Mapping[str, int], name: str) -> str:
    photos = held.get(name, 0)
    return f"{photos} ({100 * photos / sum(held.values()):.1f} %)"


def _photos(judged: Sequence[Judged]) -> Markup:
    first = judged[0]
    return html.section(
        "Photos",
        html.element("h3", f"Some of the training photos of {first.record.name}"),
        sample(first),
        html.element("h3", "Augmentation"),
        html.paragraph("Above, photos as the network reads them; below, the same as augmented."),
        *(
            html.figure(sheet, "image/jpeg", caption, caption)
            for sheet, caption in previews(judged)
        ),
    )


def _recipes(comparison: Comparison) -> Markup:
    texts = [
        html.joined(
            [
                html.element("h3", arm.name),
                html.element("pre", comparison.entry(arm.entries[0]).recipe_text),
            ]
        )
        for arm in comparison.arms
    ]
    return html.section("Recipes as run", *texts)


def _method(comparison: Comparison) -> Markup:
    formats = sorted({entry.train_format for entry in comparison.entries})
    uses = {
        entry.model.provenance.split_name: entry.test_uses
        for entry in comparison.entries
        if entry.test_uses is not None
    }
    return html.section(
        "How it was measured",
        html.bullets(
            [
                "The judged part is predicted in float32 from the photos' bytes; of the training "
                f"part at most {TRAIN_SAMPLE:,} photos, drawn at random, in "
                f"{' and '.join(formats)} from the decoded photos that training kept.",
                "Intervals of figures and of differences are percentile bootstrap over "
                f"{comparison.resamples} resamples of whole groups. They do not cover the chance "
                "in training; the spread over seeds does.",
                *(
                    f"The test part of the split '{name}' has been evaluated {count} times. The "
                    "more often choices are made by looking at it, the more its figures flatter."
                    for name, count in uses.items()
                ),
                f"Cutis {comparison.cutis_version}.",
            ]
        ),
    )
