"""A published system run twice: as its paper ran it, and without the leak.

As published: the paper's shares and seed, photos dealt one by one, so that photos of one lesion
stand on both sides (marked UNSAFE). Leak-free: the same share of training photos, whole groups, and
always a test part that no choice has seen. A paper that over-sampled before its split gets its
copies in a catalog of their own; leak-free, only training over-samples. See
docs/verbs/reproduce.md.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from cutis.recipes.paper import Way
from cutis.storage import write_file
from cutis.studies.comparison import Entry, Published, compare
from cutis.studies.reproduce_plan import MARKER, Plan
from cutis.studies.reproduction import Reproduction, Row, conclusions_of, rows_of
from cutis.training.lesion_masks import LESION, LesionUse
from cutis.training.train import train

PAGE = Path("comparison", "page.html")
FEW_SEEDS = 3


def carry_out(plan: Plan) -> Reproduction:
    """Makes the trainings that are still to be made, and the page; returns the record.

    `plan.out` gets `reproduction.json`, `runs/RECIPE/WAY-seed-N` and `comparison/`. Finished
    trainings are kept, so the same call goes on after a stop, and more seeds add to those done.
    """
    record = plan.begun.model_copy(
        update={
            "siblings": {way: dealt.siblings for way, dealt in plan.dealt.items()},
            "copies": {way: dealt.copies for way, dealt in plan.dealt.items()},
            "known_to_segmenter": {
                way: dealt.known_to_segmenter for way, dealt in plan.dealt.items()
            },
        }
    )
    _write(plan.out, record)
    entries = []
    for number, training in enumerate(plan.trainings, start=1):
        dealt = plan.dealt[training.way]
        entry = f"{training.arm}, seed {training.seed}"
        tqdm.write(f"training {number} of {len(plan.trainings)}: {entry}", file=sys.stderr)
        run = train(
            training.recipe,
            dealt.catalog.folder,
            plan.out / training.folder,
            split=dealt.split.name,
            weights=record.weights,
            segmenter=plan.segmenter,
        )
        entries.append(Entry(entry, run.folder, training.arm, training.part, dealt.catalog.folder))
    comparison = compare(
        entries,
        plan.out / PAGE.parent,
        title=f"{record.name}, reproduced",
        published=[
            Published(f"{followed.recipe.name}, published", followed.paper.published)
            for followed in plan.recipes
            if followed.paper.published
        ],
        notes=notes_of(plan),
    )
    arms = {(t.followed.recipe.name, t.way): t.arm for t in plan.trainings}
    rows: tuple[Row, ...] = ()
    for followed in plan.recipes:
        name, published = followed.recipe.name, followed.paper.published
        rows += rows_of(name, published, comparison, *(arms.get((name, way)) for way in Way))
    judged_on = plan.recipes[0].paper.judged_on
    conclusions = conclusions_of(rows, record.siblings, judged_on, record.copies)
    conclusions += tuple(
        dealt.segmenter_words for dealt in plan.dealt.values() if dealt.known_to_segmenter
    )
    record = record.model_copy(update={"rows": rows, "conclusions": conclusions})
    _write(plan.out, record)
    return record


def notes_of(plan: Plan) -> dict[str, list[str]]:
    """What a reader of the page has to know of the runs, by heading; each thing is said once."""
    sources = ", ".join(source.name for source in plan.catalog.info.sources)
    papers = [followed.paper for followed in plan.recipes]
    weights, settings = plan.begun.weights, plan.begun.settings
    named = Path(weights).name if Path(weights).is_file() else weights
    here = [
        f"Photos here: {sources}. The paper's own: {papers[0].data}. Where they differ, its "
        "figures and ours measure different things.",
        *map(str, plan.dealt.values()),
        f"Start weights: {named}.",
    ]
    if plan.segmenter is not None:
        here += _notes_on_masks(plan)
    if settings:
        here.append("Changed against the recipes: " + ", ".join(settings) + ".")
    seeds = len({training.seed for training in plan.trainings})
    if seeds < FEW_SEEDS:
        here.append(
            f"{seeds} of {FEW_SEEDS} seeds: how far trainings differ by chance is hardly known."
        )
    notes = {
        "Here": here,
        "The paper": [paper.reference for paper in papers],
        "The paper says": [text for paper in papers for text in paper.claims],
        "Open, and what we chose": [text for paper in papers for text in paper.open],
        "Known to differ": [text for paper in papers for text in paper.deviations],
    }
    return {heading: list(dict.fromkeys(texts)) for heading, texts in notes.items() if texts}


def _notes_on_masks(plan: Plan) -> list[str]:
    """How often a mask was not used, and how many judged photos the segmenter knew."""
    notes = []
    for training in plan.trainings:
        use = LesionUse.model_validate_json((plan.out / training.folder / LESION).read_bytes())
        notes.append(f"{training.arm}, {use}.")
    return [*notes, *(dealt.segmenter_words for dealt in plan.dealt.values())]


def _write(out: Path, record: Reproduction) -> None:
    write_file(out / MARKER, record.model_dump_json(indent=1) + "\n")
