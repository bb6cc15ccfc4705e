"""The part of a report's page that says what was trained on what."""

from collections.abc import Iterable, Mapping

from markupsafe import Markup

from cutis import html
from cutis.evaluation.context import ReportContext
from cutis.evaluation.names import display_name

_UNKNOWN = "not known"


def title(context: ReportContext) -> str:
    """The title of the page: what was judged where."""
    what = context.model.provenance.recipe if context.model else "Predictions"
    where = f" on the {context.part} part" if context.part else ""
    return f"{what}{where}"


def setting(
    context: ReportContext,
    photo_facts: Iterable[tuple[str, html.Content]],
    here: Mapping[str, int],
) -> Markup:
    """What was trained on what, and how often this part was used.

    Args:
        photo_facts: what is to be said of the photos, by name.
        here: the photos that were judged, by diagnosis.
    """
    uses = _UNKNOWN if context.test_uses is None else context.test_uses
    facts: list[tuple[str, html.Content]] = [
        ("Part", f"{context.part or _UNKNOWN}, split {context.split_name or _UNKNOWN}"),
        ("Evaluations of this part so far", uses),
        *photo_facts,
    ]
    overlaps = {
        "Left out, for the model has seen them or siblings": context.left_out,
        "Judged although the model was trained or chosen on them": context.seen_by_model,
        "Judged although their masks' segmenter knows them or siblings": context.known_to_segmenter,
    }
    facts += [(name, photos) for name, photos in overlaps.items() if photos]
    model = context.model
    counts: Mapping[str, Mapping[str, int]] = context.counts or {}
    if model is not None:
        made = model.provenance
        counts = context.counts or {"trained on": made.train_counts}
        photos = sum(made.train_counts.values())
        facts += [
            ("Model", f"{model.architecture}, input {model.preprocessing.size} pixels"),
            ("Recipe, seed", f"{made.recipe}, {made.seed}"),
            ("Trained on", f"{photos} photos of {made.train_groups} groups"),
            ("Sources", ", ".join(made.sources) or _UNKNOWN),
            ("Licences of the photos", ", ".join(made.licences) or _UNKNOWN),
            ("Catalog", _code(made.catalog_sha256)),
            ("Split of the training", _code(f"{made.split_name} {made.split_sha256}")),
            ("Cutis", model.cutis_version),
        ]
    else:
        facts.append(("Model", _UNKNOWN))
    recipe = (
        html.joined([html.element("h3", "Recipe as run"), html.element("pre", context.recipe_text)])
        if context.recipe_text
        else Markup("")
    )
    return html.section(
        "What was trained on what",
        html.table(["Fact", "Value"], facts, text_columns=2),
        _counts(counts, here),
        recipe,
    )


def _counts(counts: Mapping[str, Mapping[str, int]], here: Mapping[str, int]) -> Markup:
    names = list(dict.fromkeys([*here, *(name for column in counts.values() for name in column)]))
    columns = [*counts.values(), here]
    rows: list[list[html.Content]] = [
        [display_name(name), *(column.get(name, 0) for column in columns)] for name in names
    ]
    total: list[html.Content] = ["Together", *(sum(column.values()) for column in columns)]
    return html.joined(
        [
            html.element("h3", "Photos by diagnosis"),
            html.table(["Diagnosis", *counts, "evaluated here"], [*rows, total]),
        ]
    )


def _code(text: str) -> Markup:
    return html.element("code", text)
