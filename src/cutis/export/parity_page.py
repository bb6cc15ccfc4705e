"""The page of a bundle's parity: what each file costs and loses against the run."""

from collections.abc import Sequence

from markupsafe import Markup

from cutis import html
from cutis.export.parity import (
    ENOUGH_PHOTOS,
    INT8_MASK_JACCARD,
    LARGEST_LOSS,
    LARGEST_MEAN_DIFFERENCE,
    LARGEST_RECALL_LOSS,
    LEAST_AGREEMENT,
    LOGIT_LIMIT,
    MASK_JACCARD,
    Loss,
    NetworkCheck,
    Parity,
    SegmenterCheck,
    verdict,
)
from cutis.runtime.bundle import MODEL_FILES, SEGMENTER_FILES, BundleInfo

_LISTED = 20  # photos that are named in a row
_COSTS = ("ms a photo", "photos a second", "memory, MB")


def parity_page(info: BundleInfo, parity: Parity) -> str:
    """The page as HTML."""
    title = "Parity of the exported networks with the run"
    held = [part for part in (info.model, info.segmenter) if part]
    unsafe = "The split lets photos of one lesion stand on both sides, so every figure is too high."
    return html.page(
        title,
        html.element("h1", title),
        html.notice(),
        *([html.unsafe_banner(unsafe)] if any(part.provenance.unsafe for part in held) else []),
        *([_allowed(info)] if info.allowed else []),
        *(_classifier(info, parity) if info.model else []),
        *(_segmenter(info, parity) if info.segmenter else []),
        _method(parity),
    )


def _allowed(info: BundleInfo) -> Markup:
    named = "; ".join(f"{name}: {', '.join(why)}" for name, why in info.allowed.items())
    return html.banner(
        html.element("strong", "Let in although it fails. "),
        f"These networks do not answer as the run does, and were kept by --allow. {named}.",
        kind="danger",
    )


def _classifier(info: BundleInfo, parity: Parity) -> list[Markup]:
    return [_networks(info, parity), _answers(parity), _diagnoses(parity)]


def _networks(info: BundleInfo, parity: Parity) -> Markup:
    rows = [
        (
            *_named(check, info, MODEL_FILES[check.network], info.default_model),
            _points(check.accuracy.network) if check.accuracy else "–",
            _points(check.held_out_accuracy.network) if check.held_out_accuracy else "–",
            *_costs(check),
        )
        for check in parity.networks
    ]
    first = parity.networks[0]
    if first.accuracy:
        held_out = _points(first.held_out_accuracy.run) if first.held_out_accuracy else "–"
        rows.insert(
            0, ("the run", "PyTorch", "", "", _points(first.accuracy.run), held_out, "", "", "")
        )
    return html.section(
        "Classifier",
        html.table(
            (
                "file",
                "engine",
                "verdict",
                "kB",
                "accuracy",
                "held-out accuracy",
                *_COSTS,
            ),
            rows,
            caption=f"Accuracy on {first.photos} photos, those of training among them, and on "
            "the validation and test photos alone",
            text_columns=3,
        ),
        _failures(parity.networks),
    )


def _named(
    check: NetworkCheck | SegmenterCheck, info: BundleInfo, file: str, default: str | None
) -> tuple[html.Content, str, str, str]:
    runs = check.network == default and check.engine in ("onnxruntime", "litert")
    name: html.Content = html.joined([file, html.tag("runs unless told")], " ") if runs else file
    return name, check.engine, verdict(check, info), f"{check.bytes / 1000:,.0f}"


def _costs(check: NetworkCheck | SegmenterCheck) -> tuple[str, str, str]:
    cost = check.cost
    if cost is None:
        return "–", "–", "–"
    memory = "–" if cost.memory_mb is None else f"{cost.memory_mb:.0f}"
    return f"{cost.milliseconds:.1f}", f"{cost.photos_per_second:.0f}", memory


def _points(share: float) -> str:
    return f"{100 * share:.2f} %"


def _failures(checks: Sequence[NetworkCheck] | Sequence[SegmenterCheck]) -> Markup:
    listed = [f"{check.name}: {why}" for check in checks for why in check.failures]
    return html.bullets(listed) if listed else Markup("")


def _answers(parity: Parity) -> Markup:
    return html.section(
        "Answers against the run's, photo by photo",
        html.table(
            (
                "file",
                "engine",
                "same first answer",
                "held out",
                "mean difference of a probability",
                "largest",
                "largest difference of a logit",
                "outline differs",
                "loss of accuracy, points",
                "upper bound",
            ),
            [
                (
                    MODEL_FILES[check.network],
                    check.engine,
                    _points(check.agreement),
                    "–" if check.held_out_agreement is None else _points(check.held_out_agreement),
                    f"{check.mean_probability_difference:.4f}",
                    f"{check.largest_probability_difference:.3f}",
                    f"{check.largest_logit_difference:.2g}",
                    str(check.other_input),
                    *_lost(check.accuracy),
                )
                for check in parity.networks
            ],
            text_columns=2,
        ),
    )


def _lost(loss: Loss | None) -> tuple[str, str]:
    if loss is None:
        return "–", "–"
    bound = "–" if loss.bound is None else f"{100 * loss.bound:z.2f}"
    return f"{100 * loss.loss:z.2f}", bound


def _diagnoses(parity: Parity) -> Markup:
    names = {name: None for check in parity.networks for name in check.recall_loss}
    recall = html.table(
        ("diagnosis", *(check.name for check in parity.networks)),
        [
            (name, *(f"{100 * check.recall_loss[name]:z.2f}" for check in parity.networks))
            for name in names
        ],
        caption=f"Loss of recall, points, of diagnoses with {ENOUGH_PHOTOS} photos or more",
    )
    flipped = [
        f"{check.name}, {name}, {len(photos)}: {_few(photos)}"
        for check in parity.networks
        for name, photos in check.flipped.items()
        if photos
    ]
    if parity.networks[0].accuracy is None:
        return Markup("")
    rarer: list[Markup] = []
    if any(check.flipped for check in parity.networks):
        heading = html.element("h3", "Photos of rarer diagnoses that are answered otherwise")
        rarer = [heading, html.bullets(flipped) if flipped else html.paragraph("None.")]
    return html.section("By diagnosis", recall if names else "", *rarer)


def _few(photos: Sequence[str]) -> str:
    more = len(photos) - _LISTED
    return ", ".join(photos[:_LISTED]) + (f" and {more} more in parity.json" if more > 0 else "")


def _segmenter(info: BundleInfo, parity: Parity) -> list[Markup]:
    return [_segmenters(info, parity), _masks(parity)]


def _segmenters(info: BundleInfo, parity: Parity) -> Markup:
    rows = [
        (
            *_named(check, info, SEGMENTER_FILES[check.network], info.default_segmenter),
            f"{check.jaccard.network:.4f}" if check.jaccard else "–",
            *_costs(check),
        )
        for check in parity.segmenters
    ]
    first = parity.segmenters[0]
    if first.jaccard:
        rows.insert(0, ("the run", "PyTorch", "", "", f"{first.jaccard.run:.4f}", "", "", ""))
    return html.section(
        "Segmenter",
        html.table(
            ("file", "engine", "verdict", "kB", "Jaccard with people's masks", *_COSTS),
            rows,
            caption=f"On {first.photos} photos, those of training among them",
            text_columns=3,
        ),
        _failures(parity.segmenters),
    )


def _masks(parity: Parity) -> Markup:
    return html.section(
        "Masks against the run's, photo by photo",
        html.table(
            (
                "file",
                "engine",
                "mean Jaccard",
                "smallest",
                "largest difference of a logit",
                "loss of Jaccard with people's masks, points",
                "upper bound",
            ),
            [
                (
                    SEGMENTER_FILES[check.network],
                    check.engine,
                    f"{check.mean_jaccard:.4f}",
                    f"{check.smallest_jaccard:.3f}",
                    f"{check.largest_logit_difference:.2g}",
                    *_lost(check.jaccard),
                )
                for check in parity.segmenters
            ],
            text_columns=2,
        ),
    )


def _method(parity: Parity) -> Markup:
    ranges = [f"{file}: ranges by {method}" for file, method in parity.methods.items()]
    tuned = [f"{file}: weights adapted to int8 on training photos" for file in parity.fine_tuned]
    return html.section(
        "How it was compared",
        html.paragraph(
            "Each file ran in its own engine, from the photo's bytes to probabilities, on all "
            f"photos of the split but the {parity.calibration_photos} training photos on which "
            "the int8 ranges were measured, beside the trained network in PyTorch. Milliseconds "
            "and memory are of a process of its own, decoding included."
        ),
        html.bullets(
            [
                f"fp32: no logit may differ by more than {LOGIT_LIMIT:g}. Where rounding moves a "
                "lesion's outline by a pixel, the answers alone are compared.",
                f"All: the first answer is the same on {LEAST_AGREEMENT:.0%} or more, "
                f"probabilities differ by {LARGEST_MEAN_DIFFERENCE:g} or less on average.",
                f"int8: the upper 95 % bound of the loss of accuracy, over resampled groups, is "
                f"at most {100 * LARGEST_LOSS:g} point, and no diagnosis with {ENOUGH_PHOTOS} "
                f"photos or more loses more than {100 * LARGEST_RECALL_LOSS:g} points of recall.",
                f"Segmenters: the mean Jaccard with the run's masks is at least {MASK_JACCARD:g} "
                f"(int8: {INT8_MASK_JACCARD:g}), and with people's masks it falls by at most "
                f"{100 * LARGEST_LOSS:g} point at its upper 95 % bound.",
                *ranges,
                *tuned,
            ]
        ),
    )
