"""The page of a recalibration; one file, with its figure inside."""

import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from cutis import html
from cutis.evaluation import style
from cutis.evaluation.names import display_name
from cutis.metrics.recalibration import CurvePoint
from cutis.studies.abstention_page import figure_text
from cutis.studies.abstention_record import Figure
from cutis.studies.recalibration.record import NetworkStudy, RecalibrationStudy, Sets

_TITLE = "Recalibration on a clinic's own photos"
_SCORES = (("log_loss", "Log loss"), ("brier", "Brier score"), ("calibration_error", "ECE"))
_FEEDBACK = (
    "These cases are feedback from the app. Doctors are asked first about what is urgent and what "
    "the model is unsure of, so the cases are harder than the clinic's patients on the whole, and "
    "shares of the diagnoses among them are not those of the patients: no prior is fitted to them, "
    "and every figure here is of such cases."
)


def headline(record: RecalibrationStudy) -> str:
    """The recalibration in one sentence."""
    study = record.networks[0]
    return (
        f"On {record.counts.cases} cases of this clinic the log loss goes from "
        f"{_plain(study.before.log_loss)} to {_plain(study.after.log_loss)} and the ECE from "
        f"{_plain(study.before.calibration_error)} to {_plain(study.after.calibration_error)}, on "
        "cases that nothing was fitted to."
    )


def promise(record: RecalibrationStudy) -> str:
    """What the prediction sets of the recalibrated bundle promise."""
    kept = (
        "The prediction sets are still made from the probabilities as exported, with thresholds "
        "that are nowhere higher than before: what they promised still holds"
    )
    if all(study.sets_checked for study in record.networks):
        cases = "cases like this clinic's"
        if record.feedback:
            cases = "cases that are feedback like these, which the clinic's patients are not,"
        return (
            f"{kept}, and for further {cases} they hold the true diagnosis with a chance of "
            f"{record.level:.0%} too, over all diagnoses together that these cases show."
        )
    return (
        f"{kept}; the cases are too few to promise {record.level:.0%} for this clinic, so that is "
        "not checked."
    )


def scores_rows(study: NetworkStudy) -> list[list[str]]:
    """Name, before, after and change of each score, for tables."""
    rows = [
        [title, _text(getattr(study.before, name)), _text(getattr(study.after, name)),
         _text(study.difference[name])]
        for name, title in _SCORES
    ]  # fmt: skip
    accuracy = [_text(study.before.accuracy), _text(study.after.accuracy)]
    return [*rows, ["First answer right", *accuracy, ""]]


def set_rows(before: Sets, after: Sets) -> list[list[str]]:
    """Name, before and after of each figure of the prediction sets."""
    return [
        ["Set holds the truth, %", figure_text(before.coverage), figure_text(after.coverage)],
        ["Diagnoses in a set", figure_text(before.size, 2, 1), figure_text(after.size, 2, 1)],
        ["Set empty or too large: cannot tell, %", figure_text(before.no_answer),
         figure_text(after.no_answer)],
        ["Of the not benign: answered with benign diagnoses alone, %", figure_text(before.missed),
         figure_text(after.missed)],
    ]  # fmt: skip


def recalibration_page(record: RecalibrationStudy) -> str:
    """The whole page."""
    body = [
        html.element("h1", _TITLE),
        html.paragraph(html.element("strong", headline(record))),
        html.banner(_FEEDBACK, kind="warn") if record.feedback else Markup(""),
        html.notice(),
    ]
    for study in record.networks:
        body += _network(study, record)
    body.append(html.section("What it was made from", html.bullets(_method(record))))
    return html.page(_TITLE, *body)


def _network(study: NetworkStudy, record: RecalibrationStudy) -> list[Markup]:
    named = f", network {study.network}" if len(record.networks) > 1 else ""
    return [
        html.section(
            f"Calibration before and after{named}",
            html.table(
                ["Score", "Before", "After", "Change"],
                scores_rows(study),
                caption="Lower is better but in the last row. After: cross-validation, each case "
                "answered by what was fitted without it.",
            ),
            html.figure(
                _drawn(study),
                "image/svg+xml",
                "How often probabilities come true, before and after; points lie on the diagonal "
                "where they hold",
                "Left: the most probable diagnosis. Right: all diagnoses together that are not "
                "known to be benign. Bars: 95 % of the resamples.",
            ),
            html.table(
                ["First answer found, %", "Photos of it", "Before", "After"],
                _found_rows(study, record),
                caption="A prior makes rare diagnoses less often the first answer; none is fitted "
                "where fewer of what is not benign may be found. The sets are not narrowed by it.",
            ),
        ),
        html.section(
            f"Prediction sets{named}",
            html.paragraph(promise(record)),
            html.table(["", "Before", "After"], set_rows(study.sets_before, study.sets_after)),
            html.bullets(_limits(study)),
        ),
        html.section(f"What was fitted{named}", *_fitted(study, record)),
    ]


def _found_rows(study: NetworkStudy, record: RecalibrationStudy) -> list[Sequence[html.Content]]:
    counts = record.counts.diagnoses
    rows: list[Sequence[html.Content]] = [
        [display_name(name), counts[name], figure_text(study.before.found[name]),
         figure_text(study.after.found[name])]
        for name in study.before.found
        if name in counts
    ]  # fmt: skip
    found = (one.not_benign_found for one in (study.before, study.after))
    return [*rows, ["Any that is not benign, by any such", "", *map(figure_text, found)]]


def _limits(study: NetworkStudy) -> list[html.Content]:
    said: list[html.Content] = []
    if study.kept is not None:
        said.append(
            f"{figure_text(study.kept)} % of the cases are not unlike the training photos. That "
            "limit is as it was exported: photos of a clinic do not loosen it."
        )
    return [*said, "The quality of a photo, which can also refuse it, is not looked at here."]


def _fitted(study: NetworkStudy, record: RecalibrationStudy) -> list[Markup]:
    names = list(study.before.found)
    rows: list[Sequence[html.Content]] = [
        [display_name(name), f"{np.exp(offset):.3g}", f"{old:.4f}", f"{new:.4f}"]
        for name, offset, old, new in zip(
            names, study.offsets, study.exported_thresholds, study.thresholds, strict=True
        )
    ]
    return [
        html.paragraph(
            f"{study.way.capitalize()}: of {_ways(study)}, this has the lowest log loss in "
            f"cross-validation. Temperature {study.exported_temperature:.3f} before, "
            f"{study.temperature:.3f} after."
        ),
        html.table(
            ["Diagnosis", "Odds times", "Threshold before", "After"],
            rows,
            caption="By what the prior multiplies the odds, and from which probability on, as "
            "exported, a diagnosis is in the set.",
        ),
    ]


def _ways(study: NetworkStudy) -> str:
    if study.no_prior:
        return f"nothing and temperature (no prior: {study.no_prior})"
    return "nothing, temperature alone, and temperature and prior"


def _method(record: RecalibrationStudy) -> list[html.Content]:
    counts = record.counts
    said: list[html.Content] = [
        f"{counts.photos} photos of {counts.cases} cases from {', '.join(record.sources)}: photos "
        "of one patient or lesion, and copies, are one case, which counts once.",
        f"Left out: {counts.seen} photos of sources that the model was trained on, or belonging "
        f"together with such; {counts.other_diagnoses} of diagnoses that it does not know; "
        f"{counts.unreadable} that cannot be read.",
        "A bundle knows the names of the sources that it was trained on, not the photos: that it "
        "has seen none of these under another name is the clinic's to know.",
        f"{record.folds} folds by case; within each the way was chosen anew from the other folds. "
        "Intervals of 95 %: percentile bootstrap over cases, 1000 resamples. ECE of the first "
        "answer with 15 bins, which is too high with few cases, before and after alike.",
        "Everything holds for cases like these, and not for another clinic or camera.",
        f"Cutis {record.cutis_version}, catalog {record.catalog_sha256[:12]}….",
    ]
    said += [
        f"Network {name} stays as exported: {why}." for name, why in record.as_exported.items()
    ]
    return said


def _drawn(study: NetworkStudy) -> bytes:
    drawn = io.BytesIO()
    with style.look():
        made, axes = style.panels(2, width=4.4, height=4.2)
        _curves(axes[0], study.before.reliability, study.after.reliability)
        axes[0].set_title("Most probable diagnosis")
        _curves(axes[1], study.before.not_benign, study.after.not_benign)
        axes[1].set_title("Not benign")
        made.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _curves(axes: Axes, before: Sequence[CurvePoint], after: Sequence[CurvePoint]) -> None:
    style.unit_square(axes, "probability", "how often it is so")
    axes.plot([0, 1], [0, 1], color=style.FAINT, linewidth=1, linestyle=":")
    for points, name, colour in (
        (before, "before", style.COLOURS[1]),
        (after, "after", style.COLOURS[0]),
    ):
        axes.plot(
            [point.probability for point in points],
            [point.share for point in points],
            "o-",
            color=colour,
            markersize=4,
            label=name,
        )
        for point in points:
            if point.low is not None and point.high is not None:
                axes.plot([point.probability] * 2, [point.low, point.high], color=colour, alpha=0.6)
    axes.legend(loc="best")


def _text(figure: Figure) -> str:
    return figure_text(figure, 3, 1)


def _plain(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:.3f}"
