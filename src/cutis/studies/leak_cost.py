"""What a leak is worth: the same test photos, judged after training with and without siblings.

A split by image puts photos of one lesion on both sides. For each seed, `siblings.draw_trial` draws
test photos as such a split does and two training sets of equal size, with equally many photos of
each diagnosis, of which only one holds the test photos' siblings. Both trainings share seed,
validation photos and everything else; the difference of their figures is the inflation.

By default the backbone stays frozen: features are computed once, and the recipe's head and loss are
trained on them in seconds, next to a look-up of the nearest training photo. `full` trains the whole
recipe instead. See docs/verbs/leak-cost.md.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cutis import __version__
from cutis.data.catalog import Catalog
from cutis.errors import InputError, RecipeError
from cutis.metrics.bootstrap import Resampling
from cutis.recipes import Recipe, load_recipe
from cutis.storage import sha256_file, staged_folder
from cutis.studies.engines import frozen_engine, full_engine
from cutis.studies.inflation import Judged, inflations
from cutis.studies.leak_cost_page import write_page
from cutis.studies.leak_cost_record import LeakCost, TrialCounts
from cutis.studies.siblings import (
    TEST_SHARE,
    VALIDATION_SHARE,
    Trial,
    draw_trial,
    grouped_rows,
)
from cutis.training.train import diagnoses_of

MARKER = "leak-cost.json"


def leak_cost(
    recipe: str | Path,
    data: Path,
    *,
    seeds: int = 5,
    full: bool = False,
    weights: str = "imagenet",
    overrides: Sequence[str] = (),
    out: Path | None = None,
) -> LeakCost:
    """Trains with and without the siblings of the same test photos, and compares.

    Neither reads nor spends the catalog's splits. With `out`, the folder gets the record, a page
    and its figure.

    Args:
        seeds: how many draws of test photos; they follow the recipe's seed.
        full: trains the recipe itself, twice a seed. Finished trainings are kept in the catalog's
            `.cache`, and the same call goes on after a stop.

    Raises InputError or RecipeError, before any training, for a catalog without siblings and for a
    recipe that does not fit the data.
    """
    if seeds < 1:
        raise InputError(f"{seeds} seeds are not possible", expected="1 or more")
    plan = load_recipe(recipe, overrides)
    if plan.input.lesion != "none":
        raise RecipeError(
            "the cost of leaks is measured on whole photos only",
            where=f"recipe '{plan.name}' with input.lesion = '{plan.input.lesion}'",
            fix="set input.lesion=none",
        )
    if out is None:
        return _measured(plan, data, seeds, full, weights)
    with staged_folder(out, MARKER) as folder:
        cost = _measured(plan, data, seeds, full, weights)
        (folder / MARKER).write_text(cost.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_page(cost, folder)
    return cost


def _measured(recipe: Recipe, data: Path, seeds: int, full: bool, weights: str) -> LeakCost:
    catalog = Catalog.open(data)
    rows = grouped_rows(catalog, recipe.view)
    diagnoses = diagnoses_of(recipe, rows)
    labels = pd.Index(diagnoses).get_indexer(pd.Index(rows["diagnosis"])).astype(np.int64)
    trials = [draw_trial(rows, recipe.seed + number) for number in range(seeds)]
    counts = tuple(_counts(trial, rows, diagnoses) for trial in trials)
    make_engine = full_engine if full else frozen_engine
    train = make_engine(recipe, catalog, rows, labels, diagnoses, weights)
    judged = []
    for trial in tqdm(trials, desc="trainings", unit="seed", disable=None):
        photos = rows.iloc[trial.test][["image_id", "group"]].assign(
            truth=labels[trial.test], has_sibling=trial.has_sibling
        )
        leaky, clean = train(trial, trial.with_siblings), train(trial, trial.without_siblings)
        judged.append(Judged(photos, leaky, clean))
    resampling = Resampling()
    return LeakCost(
        cutis_version=__version__,
        recipe=recipe.name,
        engine="full training" if full else "frozen features",
        weights=sha256_file(Path(weights)) if Path(weights).is_file() else weights,
        catalog_sha256=catalog.sha256,
        view=recipe.view or catalog.info.options.view,
        diagnoses=diagnoses,
        test_share=TEST_SHARE,
        validation_share=VALIDATION_SHARE,
        resamples=resampling.resamples,
        trials=counts,
        inflations=inflations(judged, len(diagnoses), resampling),
    )


def _counts(trial: Trial, rows: pd.DataFrame, diagnoses: tuple[str, ...]) -> TrialCounts:
    """Raises RecipeError for a diagnosis that no training photo shows."""
    training = rows.iloc[trial.without_siblings]["diagnosis"].value_counts()
    missing = [name for name in diagnoses if name not in training]
    if missing:
        raise RecipeError(
            f"no training photo without a sibling in the test shows {', '.join(missing)}",
            where=f"seed {trial.seed}",
            expected="at least one training photo of every diagnosis",
            fix="import more photos, or choose a view with fewer diagnoses (view=NAME)",
        )
    groups = rows["group"]
    return TrialCounts(
        seed=trial.seed,
        test=len(trial.test),
        test_with_siblings=int(trial.has_sibling.sum()),
        siblings=len(trial.siblings),
        validation=len(trial.validation),
        training=len(trial.without_siblings),
        training_by_diagnosis={name: int(training[name]) for name in diagnoses},
        groups_with_siblings=groups.iloc[trial.with_siblings].nunique(),
        groups_without_siblings=groups.iloc[trial.without_siblings].nunique(),
    )
