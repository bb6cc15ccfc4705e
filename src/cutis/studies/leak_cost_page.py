"""The page and the figure of a leak-cost study."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from cutis import html
from cutis.evaluation import style
from cutis.evaluation.names import display_name
from cutis.studies.leak_cost_record import Inflation, LeakCost

SCORE_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1_macro": "F1, macro",
    "auroc_macro": "AUROC, macro",
}
PAGE = "page.html"
_FIGURE = "inflation"


def headline(cost: LeakCost) -> str:
    """The study in one sentence, from its first classifier."""
    classifier = cost.inflations[0].classifier
    found = {
        row.test_photos: points(row)
        for row in cost.inflations
        if row.classifier == classifier and row.score == "balanced_accuracy"
    }
    return (
        "Siblings of the test photos in training change the balanced accuracy "
        f"({cost.engine}, {classifier}) by {found['all']} percentage points on all test photos, "
        f"and by {found['with siblings']} on those that have siblings."
    )


def points(row: Inflation) -> str:
    """The inflation in percentage points with its interval, without the unit."""
    if row.inflation is None:
        return "not known"
    text = f"{100 * row.inflation:+.1f}"
    if row.low is None or row.high is None:
        return text
    return f"{text} ({100 * row.low:+.1f} to {100 * row.high:+.1f})"


def write_page(cost: LeakCost, folder: Path) -> None:
    """Writes page.html, inflation.png and inflation.svg."""
    title = f"Leak cost of {cost.recipe}"
    drawn = _drawn(cost.inflations, folder)
    body = html.page(
        title,
        html.element("h1", title),
        html.paragraph(html.element("strong", headline(cost))),
        html.notice(),
        _results(cost, drawn),
        _method(cost),
        _trials(cost),
    )
    (folder / PAGE).write_text(body, encoding="utf-8")


def _results(cost: LeakCost, drawn: bytes) -> Markup:
    rows: list[list[html.Content]] = [
        [
            row.classifier,
            row.test_photos,
            SCORE_NAMES[row.score],
            _percent(row.with_siblings),
            _percent(row.without_siblings),
            points(row),
            row.photos,
            row.groups,
        ]
        for row in cost.inflations
    ]
    head = [
        "Classifier",
        "Test photos",
        "Score",
        "With siblings, %",
        "Without, %",
        "Inflation, points",
    ]
    return html.section(
        "Inflation",
        html.figure(
            drawn,
            "image/svg+xml",
            "Inflation of each score with its interval; the table below holds the numbers",
            "Percentage points that siblings in training add, with 95 % intervals. Test photos "
            "without siblings are the control: only chance and the other training photos act "
            "there.",
        ),
        html.table(
            [*head, "Photos", "Groups"],
            rows,
            caption=f"Means over {len(cost.trials)} seeds. Photos and groups are distinct ones; a "
            "photo may have siblings with one seed and none with another.",
            text_columns=3,
        ),
    )


def _method(cost: LeakCost) -> Markup:
    return html.section(
        "How it was measured",
        html.bullets(
            [
                f"For each seed, {cost.test_share:.0%} of the photos of each diagnosis are test "
                "photos, drawn one by one, as a split by image does. Siblings are the other "
                "photos of their groups: same lesion, same patient, or copies.",
                "Both trainings have the same number of photos of each diagnosis, the same "
                "validation photos and the same seed. The one without siblings uses groups "
                "without a test photo only; the one with siblings has every sibling in place of "
                "as many random photos of the same diagnosis.",
                f"Intervals are paired and resample whole groups {cost.resamples} times; a drawn "
                "group counts in every seed that tested it. They do not cover the chance in "
                "training.",
                f"Training: {cost.engine}; start weights: {cost.weights}; catalog "
                f"{cost.catalog_sha256[:12]}; Cutis {cost.cutis_version}.",
            ]
        ),
    )


def _trials(cost: LeakCost) -> Markup:
    head = ["Seed", "Test", "of them with siblings", "Siblings", "Validation", "Training",
            "Groups in training, with", "without"]  # fmt: skip
    rows = [
        [t.seed, t.test, t.test_with_siblings, t.siblings, t.validation, t.training,
         t.groups_with_siblings, t.groups_without_siblings]
        for t in cost.trials
    ]  # fmt: skip
    by_diagnosis: list[list[html.Content]] = [
        [display_name(name), *(t.training_by_diagnosis[name] for t in cost.trials)]
        for name in cost.diagnoses
    ]
    return html.section(
        "Photos",
        html.table(head, rows),
        html.element("h3", "Training photos of each diagnosis, in both trainings alike"),
        html.table(["Diagnosis", *(f"Seed {t.seed}" for t in cost.trials)], by_diagnosis),
    )


def _drawn(rows: Sequence[Inflation], folder: Path) -> bytes:
    classifiers = list(dict.fromkeys(row.classifier for row in rows))
    subsets = list(dict.fromkeys(row.test_photos for row in rows))
    scores = list(SCORE_NAMES)
    with style.look():
        made, axes = style.panels(len(classifiers), width=4.6, height=3.6)
        for panel, classifier in zip(axes, classifiers, strict=True):
            panel.axvline(0, color=style.FAINT, linewidth=1)
            for subset, colour in zip(subsets, style.COLOURS, strict=False):
                shift = 0.2 * (subsets.index(subset) - (len(subsets) - 1) / 2)
                chosen = [
                    row
                    for row in rows
                    if row.classifier == classifier and row.test_photos == subset
                    and row.inflation is not None
                ]  # fmt: skip
                values = [100 * (row.inflation or 0.0) for row in chosen]
                places = [scores.index(row.score) + shift for row in chosen]
                panel.scatter(values, places, s=22, color=colour, label=subset, zorder=3)
                for row, place in zip(chosen, places, strict=True):
                    if row.low is not None and row.high is not None:
                        panel.plot([100 * row.low, 100 * row.high], [place] * 2, color=colour)
            panel.set_yticks(range(len(scores)), [SCORE_NAMES[score] for score in scores])
            panel.set(xlabel="inflation, percentage points", ylim=(len(scores) - 0.5, -0.5))
            panel.set_title(classifier.capitalize())
        axes[0].legend(title="Test photos", loc="best")
        return style.save(made, folder, _FIGURE)


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{100 * value:.1f}"
