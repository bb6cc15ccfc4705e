"""MODEL_CARD.md: what a bundle holds, what it was trained on, and where it ends."""

from collections.abc import Collection, Mapping, Sequence

from cutis.export.parity import Loss, NetworkCheck, Parity, SegmenterCheck, verdict
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.metrics.lesion_measures import MEASURES_NOTICE
from cutis.records import NOTICE, ModelInfo, Preprocessing, Provenance, SegmenterInfo
from cutis.runtime.bundle import MODEL_FILES, SEGMENTER_FILES, BundleDiagnosis, BundleInfo

Scores = Mapping[str, Mapping[str, float | str | None]]
"""The `scores` of a report's metrics.json: value, low and high by name."""

_LIMITS = """\
- It knows only the diagnoses listed above. Of another disease, of healthy skin or of no skin at \
all it may say that it cannot tell, and it may answer one of them.
- Photos from other cameras, clinics and skin tones than those of the training photos can be \
answered worse than the figures say.
- The figures hold for photos like those that they were measured on, and for the shares of the \
diagnoses among them.
- No clinician has reviewed the names, grades or texts of the diagnoses."""

_SEGMENTER_LIMITS = f"""\
- The segmenter outlines something on most pictures, be there a lesion or not, and can miss one. \
People who use a mask look at it first.
- Photos from other cameras, clinics and skin tones, and lesions of other kinds than those of the \
training photos, can be outlined worse.
- {MEASURES_NOTICE}"""

_UNSAFE = """\
> **UNSAFE.** What this bundle holds comes from a split that lets photos of one lesion stand on \
both sides. Its figures are too high, and it is for showing what such leaks do, not for use."""


_LESION = {
    "mask": "all but the lesion is black",
    "crop": "a square around the lesion is cut out",
    "channel": "the lesion's mask is a fourth channel",
}


def model_card(
    info: BundleInfo, parity: Parity, scores: Scores | None, notes: str | None = None
) -> str:
    """The card as Markdown.

    Args:
        scores: the `scores` of a report's metrics.json; None leaves the figures out.
        notes: Markdown that is taken over as it is.
    """
    held = [part for part in (info.model, info.segmenter) if part]
    sections = [
        "# " + _title(info),
        *([_UNSAFE] if any(part.provenance.unsafe for part in held) else []),
        NOTICE,
    ]
    if info.allowed:
        sections.insert(1, _allowed(info.allowed))
    if info.model:
        sections += [
            "## Model\n\n" + _model(info.model),
            "## Diagnoses\n\n" + _diagnoses(info.model, info.diagnoses),
            "## Training photos\n\n" + _training(info.model.provenance),
            "## Figures\n\n" + _figures(scores),
            "## Knowing when not to answer\n\n" + _policies(info.policies),
            "## Export\n\n" + _export(info, parity),
        ]
    if info.segmenter:
        sections += [
            "## Segmenter\n\n" + _segmenter(info.segmenter),
            "## Training photos of the segmenter\n\n" + _training(info.segmenter.provenance),
            *([] if info.model else ["## Figures\n\n" + _figures(scores)]),
            "## Export of the segmenter\n\n" + _segmenter_export(info, parity),
        ]
    if notes:
        sections.append("## Notes\n\n" + notes.strip())
    sections += [
        "## Limits\n\n" + _limits(info),
        "## Licence\n\n" + "\n".join(_licences(info)),
    ]
    return "\n\n".join(sections) + "\n"


def _title(info: BundleInfo) -> str:
    held = []
    if info.model:
        held.append(f"{info.model.architecture}, {len(info.model.diagnoses)} diagnoses")
    if info.segmenter:
        held.append(f"{info.segmenter.architecture}, outlines of lesions")
    return "; ".join(held)


def _model(info: ModelInfo) -> str:
    return "\n".join(
        [
            f"- architecture: {info.architecture}",
            _input(info.preprocessing),
            *_looks(info.preprocessing.lesion),
            f"- output: logits; probabilities are their softmax at temperature "
            f"{info.temperature:.4g}",
            *_origin(info),
        ]
    )


def _looks(lesion: str) -> list[str]:
    if lesion == "none":
        return []
    return [
        f"- lesion: {_LESION[lesion]}, as the segmenter below finds it; where it finds none or "
        "several, the whole photo is taken"
    ]


def _segmenter(info: SegmenterInfo) -> str:
    filters = f", {info.filters} filters in the first block" if info.filters else ""
    return "\n".join(
        [
            "It marks which pixels of a photo belong to the lesion. It does not say what the "
            "lesion is.",
            "",
            f"- architecture: {info.architecture}{filters}",
            _input(info.preprocessing),
            f"- output: a logit for each pixel; from a probability of {info.threshold:g} on, "
            "chosen on validation photos, it is lesion",
            *_origin(info),
        ]
    )


def _input(settings: Preprocessing) -> str:
    return (
        f"- input: RGB photo at {settings.size} x {settings.size} pixels ({settings.fit}), "
        f"scaled to [0, 1], mean {_list(settings.mean)}, standard deviation {_list(settings.std)}"
    )


def _origin(info: ModelInfo | SegmenterInfo) -> list[str]:
    return [
        f"- recipe: {info.provenance.recipe}, seed {info.provenance.seed}",
        f"- trained with Cutis {info.cutis_version}",
    ]


def _diagnoses(info: ModelInfo, diagnoses: Sequence[BundleDiagnosis]) -> str:
    counts = info.provenance.train_counts
    rows = [
        (
            diagnosis.name.get("en", diagnosis.id),
            f"`{diagnosis.id}`",
            diagnosis.malignancy or "not settled",
            diagnosis.urgency or "not settled",
            str(counts.get(diagnosis.id, "unknown")),
        )
        for diagnosis in diagnoses
    ]
    return _table(("diagnosis", "id", "malignancy", "urgency", "training photos"), rows)


def _training(origin: Provenance) -> str:
    return "\n".join(
        [
            f"- photos: {sum(origin.train_counts.values())} of {origin.train_groups} groups "
            "(photos of one lesion or patient, and duplicates, are one group)",
            f"- sources: {_list(origin.sources) or 'unknown'}",
            f"- licences of the photos: {_list(origin.licences) or 'unknown'}",
            f"- catalog: SHA-256 {origin.catalog_sha256}",
            f"- split: {origin.split_name}, SHA-256 {origin.split_sha256}"
            + (", UNSAFE" if origin.unsafe else ", no group on two sides"),
        ]
    )


def _figures(scores: Scores | None) -> str:
    if scores is None:
        return "None were given at the export; see the report of the run."
    rows = [(name.replace("_", " "), _value(figure)) for name, figure in scores.items()]
    return _table(("score", "value (95 % interval)"), rows)


def _value(figure: Mapping[str, float | str | None]) -> str:
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    if not isinstance(value, float | int):
        return "not defined"
    if not isinstance(low, float | int) or not isinstance(high, float | int):
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _allowed(allowed: Mapping[str, Sequence[str]]) -> str:
    listed = "; ".join(f"{name}: {', '.join(why)}" for name, why in allowed.items())
    return f"> **Let in although it fails.** Networks do not answer as the run does ({listed})."


def _policies(policies: Mapping[str, AnswerPolicy]) -> str:
    if not policies:
        return (
            "The validation photos were too few to say when the model cannot tell: it answers "
            "every photo."
        )
    rows = [
        (
            name,
            f"{policy.level:.0%}",
            str(policy.largest_set),
            f"{policy.kept_share:.1%}",
            ", ".join(flag.value for flag in policy.refusing_flags),
        )
        for name, policy in sorted(policies.items())
    ]
    return (
        "An answer is a set of diagnoses that holds the true one with the stated chance, for "
        "photos like those of validation. Larger sets, photos unlike the training photos and "
        "photos of poor quality get no answer.\n\n"
        + _table(("network", "chance", "largest set", "valid photos kept", "refused"), rows)
    )


def _export(info: BundleInfo, parity: Parity) -> str:
    compared = parity.networks[0].photos
    rows = [
        (
            MODEL_FILES[check.network],
            check.engine,
            verdict(check, info),
            f"{check.bytes / 1e6:.2f}",
            f"{check.agreement:.2%}",
            f"{check.mean_probability_difference:.4f}",
            _lost(check.accuracy),
            _milliseconds(check),
        )
        for check in parity.networks
    ]
    return (
        f"On {compared} photos on which no range was measured, from file to probability, against "
        f"the trained network. {_ranges(parity, MODEL_FILES.values())}Runs unless told: "
        f"{info.default_model}.\n\n"
        + _table(
            (
                "file",
                "engine",
                "",
                "MB",
                "same first answer",
                "mean difference of a probability",
                "loss of accuracy, points",
                "ms a photo",
            ),
            rows,
        )
    )


def _ranges(parity: Parity, files: Collection[str]) -> str:
    said = [f"by {method}" for file, method in parity.methods.items() if file in files]
    said += ["weights adapted to int8" for file in parity.fine_tuned if file in files]
    if not said:
        return ""
    return f"Ranges of int8: {parity.calibration_photos} training photos, {', '.join(said)}. "


def _lost(loss: Loss | None) -> str:
    if loss is None:
        return "–"
    bound = "" if loss.bound is None else f" (at most {100 * loss.bound:z.2f})"
    return f"{100 * loss.loss:z.2f}{bound}"


def _milliseconds(check: NetworkCheck | SegmenterCheck) -> str:
    return "–" if check.cost is None else f"{check.cost.milliseconds:.1f}"


def _segmenter_export(info: BundleInfo, parity: Parity) -> str:
    rows = [
        (
            SEGMENTER_FILES[check.network],
            check.engine,
            verdict(check, info),
            f"{check.bytes / 1e6:.2f}",
            f"{check.mean_jaccard:.4f}",
            f"{check.smallest_jaccard:.3f}",
            _lost(check.jaccard),
            _milliseconds(check),
        )
        for check in parity.segmenters
    ]
    return (
        f"On {parity.segmenters[0].photos} photos, against the trained network. "
        f"{_ranges(parity, SEGMENTER_FILES.values())}Runs unless told: {info.default_segmenter}."
        "\n\n"
        + _table(
            (
                "file",
                "engine",
                "",
                "MB",
                "Jaccard of both masks",
                "smallest",
                "loss of Jaccard, points",
                "ms a photo",
            ),
            rows,
        )
    )


def _limits(info: BundleInfo) -> str:
    held = [(info.model, _LIMITS), (info.segmenter, _SEGMENTER_LIMITS)]
    return "\n".join(text for part, text in held if part)


def _licences(info: BundleInfo) -> list[str]:
    also = "The licences of the training photos above also bind."
    if info.model and info.segmenter:
        weights = f"Weights of the model: {info.model.licence}. Of the segmenter: "
        return [f"{weights}{info.segmenter.licence}. {also}"]
    return [f"Weights: {part.licence}. {also}" for part in (info.model, info.segmenter) if part]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _list(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
