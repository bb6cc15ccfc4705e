"""The page of a study of abstention."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cutis import html
from cutis.evaluation import style
from cutis.evaluation.names import display_name
from cutis.metrics.answer_policy import REASON_TEXTS
from cutis.metrics.bootstrap import Floats
from cutis.metrics.ranking import ranked_counts
from cutis.metrics.risk_coverage import risk_coverage
from cutis.studies.abstention_record import Abstention, Figure, Judged

PAGE = "page.html"
HELD_OUT = "held-out photos"
_FIGURE = "abstention"
_UNSAFE = "The split lets photos of one lesion stand on both sides, so every figure is too good."


@dataclass(frozen=True)
class Curves:
    """What the figure is drawn from."""

    confidence: Floats  # (N,) of the held-out photos
    correct: NDArray[np.bool_]  # (N,)
    distances: Mapping[str, Floats]  # by kind, HELD_OUT first; empty: not measured
    limit: float | None  # of the distance


def headline(study: Abstention) -> str:
    """The study in one sentence."""
    found = study.judged
    if found is not None:
        shares = ", ".join(f"{row.verdict} {percent(row.share.value)}" for row in found.verdicts)
        return (
            f"Of {found.photos} photos: {shares}. The sets hold the true diagnosis in "
            f"{figure_text(found.coverage)} % of them by lesion, for a promise of "
            f"{100 * study.level:g} %."
        )
    if study.resplits is not None:
        return (
            f"The bundle has no policy. Sets calibrated on these photos would hold the true "
            f"diagnosis in {percent(study.resplits.coverage)} of new ones."
        )
    return "The bundle has no policy, and the lesions are too few to calibrate one."


def figure_text(figure: Figure, digits: int = 1, scale: float = 100) -> str:
    """A figure in percent with its interval; a dash where it is undefined."""
    if figure.value is None:
        return "–"
    text = f"{scale * figure.value:.{digits}f}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({scale * figure.low:.{digits}f} to {scale * figure.high:.{digits}f})"


def write_page(study: Abstention, curves: Curves, folder: Path) -> None:
    """Writes page.html, abstention.png and abstention.svg."""
    title = "When the model does not answer"
    body = html.page(
        title,
        html.element("h1", title),
        html.paragraph(html.element("strong", headline(study))),
        html.unsafe_banner(_UNSAFE) if study.unsafe else Markup(""),
        html.notice(),
        _verdicts(study.judged) if study.judged else Markup(""),
        _sets(study),
        _selective(study, _drawn(study, curves, folder)),
        _detections(study),
        html.section("How it was measured", html.bullets(_method(study))),
    )
    (folder / PAGE).write_text(body, encoding="utf-8")


def _verdicts(found: Judged) -> Markup:
    rows: list[list[html.Content]] = [
        [row.verdict, row.photos, figure_text(row.share), figure_text(row.accuracy),
         figure_text(row.malignant)]
        for row in found.verdicts
    ]  # fmt: skip
    reasons: list[list[html.Content]] = [
        [name.replace("_", " "), count, REASON_TEXTS[name]] for name, count in found.reasons.items()
    ]
    return html.section(
        "Verdicts",
        html.table(
            ["Verdict", "Photos", "Share, %", "First answer right, %", "Of the malignant, %"],
            rows,
            caption=f"{found.photos} photos of {found.groups} groups, with the bundle's own "
            "thresholds. The last column: of the photos of malignant diagnoses, how many get the "
            "verdict.",
        ),
        html.table(["Reason", "Photos", "What is said"], reasons, caption="A photo may have more."),
    )


def _sets(study: Abstention) -> Markup:
    own, drawn = study.judged, study.resplits
    columns = [*(["Bundle, %"] if own else []), *(["Re-splits, %"] if drawn else [])]
    if not columns:
        return Markup("")
    names = list(own.by_diagnosis if own else drawn.by_diagnosis if drawn else ())
    rows: list[list[html.Content]] = [["All, by lesion"]]
    if own:
        rows[0].append(figure_text(own.coverage))
    if drawn:
        low, high = drawn.coverage_between
        rows[0].append(f"{100 * drawn.coverage:.1f} ({100 * low:.1f} to {100 * high:.1f})")
    for name in names:
        row: list[html.Content] = [display_name(name)]
        row += [figure_text(own.by_diagnosis[name])] if own else []
        row += [percent(drawn.by_diagnosis[name])] if drawn else []
        rows.append(row)
    said = []
    if own:
        said.append(
            f"Bundle: {figure_text(own.set_size, 2, 1)} diagnoses in a set, "
            f"{figure_text(own.empty)} % of the sets empty."
        )
    if drawn:
        said.append(
            f"{drawn.splits} re-splits: {drawn.set_size:.2f} diagnoses in a set, "
            f"{percent(drawn.empty)} empty; coverage by photo "
            f"{percent(drawn.photo_coverage)}. The range is that of 95 % of the splits."
        )
    return html.section(
        "Prediction sets",
        html.table(
            ["Holds the truth", *columns],
            rows,
            caption=f"Promised are {100 * study.level:g} %, for a photo of a new lesion.",
        ),
        html.bullets(said),
    )


def _selective(study: Abstention, drawn: bytes) -> Markup:
    rows = [
        [f"{100 * float(share):g} %", figure_text(figure)]
        for share, figure in study.selective.accuracy_at.items()
    ]
    return html.section(
        "Accuracy against the share answered",
        html.figure(
            drawn,
            "image/svg+xml",
            "Accuracy against the share of photos answered, and distances; the tables hold the "
            "numbers",
            "Left: the photos with the highest probability are answered first; the bars hold 95 % "
            "of the resamples. Right: the share of photos below each distance to the training "
            "photos; the line is the bundle's limit.",
        ),
        html.table(
            ["Answered", "Accuracy, %"],
            rows,
            caption=f"Area under the risk: {figure_text(study.selective.aurc, 3, 1)}.",
        ),
    )


def _detections(study: Abstention) -> Markup:
    rows: list[list[html.Content]] = [
        [row.kind, row.photos, _area(row.distance), _area(row.energy), _area(row.probability),
         percent(row.unlike_training), percent(row.cannot_tell), percent(row.answered)]
        for row in study.detections
    ]  # fmt: skip
    head = ["Photos of", "Number", "AUROC, distance", "energy", "highest probability",
            "Unlike the training photos", "Cannot tell", "Answer"]  # fmt: skip
    return html.section(
        "Photos of something else",
        html.table(
            head,
            rows,
            caption="Told from the held-out photos, and the share that the bundle refuses or "
            "answers without caution.",
        ),
    )


def _method(study: Abstention) -> list[html.Content]:
    photos = f"{study.photos} photos of {study.groups} groups"
    unread = f" {study.unreadable} more could not be read." if study.unreadable else ""
    if study.recalibrated_on:
        unread += (
            f" {study.recalibrated_on} are left out: the bundle was recalibrated on them or on "
            "others of their groups."
        )
    where = (
        f"validation and test part of the split '{study.split_name}': {photos}. The bundle's "
        "thresholds come from validation and are judged on the test part, the other figures on "
        f"both; the test part has been used {study.test_uses} times."
        if study.split_name
        else f"all {photos} of a catalog that the bundle was not made from. Whether the model has "
        "seen some of them is not known here."
    )
    gate = "decides too" if study.quality else "was not measured"
    return [
        f"Held-out photos: {where}{unread}",
        f"Network {study.network}; photo quality {gate}; Cutis {study.cutis_version}.",
        "Intervals of 95 %: percentile bootstrap, whole groups drawn with replacement, 1000 "
        "resamples.",
        "Sets are promised for lesions like these, not for another clinic, camera or skin tone, "
        "and not for a diagnosis that the model does not know.",
    ]


def _drawn(study: Abstention, curves: Curves, folder: Path) -> bytes:
    with style.look():
        made, axes = style.panels(2 if curves.distances else 1, width=5.4, height=3.8)
        _draw_selective(axes[0], study, curves)
        if curves.distances:
            _draw_distances(axes[1], curves)
        return style.save(made, folder, _FIGURE)


def _draw_selective(axes: Axes, study: Abstention, curves: Curves) -> None:
    ones = np.ones((1, curves.correct.size))
    curve = risk_coverage(ranked_counts(curves.confidence, curves.correct, ones))
    shown = curve.coverage[0] >= 0.05  # of a few photos the accuracy says nothing
    axes.plot(
        100 * curve.coverage[0][shown], 100 * curve.accuracy[0][shown], color=style.COLOURS[0]
    )
    for share, figure in study.selective.accuracy_at.items():
        if figure.value is not None and figure.low is not None and figure.high is not None:
            place = 100 * float(share)
            axes.plot([place] * 2, [100 * figure.low, 100 * figure.high], color=style.COLOURS[0])
            axes.plot(place, 100 * figure.value, "o", markersize=4, color=style.COLOURS[0])
    axes.set(xlabel="photos answered, %", ylabel="accuracy, %", xlim=(0, 102))
    axes.set_title("Accuracy where it is surest")
    axes.grid(color="#e8ecf0", linewidth=0.8)


def _draw_distances(axes: Axes, curves: Curves) -> None:
    for (kind, distances), colour in zip(curves.distances.items(), style.COLOURS, strict=False):
        ranked = np.sort(distances)
        share = 100 * np.arange(1, ranked.size + 1) / ranked.size
        wide = 2.2 if kind == HELD_OUT else 1.3
        axes.step(ranked, share, where="post", color=colour, linewidth=wide, label=kind)
    if curves.limit is not None:
        axes.axvline(curves.limit, color=style.DARK, linewidth=1, linestyle="--")
    axes.set(xlabel="distance to the training photos", ylabel="photos below, %", ylim=(0, 101))
    axes.set_xscale("log")
    axes.set_title("Unlike the training photos")
    axes.grid(color="#e8ecf0", linewidth=0.8)
    axes.legend(loc="best")


def percent(value: float | None) -> str:
    """A share in percent; a dash where it is not known."""
    return "–" if value is None else f"{100 * value:.1f} %"


def _area(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
