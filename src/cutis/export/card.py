"""MODEL_CARD.md: what a bundle holds, what it was trained on, and where it ends."""

from collections.abc import Mapping, Sequence

from cutis.export.parity import ModelParity, Parity, SegmenterParity
from cutis.metrics.lesion_measures import MEASURES_NOTICE
from cutis.records import NOTICE, ModelInfo, Preprocessing, Provenance, SegmenterInfo
from cutis.runtime.bundle import BundleDiagnosis, BundleInfo

Scores = Mapping[str, Mapping[str, float | str | None]]
"""The `scores` of a report's metrics.json: value, low and high by name."""

_LIMITS = """\
- It knows only the diagnoses listed above, and answers one of them for any picture, be it of \
another disease, of healthy skin or of no skin at all.
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


def model_card(info: BundleInfo, parity: Parity, scores: Scores | None) -> str:
    """The card as Markdown.

    Args:
        scores: the `scores` of a report's metrics.json; None leaves the figures out.
    """
    held = [part for part in (info.model, info.segmenter) if part]
    sections = [
        "# " + _title(info),
        *([_UNSAFE] if any(part.provenance.unsafe for part in held) else []),
        NOTICE,
    ]
    if info.model and parity.model:
        sections += [
            "## Model\n\n" + _model(info.model),
            "## Diagnoses\n\n" + _diagnoses(info.model, info.diagnoses),
            "## Training photos\n\n" + _training(info.model.provenance),
            "## Figures\n\n" + _figures(scores),
            "## Export\n\n" + _export(parity.model, info.calibration_photos),
        ]
    if info.segmenter and parity.segmenter:
        sections += [
            "## Segmenter\n\n" + _segmenter(info.segmenter),
            "## Training photos of the segmenter\n\n" + _training(info.segmenter.provenance),
            *([] if info.model else ["## Figures\n\n" + _figures(scores)]),
            "## Export of the segmenter\n\n" + _segmenter_export(parity.segmenter),
        ]
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


def _export(parity: ModelParity, calibration_photos: int) -> str:
    return "\n".join(
        [
            f"On {parity.photos} photos that the int8 ranges were not measured on, against the "
            "trained network:",
            "",
            f"- fp32: largest difference of a logit {parity.fp32.largest_logit_difference:.2g}",
            f"- int8: the first answer is the same on {parity.int8.agreement:.1%}, mean absolute "
            f"difference of a probability {parity.int8.mean_probability_difference:.4f}",
            f"- int8 ranges: measured on {calibration_photos} training photos",
            f"- runs unless told otherwise: {parity.default_model}",
        ]
    )


def _segmenter_export(parity: SegmenterParity) -> str:
    found = parity.fp32
    return "\n".join(
        [
            f"On {parity.photos} photos, against the trained network:",
            "",
            f"- largest difference of a logit {found.largest_logit_difference:.2g}",
            f"- Jaccard of both masks: {found.mean_jaccard:.4f} on average, at least "
            f"{found.smallest_jaccard:.4f}",
        ]
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
