"""What the facts of an evaluation mean, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

from cutis.evaluation.assembly import SMALL
from cutis.evaluation.context import EvaluationContext, ReportContext
from cutis.evaluation.names import display_name
from cutis.evaluation.table import EvaluationTable
from cutis.records import Part

ALARM_ACCURACY = 0.90
ALARM = (
    "A small model above 0.90 accuracy on HAM10000 is a leak until shown otherwise: split by "
    "lesion, a ResNet-50 at 224 pixels reaches 0.841."
)
UNSAFE = (
    "The split behind this model or this part was made by image, so photos of one lesion stand on "
    "both sides. The figures show what a leak does and say nothing about new patients."
)
_LONG = 12  # names in one sentence


def alarm(table: EvaluationTable, unsafe: bool) -> str | None:
    """Why the figures may be too good, or None."""
    from_ham = table.photos["source"].astype("string").str.startswith("ham10000").fillna(False)
    if from_ham.any():
        right = table.truth_index == table.predicted_index
        accuracy = float(right[from_ham.to_numpy(bool)].mean())
        if accuracy > ALARM_ACCURACY:
            return f"{ALARM} Here accuracy on its photos is {accuracy:.3f}."
    return ALARM if unsafe else None


def verdict(metrics: Mapping[str, Any]) -> str:
    """The figures that count, in one sentence."""
    balanced = metrics["scores"]["balanced_accuracy"]
    accuracy = metrics["scores"]["accuracy"]
    text = (
        f"Balanced accuracy {words(balanced)}, accuracy {words(accuracy)} on "
        f"{metrics['photos']} photos of {metrics['groups']} groups"
    )
    area = metrics["malignant"].get("auroc")
    if area and area["value"] is not None:
        text += f"; malignant against benign AUROC {words(area)}"
    return text + "."


def words(figure: Mapping[str, Any]) -> str:
    """A figure with its interval, e.g. 0.731 (0.702 to 0.760)."""
    if figure["value"] is None:
        return "not defined"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def limits(
    table: EvaluationTable, metrics: Mapping[str, Any], context: EvaluationContext
) -> list[str]:
    """The limits of the model as the facts of this evaluation give them."""
    return [
        *_diagnosis_limits(metrics["per_diagnosis"]),
        *_photo_limits(table),
        *table.notes,
        *use_limits(context),
        "Operating points are found on the photos that they are reported for, which favours them a "
        "little; thresholds chosen on validation, where they were given, do not have this fault.",
    ]


def _diagnosis_limits(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    entries = list(entries)
    absent = [e["diagnosis"] for e in entries if e["photos"] == 0]
    few = [e["diagnosis"] for e in entries if 0 < e["photos"] < SMALL]
    beyond = [e["diagnosis"] for e in entries if not e["known_to_model"]]
    made = []
    if beyond:
        made.append(f"The model cannot answer {_list(beyond)}: every such photo is a mistake.")
    if absent:
        made.append(f"Nothing is known about {_list(absent)}: no photo here shows it.")
    if few:
        made.append(f"Fewer than {SMALL} photos show {_list(few)}; these figures are rough.")
    known = [e for e in entries if e["known_to_model"]]
    made.append(
        f"The model knows {len(known)} diagnoses and answers one of them for every photo, also for "
        "one that shows something else."
    )
    return made


def _photo_limits(table: EvaluationTable) -> list[str]:
    photos = table.photos
    made = []
    sources = sorted(photos["source"].dropna().astype(str).unique())
    if len(sources) == 1:
        made.append(one_collection(sources[0]))
    elif not sources:
        made.append("Where the photos come from is not known.")
    modalities = set(photos["modality"].dropna().astype(str))
    if modalities == {"dermoscopic"}:
        made.append("All photos are dermoscopic: nothing here speaks for photos from a phone.")
    elif modalities == {"clinical"}:
        made.append("All photos are clinical: nothing here speaks for dermoscopy.")
    elif not modalities:
        made.append("Whether the photos are dermoscopic or clinical is not known.")
    made.append(
        "Skin tone is not recorded, so fairness across skin tones was not measured. A model "
        "trained on HAM10000 reached an AUROC of 0.72 on lighter and 0.57 on the darkest tones of "
        "another set (Daneshjou et al. 2022, DDI)."
    )
    confirmed = int((photos["confirmed_by"] == "histology").sum())
    if confirmed < len(photos):
        made.append(
            f"Histology confirmed {confirmed} of {len(photos)} photos; the truth of the others is "
            "a doctor's judgement or a follow-up, or its origin is not known."
        )
    for column in ("age", "sex"):
        unknown = int(photos[column].isna().sum())
        if unknown:
            made.append(f"The {column} is not known for {unknown} of {len(photos)} photos.")
    return made


def one_collection(name: str) -> str:
    """What it means that all photos have one source."""
    return (
        f"All photos come from one collection, {name}. Other cameras, clinics and populations were "
        "not tested; expect lower figures there."
    )


def use_limits(context: ReportContext) -> list[str]:
    """What using this part before, or training on it, does to the figures."""
    made = []
    uses = context.test_uses
    if uses is not None and uses > 1:
        made.append(
            f"This test part has been evaluated {uses} times. The more often choices are made by "
            "looking at it, the more these figures flatter."
        )
    if context.part in (Part.TRAIN, Part.VALIDATION):
        made.append(
            f"This is the {context.part} part: the model or its settings were chosen on it, so the "
            "figures are too good for new photos."
        )
    return made


def _list(class_ids: list[str]) -> str:
    names = [display_name(name) for name in class_ids]
    if len(names) > _LONG:
        names = [*names[:_LONG], f"{len(names) - _LONG} more"]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
