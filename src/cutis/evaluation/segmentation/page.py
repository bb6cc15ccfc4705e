"""The page of a segmentation report, from its metrics and figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from cutis import html
from cutis.evaluation import words
from cutis.evaluation.assembly import SMALL
from cutis.evaluation.context import ReportContext
from cutis.evaluation.names import display_name
from cutis.evaluation.report import stacked
from cutis.evaluation.segmentation import overlays
from cutis.evaluation.segmentation.scoring import ScoredMasks
from cutis.evaluation.setting import setting, title
from cutis.records import Part

SCORE_NAMES = {
    "jaccard": "Jaccard",
    "thresholded_jaccard": "Jaccard, 0 below 0.65 (ISIC 2018)",
    "dice": "Dice",
    "sensitivity": "Sensitivity of the pixels",
    "specificity": "Specificity of the pixels",
    "accuracy": "Accuracy of the pixels",
    "relative_hd95": "HD95, in diameters of the lesion (0 best)",
}
_SUBGROUP_SCORES = {
    "jaccard": "Jaccard",
    "thresholded_jaccard": "Thresholded",
    "dice": "Dice",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "relative_hd95": "HD95, relative",
}
_NOT_KNOWN = "Not known"
_LISTED = 8  # photos that could not be judged


def render(
    scored: ScoredMasks,
    metrics: Mapping[str, Any],
    figures: Mapping[str, bytes],
    context: ReportContext,
) -> str:
    """The whole page as one self-contained HTML text."""
    name = f"Segmentation: {title(context)}" if context.model else "Segmentation"
    return html.page(
        name,
        html.element("h1", name),
        html.paragraph(html.element("strong", verdict(metrics))),
        html.unsafe_banner(words.UNSAFE) if context.marked_unsafe else Markup(""),
        html.notice(),
        _headline(metrics),
        _failures(metrics),
        _curves(figures),
        _worst(scored, metrics, context),
        _subgroups("By diagnosis", metrics["per_diagnosis"], "Diagnosis", _diagnosis),
        _subgroups("By source", metrics["per_source"], "Source", _source),
        _subgroups(
            "By lesion size",
            metrics["per_size"],
            "Lesion's share of the photo",
            _size,
            "Thirds of these photos by the area of the true mask.",
        ),
        _random(scored, metrics, context),
        setting(context, _photo_facts(metrics), _here(metrics)),
        _training(figures, context),
        html.section("Limits", html.bullets(limits(metrics, context))),
    )


def verdict(metrics: Mapping[str, Any]) -> str:
    """The figures that count, in one sentence."""
    failures = metrics["failures"]
    return (
        f"Mean Jaccard {words.words(metrics['scores']['jaccard'])} on {metrics['photos']} photos "
        f"of {metrics['groups']} groups; {failures['photos']} failed (Jaccard below "
        f"{failures['below']})."
    )


def limits(metrics: Mapping[str, Any], context: ReportContext) -> list[str]:
    """The limits of the segmenter as the facts of this evaluation give them."""
    made = []
    if not metrics["grouped"]:
        made.append(
            "No groups were given: each photo counts as its own group. Where photos share a lesion "
            "or a patient the intervals are too narrow."
        )
    if metrics["without_mask"]:
        made.append(
            f"{metrics['without_mask']} photos of this part have no mask and were not judged."
        )
    sources = [entry["source"] for entry in metrics["per_source"]]
    if len(sources) == 1 and sources[0] is not None:
        made.append(words.one_collection(sources[0]))
    few = [entry["diagnosis"] for entry in metrics["per_diagnosis"] if entry["small"]]
    if few:
        names = ", ".join(_NOT_KNOWN if name is None else display_name(name) for name in few)
        made.append(f"Fewer than {SMALL} photos show: {names}. These figures are rough.")
    if context.part == Part.VALIDATION and context.model is not None:
        made.append("The threshold of the segmenter was chosen on validation photos.")
    return [
        *made,
        *words.use_limits(context),
        "A true mask is the outline that one person or program drew; another would draw another.",
        "Skin tone is not recorded, so fairness across skin tones was not measured.",
        "An outline says where a lesion is, not whether it is harmless.",
    ]


def _headline(metrics: Mapping[str, Any]) -> Markup:
    drawn = metrics["interval"]
    rows = [
        [
            label,
            stacked(metrics["scores"][name]),
            stacked(metrics["pooled"][name]) if name in metrics["pooled"] else "–",
        ]
        for name, label in SCORE_NAMES.items()
    ]
    return html.section(
        "Scores",
        html.table(
            ["Score", "Mean by photo", "Pooled over pixels"],
            rows,
            caption=f"{metrics['photos']} photos of {metrics['groups']} groups. 95 % intervals: "
            f"{drawn['method']}, {drawn['resamples']} resamples, seed {drawn['seed']}.",
        ),
        html.paragraph(
            "By photo every photo counts the same; pooled every pixel does, so large photos and "
            "large lesions weigh more."
        ),
    )


def _failures(metrics: Mapping[str, Any]) -> Markup:
    found = metrics["failures"]
    rows: list[tuple[str, html.Content, html.Content]] = [
        (f"Failed: Jaccard below {found['below']}", found["photos"], stacked(found["share"])),
        ("Nothing found", found["empty_predictions"], ""),
        (
            f"More than {found['whole_above'] * 100:.0f} % of the photo found",
            found["whole_predictions"],
            "",
        ),
        ("True mask is empty", found["empty_truths"], ""),
        ("Mask could not be read: not judged", len(metrics["problems"]), ""),
        ("No mask: not judged", metrics["without_mask"], ""),
    ]
    named = [f"{entry['image_id']}: {entry['problem']}" for entry in metrics["problems"]]
    if len(named) > _LISTED:
        named = [*named[:_LISTED], f"and {len(named) - _LISTED} more, in metrics.json"]
    return html.section(
        "Failures",
        html.table(["What", "Photos", "Share"], rows),
        html.bullets(named) if named else Markup(""),
    )


def _curves(figures: Mapping[str, bytes]) -> Markup:
    captions = {
        "jaccard": "Photos by Jaccard. Left of the dotted line a segmentation counts as failed.",
        "jaccard_by_size": "Jaccard of every photo against the share of it that the lesion covers.",
    }
    drawn = [_figure(figures, name, caption) for name, caption in captions.items()]
    return html.section("Distribution", html.element("div", *drawn, class_="row"))


def _worst(scored: ScoredMasks, metrics: Mapping[str, Any], context: ReportContext) -> Markup:
    return html.section(
        "The worst cases",
        html.paragraph(
            "Lowest Jaccard first. Look for a wrong true mask, a poor photo, or a habit of the "
            "model."
        ),
        overlays.legend(),
        overlays.tiles(zip(metrics["worst"], scored.worst, strict=True), context),
    )


def _random(scored: ScoredMasks, metrics: Mapping[str, Any], context: ReportContext) -> Markup:
    return html.section(
        "Some at random",
        html.paragraph("Chosen before any photo was judged, to show what is usual."),
        overlays.legend(),
        overlays.tiles(zip(metrics["random"], scored.random, strict=True), context),
    )


def _subgroups(
    heading: str,
    entries: Sequence[Mapping[str, Any]],
    column: str,
    named: Callable[[Mapping[str, Any]], str],
    note: str = "",
) -> Markup:
    if not entries:
        return html.section(heading, html.paragraph("Every true mask is empty."))
    rows = []
    for entry in entries:
        name: html.Content = named(entry)
        if entry["small"]:
            name = html.joined([name, html.tag(f"n < {SMALL}")], " ")
        figures = [stacked(entry["scores"][score]) for score in _SUBGROUP_SCORES]
        failed = entry["failures"]["photos"]
        rows.append([name, entry["photos"], entry["groups"], *figures, failed])
    return html.section(
        heading,
        html.table(
            [column, "Photos", "Groups", *_SUBGROUP_SCORES.values(), "Failed"],
            rows,
            caption=f"{note} Means by photo, with 95 % intervals below.".strip(),
        ),
    )


def _diagnosis(entry: Mapping[str, Any]) -> str:
    return _NOT_KNOWN if entry["diagnosis"] is None else display_name(entry["diagnosis"])


def _source(entry: Mapping[str, Any]) -> str:
    return entry["source"] or _NOT_KNOWN


def _size(entry: Mapping[str, Any]) -> str:
    low, high = 100 * entry["from"], 100 * entry["to"]
    bounds = f"{low:.1f} to {high:.1f}" if low else f"up to {high:.1f}"
    return f"{entry['size'].capitalize()}: {bounds}\N{NO-BREAK SPACE}%"


def _photo_facts(metrics: Mapping[str, Any]) -> list[tuple[str, html.Content]]:
    facts: list[tuple[str, html.Content]] = [("Photos without a mask", metrics["without_mask"])]
    model = metrics["model"]
    if model is not None:
        facts.append(("Lesion from this probability on", f"{model['threshold']:g}"))
    return facts


def _here(metrics: Mapping[str, Any]) -> dict[str, int]:
    return {entry["diagnosis"] or _NOT_KNOWN: entry["photos"] for entry in metrics["per_diagnosis"]}


def _training(figures: Mapping[str, bytes], context: ReportContext) -> Markup:
    if context.history is None or "training" not in figures:
        return Markup("")
    last = int(context.history["epoch"].max())
    caption = f"{last} epochs; dashed lines are the borders of stages."
    return html.section("Training", _figure(figures, "training", caption))


def _figure(figures: Mapping[str, bytes], name: str, caption: str) -> Markup:
    return html.figure(figures[name], "image/svg+xml", caption, caption)
