"""What a comparison says, in words."""

from collections.abc import Mapping, Sequence

from cutis.studies.comparison.record import (
    Arm,
    EntryRecord,
    Figure,
    Pair,
    PublishedRecord,
    Spread,
)

FIGURE_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision_macro": "Precision, macro",
    "f1_macro": "F1, macro",
    "auroc_macro": "AUROC, macro",
    "malignant_recall": "Recall of malignant",
    "malignant_precision": "Precision of malignant",
    "malignant_f1": "F1 of malignant",
}
"""Macro recall is balanced accuracy, so it has no column of its own."""

UNSAFE = (
    "The split of what is marked so was made by image: photos of one lesion stand on both sides. "
    "Its figures show what a leak does and say nothing about new patients."
)
NOT_INDEPENDENT = (
    "McNemar's and DeLong's tests take the photos as independent. Here several photos share a "
    "group, so where they and the intervals over groups disagree, the intervals hold."
)
_LEVEL = 0.05


def names_of(name: str) -> set[str]:
    """The keys under which a figure may be published; macro recall is balanced accuracy."""
    return {name, "recall_macro"} if name == "balanced_accuracy" else {name}


def published_figure(published: PublishedRecord, name: str) -> float | None:
    """A published figure; `train_` before the name asks for the training part's."""
    prefix = "train_" if name.startswith("train_") else ""
    keys = (prefix + key for key in sorted(names_of(name.removeprefix(prefix))))
    return next((published.figures[key] for key in keys if key in published.figures), None)


def figure_name(name: str) -> str:
    """The head of a column; a key that only the published figures have is shown in words."""
    return FIGURE_NAMES.get(name, name.replace("_", " ").capitalize())


def verdict(
    published: Sequence[PublishedRecord],
    arms: Sequence[Arm],
    entries: Mapping[str, EntryRecord],
    pairs: Sequence[Pair],
) -> tuple[str, ...]:
    """The comparison in a few plain sentences."""
    lead = _lead(published, arms)
    given = [f"{one.name} {value:.3f}" for one in published
             if (value := published_figure(one, lead)) is not None]  # fmt: skip
    ours = [_arm_words(arm, lead, entries) for arm in arms]
    sentences = [f"{FIGURE_NAMES[lead]}: {'; '.join([*given, *ours])}."]
    sentences += _gaps(arms, lead, entries)
    if pairs:
        sentences.append(_differences(pairs))
    return tuple(sentences)


def _lead(published: Sequence[PublishedRecord], arms: Sequence[Arm]) -> str:
    """The figure that the first sentence is about: the first that others published and we have."""
    for name in FIGURE_NAMES:
        given = any(published_figure(one, name) is not None for one in published)
        if given and all(name in arm.figures for arm in arms):
            return name
    return "balanced_accuracy"


def _arm_words(arm: Arm, name: str, entries: Mapping[str, EntryRecord]) -> str:
    title = f"{arm.name} (UNSAFE)" if arm.unsafe else arm.name
    if len(arm.entries) == 1:
        return f"{title} {figure_words(entries[arm.entries[0]].figures[name])}"
    return f"{title} {spread_words(arm.figures[name])}"


def _gaps(arms: Sequence[Arm], name: str, entries: Mapping[str, EntryRecord]) -> list[str]:
    """How far the unsafe arm of a recipe stands above its leak-free one, if it has one of each."""
    by_recipe: dict[str, list[Arm]] = {}
    for arm in arms:
        by_recipe.setdefault(entries[arm.entries[0]].model.provenance.recipe, []).append(arm)
    made = []
    for held in by_recipe.values():
        leak_free, *unsafe = sorted(held, key=lambda arm: arm.unsafe)
        if [arm.unsafe for arm in (leak_free, *unsafe)] != [False, True]:
            continue
        means = unsafe[0].figures[name].mean, leak_free.figures[name].mean
        if means[0] is not None and means[1] is not None:
            points = 100 * (means[0] - means[1])
            made.append(f"{unsafe[0].name} less {leak_free.name}: {points:+.1f} points.")
    if made:
        made.append(
            "An UNSAFE arm is judged on other photos than a leak-free one, so this is no measure "
            "of the leak alone; cutis leak-cost gives one."
        )
    return made


def _differences(pairs: Sequence[Pair]) -> str:
    """How many of the pairs differ in accuracy, and the clearest of them."""
    clearest = min(pairs, key=lambda pair: pair.mcnemar_mid_p)
    gain = clearest.differences["accuracy"]
    sound = sum(_excludes_zero(pair.differences["accuracy"]) for pair in pairs)
    named = (
        f"{clearest.second} less {clearest.first}: {_points(gain)} of accuracy, McNemar mid-p "
        f"{p_words(clearest.mcnemar_mid_p)}"
    )
    if len(pairs) == 1:
        return f"{named}. {'The difference holds' if sound else 'This may be chance'}."
    corrected = sum(pair.mcnemar_holm < _LEVEL for pair in pairs)
    return (
        f"Of {len(pairs)} pairs on the same photos, {corrected} differ in accuracy by McNemar's "
        f"test after Holm's correction, and for {sound} the interval over groups leaves out zero. "
        f"The clearest is {named}."
    )


def _points(gain: Figure) -> str:
    text = f"{100 * (gain.value or 0.0):+.1f} points"
    if gain.low is None or gain.high is None:
        return text
    return f"{text} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _excludes_zero(figure: Figure) -> bool:
    return (
        figure.low is not None and figure.high is not None and not (figure.low <= 0 <= figure.high)
    )


def figure_words(figure: Figure) -> str:
    """A figure with its interval, e.g. 0.731 (0.702 to 0.760)."""
    if figure.value is None:
        return "not defined"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def spread_words(spread: Spread) -> str:
    """A mean over seeds with their range, e.g. 0.731 (3 seeds, 0.722 to 0.740)."""
    if spread.mean is None:
        return "not defined"
    if spread.entries == 1:
        return f"{spread.mean:.3f}"
    return f"{spread.mean:.3f} ({spread.entries} seeds, {spread.low:.3f} to {spread.high:.3f})"


def p_words(p_value: float | None) -> str:
    """A p-value as it is written: three places, and no false zero."""
    if p_value is None:
        return "–"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
