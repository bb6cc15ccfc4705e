"""MODEL_CARD.md: what a bundle's model is, what it was trained on, and where it ends."""

from collections.abc import Mapping, Sequence

from cutis.export.parity import Parity
from cutis.records import NOTICE, ModelInfo
from cutis.runtime.bundle import BundleDiagnosis

_LIMITS = """\
- It knows only the diagnoses listed above, and answers one of them for any picture, be it of \
another disease, of healthy skin or of no skin at all.
- Photos from other cameras, clinics and skin tones than those of the training photos can be \
answered worse than the figures say.
- The figures hold for photos like those that they were measured on, and for the shares of the \
diagnoses among them.
- No clinician has reviewed the names, grades or texts of the diagnoses."""

_UNSAFE = """\
> **UNSAFE.** This model comes from a split that lets photos of one lesion stand on both sides. \
Its figures are too high, and it is for showing what such leaks do, not for use."""


def model_card(
    info: ModelInfo,
    diagnoses: Sequence[BundleDiagnosis],
    parity: Parity,
    calibration_photos: int,
    scores: Mapping[str, Mapping[str, float | str | None]] | None,
) -> str:
    """The card as Markdown.

    Args:
        scores: the `scores` of a report's metrics.json; None leaves the figures out.
    """
    sections = [
        f"# {info.architecture}, {len(info.diagnoses)} diagnoses",
        *([_UNSAFE] if info.provenance.unsafe else []),
        NOTICE,
        "## Model\n\n" + _model(info),
        "## Diagnoses\n\n" + _diagnoses(info, diagnoses),
        "## Training photos\n\n" + _training(info),
        "## Figures\n\n" + _figures(scores),
        "## Export\n\n" + _export(parity, calibration_photos),
        "## Limits\n\n" + _LIMITS,
        "## Licence\n\n" + _licence(info),
    ]
    return "\n\n".join(sections) + "\n"


def _model(info: ModelInfo) -> str:
    settings = info.preprocessing
    return "\n".join(
        [
            f"- architecture: {info.architecture}",
            f"- input: RGB photo at {settings.size} x {settings.size} pixels ({settings.fit}), "
            f"scaled to [0, 1], mean {_list(settings.mean)}, standard deviation "
            f"{_list(settings.std)}",
            f"- output: logits; probabilities are their softmax at temperature "
            f"{info.temperature:.4g}",
            f"- recipe: {info.provenance.recipe}, seed {info.provenance.seed}",
            f"- trained with Cutis {info.cutis_version}",
        ]
    )


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


def _training(info: ModelInfo) -> str:
    origin = info.provenance
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


def _figures(scores: Mapping[str, Mapping[str, float | str | None]] | None) -> str:
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


def _export(parity: Parity, calibration_photos: int) -> str:
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


def _licence(info: ModelInfo) -> str:
    return f"Weights: {info.licence}. The licences of the training photos above also bind."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _list(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
