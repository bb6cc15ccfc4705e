"""What a reproduction found: the record, and what it says in words."""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import Field

from cutis.recipes.paper import Way
from cutis.records import FORMAT_VERSION, Record
from cutis.studies.comparison import Comparison
from cutis.studies.comparison.copies import copied_words, together
from cutis.studies.comparison.record import Copied, PublishedRecord, Spread
from cutis.studies.comparison.words import published_figure

FIGURE_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision_macro": "macro precision",
    "f1_macro": "macro F1",
    "malignant_recall": "malignant recall",
    "malignant_precision": "malignant precision",
}


class Row(Record):
    """One figure of one recipe, three times; ours over the seeds."""

    recipe: str
    figure: str  # a key of FIGURE_NAMES
    published: float | None
    as_published: Spread | None  # null where this arm was not run
    leak_free: Spread | None


class Reproduction(Record):
    """`reproduction.json`. `rows` and `conclusions` are empty while trainings run."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    name: str
    recipes: tuple[str, ...]
    catalog_sha256: str
    weights: str
    segmenter_sha256: str | None = None  # of its weights; null: whole photos
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    siblings: dict[Way, float]  # share of the judged photos with another of their group in training
    copies: dict[Way, dict[str, Copied]] = Field(default_factory=dict)  # by diagnosis
    known_to_segmenter: dict[Way, int] = Field(default_factory=dict)  # judged photos, by groups
    rows: tuple[Row, ...] = ()
    conclusions: tuple[str, ...] = ()


def rows_of(
    recipe: str,
    published: dict[str, float],
    comparison: Comparison,
    as_published: str | None,
    leak_free: str | None,
) -> tuple[Row, ...]:
    """The rows of a recipe; the last two arguments name its arms in the comparison."""
    paper = PublishedRecord(name=recipe, figures=published)
    figures = {arm.name: arm.figures for arm in comparison.arms}
    ours = [figures.get(name or "", {}) for name in (as_published, leak_free)]
    return tuple(
        Row(recipe=recipe, figure=figure, published=published_figure(paper, figure),
            as_published=ours[0].get(figure), leak_free=ours[1].get(figure))
        for figure in FIGURE_NAMES
        if any(figure in arm for arm in ours)
    )  # fmt: skip


def conclusions_of(
    rows: tuple[Row, ...],
    siblings: dict[Way, float],
    judged_on: str,
    copies: Mapping[Way, Mapping[str, Copied]] = MappingProxyType({}),
) -> tuple[str, ...]:
    """A sentence a recipe on the accuracy of both ways, and one on what the difference is.

    With copies the judged parts differ in how frequent the diagnoses are, so the sentence is on
    balanced accuracy. None where one way was not run. `siblings` and `copies`: see
    `Reproduction`; `judged_on`: the paper's part.
    """
    copied = together(copies.get(Way.PUBLISHED, {})).copied
    figure = "balanced_accuracy" if copied else "accuracy"
    sentences = []
    for row in rows:
        means = [None if arm is None else arm.mean for arm in (row.as_published, row.leak_free)]
        if row.figure != figure or means[0] is None or means[1] is None:
            continue
        points = round(100 * (means[1] - means[0]), 1) + 0.0  # no minus zero
        sentences.append(
            f"{row.recipe}: {FIGURE_NAMES[figure]} is {means[0]:.3f} as published and "
            f"{means[1]:.3f} leak-free ({points:+.1f} points)."
        )
    if not sentences:
        return ()
    leaked = siblings[Way.PUBLISHED]
    if leaked:
        reason = (
            f"As published, {leaked:.0%} of the judged photos have another photo of their lesion, "
            "or a copy, in training. Both ways were trained anew and judged on different photos: "
            "chance is in the difference too; cutis leak-cost prices the leak on the same photos."
        )
    else:
        reason = (
            "No judged photo is known to have another of its lesion, or a copy, in training, "
            "either way: these photos cannot show the leak."
        )
    if judged_on == "validation":
        reason += (
            " As published, the judged part also chose the epoch, which flatters it; leak-free has "
            "a test part that nothing was chosen on."
        )
    if copied:
        published, clean = (copied_words(together(copies[way])) for way in Way)
        reason += (
            f" {published} judged photos stand in training as the very same file; leak-free "
            f"{clean}. The two judged parts also differ in how frequent their diagnoses are: of "
            "the figures, balanced accuracy (macro recall) alone does not depend on that."
        )
    return (*sentences, reason)


def spread_words(spread: Spread | None) -> str:
    """The mean over the seeds, with the range where there are several."""
    if spread is None or spread.mean is None:
        return "-"
    if spread.entries == 1:
        return f"{spread.mean:.3f}"
    return f"{spread.mean:.3f} ({spread.low:.3f} to {spread.high:.3f})"
