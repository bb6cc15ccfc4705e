"""The page of a report, from its metrics and figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from cutis import html
from cutis.evaluation import mistakes, setting, words
from cutis.evaluation.assembly import SMALL
from cutis.evaluation.context import EvaluationContext
from cutis.evaluation.names import display_name
from cutis.evaluation.table import EvaluationTable

SCORE_NAMES = {
    "balanced_accuracy": "Balanced accuracy (macro recall)",
    "accuracy": "Accuracy (weighted recall)",
    "f1_macro": "F1, macro",
    "f1_weighted": "F1, weighted",
    "precision_macro": "Precision, macro",
    "precision_weighted": "Precision, weighted",
    "auroc_macro": "AUROC, macro",
    "average_precision_macro": "Average precision, macro",
    "brier": "Brier score (0 best, 2 worst)",
    "log_loss": "Log loss",
    "calibration_error": "Expected calibration error",
}
_CLASS_SCORES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "auroc": "AUROC",
    "average_precision": "Average precision",
}
_SUBGROUP_SCORES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1_macro": "F1, macro",
    "auroc_macro": "AUROC, macro",
    "malignant_auroc": "AUROC, malignant",
}
_OPERATING = ["Figure", "Value", "Threshold"]
_SIDE_BY_SIDE = 12  # diagnoses; more need the whole width for a confusion matrix
_FIGURES = {
    "roc": "ROC curves, each diagnosis against the rest.",
    "precision_recall": "Precision and recall, each diagnosis against the rest.",
}


def render(
    table: EvaluationTable,
    metrics: Mapping[str, Any],
    figures: Mapping[str, bytes],
    wrong: list[dict[str, Any]],
    context: EvaluationContext,
) -> str:
    """The whole page as one self-contained HTML text."""
    title = setting.title(context)
    return html.page(
        title,
        html.element("h1", title),
        html.paragraph(html.element("strong", words.verdict(metrics))),
        html.unsafe_banner(words.UNSAFE) if context.marked_unsafe else Markup(""),
        html.banner(metrics["alarm"], kind="warn") if metrics["alarm"] else Markup(""),
        html.notice(),
        _headline(metrics),
        setting.setting(
            context,
            [("Photos that could not be read", metrics["unreadable"])],
            {entry["diagnosis"]: entry["photos"] for entry in metrics["per_diagnosis"]},
        ),
        _diagnoses(metrics, figures),
        _malignant(metrics),
        _curves(figures, metrics),
        _calibration(metrics, figures),
        _subgroups(metrics),
        _training(figures, context),
        _mistakes(wrong, context, table.probabilities is not None),
        html.section("Limits", html.bullets(words.limits(table, metrics, context))),
    )


def shown(figure: Mapping[str, Any]) -> Markup:
    """A figure and its interval in a cell; a dash with the reason where it is undefined."""
    if figure["value"] is None:
        return html.element("span", "–", class_="soft", title=figure["reason"] or "not defined")
    text = f"{figure['value']:.3f}"
    if figure["low"] is None:
        return html.joined([text])
    interval = f" {figure['low']:.3f} to {figure['high']:.3f}"
    return html.joined([text, html.element("span", interval, class_="interval")], "")


def _headline(metrics: Mapping[str, Any]) -> Markup:
    drawn = metrics["interval"]
    rows = []
    for name, label in SCORE_NAMES.items():
        figure = metrics["scores"][name]
        value = "–" if figure["value"] is None else f"{figure['value']:.3f}"
        between = "–" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"
        rows.append([label, value, figure["reason"] if figure["value"] is None else between])
    return html.section(
        "Scores",
        html.table(
            ["Score", "Value", "95 % interval"],
            rows,
            caption=f"{metrics['photos']} photos of {metrics['groups']} groups. Intervals: "
            f"{drawn['method']}, {drawn['resamples']} resamples, seed {drawn['seed']}.",
        ),
    )


def _diagnoses(metrics: Mapping[str, Any], figures: Mapping[str, bytes]) -> Markup:
    rows = []
    for entry in metrics["per_diagnosis"]:
        name: html.Content = display_name(entry["diagnosis"])
        if entry["small"]:
            name = html.joined([name, html.tag(f"n < {SMALL}")], " ")
        if not entry["known_to_model"]:
            name = html.joined([name, html.tag("not in the model")], " ")
        scores = [stacked(entry[score]) for score in _CLASS_SCORES]
        rows.append([name, entry["photos"], entry["groups"], *scores])
    return html.section(
        "By diagnosis",
        html.table(
            ["Diagnosis", "Photos", "Groups", *_CLASS_SCORES.values()],
            rows,
            caption="Each diagnosis against the rest, with 95 % intervals below.",
        ),
        html.element(
            "div",
            _figure(figures, "confusion", "Confusion matrix: rows are the truth."),
            _figure(figures, "confusion_rows", "The same in percent of each row."),
            class_="row" if len(rows) <= _SIDE_BY_SIDE else "stack",
        ),
    )


def stacked(figure: Mapping[str, Any]) -> Markup:
    """Value above interval, for tables with many columns."""
    if figure["value"] is None or figure["low"] is None:
        return shown(figure)
    interval = f"{figure['low']:.2f}–{figure['high']:.2f}"
    return html.joined(
        [
            f"{figure['value']:.3f}",
            Markup("<br>"),
            html.element("span", interval, class_="interval"),
        ],
        "",
    )


def _malignant(metrics: Mapping[str, Any]) -> Markup:
    found = metrics["malignant"]
    if found["reason"]:
        return html.section(
            "Malignant against benign", html.paragraph(f"Not asked: {found['reason']}.")
        )
    sides = [
        f"Malignant side: {_names(found['malignant'])}.",
        f"Benign side: {_names(found['benign'])}.",
        f"Precancer and carcinoma in situ count as {found['precancer_is']}.",
    ]
    if found["neither"]:
        sides.append(
            f"On neither side, since the taxonomy does not settle it: {_names(found['neither'])}; "
            f"{found['left_out']} photos are left out."
        )
    answers = found["as_answered"]
    rows: list[list[html.Content]] = [
        ["AUROC", stacked(found["auroc"]), "", "", ""],
        ["Sensitivity of the answers as given", stacked(answers["sensitivity"]), "", "", ""],
        ["Specificity of the answers as given", stacked(answers["specificity"]), "", "", ""],
        *(_operating_row(point) for point in found["points"]),
    ]
    chosen = any(point["with_validation_threshold"] for point in found["points"])
    head = [*_OPERATING, "Sensitivity *", "Specificity *"] if chosen else _OPERATING
    note = " * At the threshold that reaches the level on validation." if chosen else ""
    return html.section(
        "Malignant against benign",
        html.paragraph(
            "The score of a photo is the sum of the probabilities of the malignant diagnoses. "
            f"{found['malignant_photos']} of {found['photos']} photos are malignant."
        ),
        html.table(
            head,
            [row[: len(head)] for row in rows],
            caption=f"With 95 % intervals.{note}",
        ),
        html.bullets(sides),
    )


def _operating_row(point: Mapping[str, Any]) -> list[html.Content]:
    reached, _, level = point["at"].partition("_at_")
    held = "specificity" if reached == "sensitivity" else "sensitivity"
    chosen = point["with_validation_threshold"]
    return [
        f"{reached.capitalize()} at {round(100 * float(level))} % {held}",
        stacked(point["reached"]),
        "–" if point["threshold"] is None else f"{point['threshold']:.3f}",
        stacked(chosen["sensitivity"]) if chosen else "–",
        stacked(chosen["specificity"]) if chosen else "–",
    ]


def _curves(figures: Mapping[str, bytes], metrics: Mapping[str, Any]) -> Markup:
    if "roc" not in figures:
        reason = metrics["scores"]["auroc_macro"]["reason"]
        return html.section("Curves", html.paragraph(f"Not drawn: {reason}."))
    drawn = [_figure(figures, name, caption) for name, caption in _FIGURES.items()]
    return html.section("Curves", html.element("div", *drawn, class_="row"))


def _calibration(metrics: Mapping[str, Any], figures: Mapping[str, bytes]) -> Markup:
    found = metrics["calibration"]
    if found["reason"]:
        return html.section("Calibration", html.paragraph(f"Not asked: {found['reason']}."))
    after = found["after"]
    text = (
        f"Temperature {found['temperature']:.3f}, fitted on {found['fitted_on']}."
        if after
        else "No temperature was fitted: that needs validation predictions with truth."
    )
    rows = [
        [SCORE_NAMES[name], shown(found["before"][name]), shown(after[name]) if after else "–"]
        for name in ("calibration_error", "log_loss", "brier")
    ]
    return html.section(
        "Calibration",
        html.paragraph(text),
        html.table(["Score", "Before scaling", "After scaling"], rows),
        html.paragraph(
            "Resampling adds noise to the calibration error, so its interval lies towards higher "
            "values than the error itself."
        ),
        _figure(
            figures,
            "reliability",
            f"Reliability in {found['bins']} bins of {found['binning']}: on the dotted line an "
            "answer given with 70 % confidence is right 70 times in 100.",
        ),
    )


def _subgroups(metrics: Mapping[str, Any]) -> Markup:
    if not metrics["subgroups"]:
        text = "Not known for these photos: confirmation, age, sex and source."
        return html.section("Subgroups", html.paragraph(text))
    rows = []
    for entry in metrics["subgroups"]:
        name: html.Content = f"{entry['kind'].capitalize()}: {entry['name']}"
        if entry["small"]:
            name = html.joined([name, html.tag(f"n < {SMALL}")], " ")
        scores = [stacked(entry["scores"][score]) for score in _SUBGROUP_SCORES]
        rows.append([name, entry["photos"], entry["groups"], *scores])
    return html.section(
        "Subgroups",
        html.table(["Photos of", "Photos", "Groups", *_SUBGROUP_SCORES.values()], rows),
        html.paragraph(
            "Macro scores average over the diagnoses that the subgroup holds, so they compare only "
            "where these are the same."
        ),
    )


def _training(figures: Mapping[str, bytes], context: EvaluationContext) -> Markup:
    if context.history is None or "training" not in figures:
        return Markup("")
    last = context.history["epoch"].max()
    caption = f"{int(last)} epochs; dashed lines are the borders of stages."
    return html.section("Training", _figure(figures, "training", caption))


def _mistakes(wrong: list[dict[str, Any]], context: EvaluationContext, ranked: bool) -> Markup:
    title = "The most confident mistakes"
    if not ranked:
        return html.section(title, html.paragraph("Not ranked: the table has no probabilities."))
    if not wrong:
        return html.section(title, html.paragraph("There is no mistake."))
    text = (
        "Wrong answers with the highest probability first. Look for a wrong truth, a poor photo, "
        "or a habit of the model."
    )
    return html.section(title, html.paragraph(text), mistakes.tiles(wrong, context))


def _figure(figures: Mapping[str, bytes], name: str, caption: str) -> Markup:
    return html.figure(figures[name], "image/svg+xml", caption, caption)


def _names(class_ids: Sequence[str]) -> str:
    return ", ".join(display_name(name) for name in class_ids) or "none"
