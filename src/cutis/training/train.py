"""From a recipe and a catalog to a run folder."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import tomlkit
import torch
from numpy.typing import NDArray

from cutis import __version__
from cutis.data.batches import decoded_pixels
from cutis.data.catalog import Catalog
from cutis.data.splits import Split, load_split, part_rows
from cutis.errors import InputError, RecipeError
from cutis.metrics.calibration import fit_temperature
from cutis.models.checkpoint import load_backbone, weights_licence
from cutis.models.registry import Classifier, build_classifier
from cutis.recipes import Recipe, load_recipe
from cutis.records import HeadInfo, ModelInfo, Part, Preprocessing, Provenance
from cutis.storage import finish_commit, sha256_file, write_file
from cutis.taxonomy import view as taxonomy_view
from cutis.taxonomy import view_names
from cutis.training.backend import Backend
from cutis.training.curves import draw_curves
from cutis.training.feature_cache import FeatureCache
from cutis.training.loop import History, Trainer, logits_of
from cutis.training.run import (
    DESCRIPTION,
    HISTORY,
    PLACE,
    RECIPE,
    SEEN,
    Run,
    history_csv,
    load_run,
    write_run,
)
from cutis.training.stages import apply_trainable, batch_norm_momentum, log_prior
from cutis.training.supply import TrainingData

CHECKPOINT = "checkpoint.pt"
LOG = "log.txt"
_READ = (Part.TRAIN, Part.VALIDATION)
"""The parts that training looks at; of the test part it knows not even the rows."""

SCALINGS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "zero_one": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "minus_one_one": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def train(
    recipe: str | Path | Recipe,
    data: Path,
    out: Path,
    *,
    split: str = "default",
    weights: str = "imagenet",
    overrides: Sequence[str] = (),
    watch: Callable[[History], None] | None = None,
) -> Run:
    """Trains a recipe on a catalog's split, or goes on with a run that was interrupted.

    `overrides` change a recipe that is given by name or as a file; a Recipe is taken as it is.
    After every epoch `watch` gets the figures of all epochs so far; what it raises ends the
    training, which the same call then continues.

    Raises InputError or RecipeError, before any training, for a recipe that does not fit the data
    and for an `out` that holds another run.
    """
    plan = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    catalog = Catalog.open(data)
    parts = load_split(catalog, split)
    text = _recipe_as_run(plan, catalog, parts, weights)
    if _finished(out, text):
        return load_run(out)
    rows, diagnoses, model = start_of(plan, catalog, parts, weights)
    settings = preprocessing_of(plan)
    training = _training_data(catalog, rows, diagnoses, settings)
    write_file(out / RECIPE, text)
    write_file(out / PLACE, f"{data.resolve()}\n")
    write_file(out / SEEN, _seen(rows))
    backend = Backend(plan.precision, settings)
    with _log_of(out) as log:
        log.info("%s on %s, %d threads", plan.name, backend.device, torch.get_num_threads())

        def after_epoch(history: History) -> None:
            write_file(out / HISTORY, history_csv(history))
            log.info("%s", history[-1])
            if watch is not None:
                watch(history)

        cache = FeatureCache(catalog.folder / ".cache", _named(rows), log.info)
        history = Trainer(
            model, plan, training, backend, out / CHECKPOINT, after_epoch, cache
        ).fit()
        # a run that was killed after its last checkpoint has not noted the last epoch yet
        write_file(out / HISTORY, history_csv(history))
        draw_curves(pd.DataFrame(history), out / "history.png")
        info = _describe(plan, model, training, backend, catalog, parts, rows, weights)
        write_run(out, model, info)
        (out / CHECKPOINT).unlink()
        log.info("done")
    return load_run(out)


def start_of(
    plan: Recipe, catalog: Catalog, split: Split, weights: str
) -> tuple[dict[Part, pd.DataFrame], tuple[str, ...], Classifier]:
    """The rows and diagnoses that a recipe trains on, and the network that it starts from.

    Raises InputError or RecipeError where recipe, catalog, split and weights do not fit together;
    nothing is written.
    """
    rows = {part: part_rows(catalog, split, part, view=plan.view) for part in _READ}
    diagnoses = diagnoses_of(plan, rows[Part.TRAIN])
    refuse_missing(plan, catalog, diagnoses, rows)
    torch.manual_seed(plan.seed)
    model = build_classifier(
        plan.model.backbone, len(diagnoses), size=plan.input.size, **_head(plan).model_dump()
    )
    load_backbone(model.backbone, weights)
    batch_norm_momentum(model.modules(), plan.batch_norm_momentum)
    for stage in plan.stage:
        apply_trainable(model, stage)
    return rows, diagnoses, model


def _named(rows: dict[Part, pd.DataFrame]) -> str:
    """What photos in which order the training data hold."""
    hashes = [sha256 for part in _READ for sha256 in rows[part]["sha256"]]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _seen(rows: dict[Part, pd.DataFrame]) -> str:
    hashes = [rows[part][column] for part in (Part.TRAIN, Part.VALIDATION)
              for column in ("sha256", "pixels_sha256")]  # fmt: skip
    return "\n".join(sorted(set(pd.concat(hashes).dropna()))) + "\n"


def preprocessing_of(recipe: Recipe) -> Preprocessing:
    """The recipe's input section as the record that travels with the model."""
    mean, std = SCALINGS[recipe.input.scaling]
    return Preprocessing(size=recipe.input.size, fit=recipe.input.fit, mean=mean, std=std)


def _head(recipe: Recipe) -> HeadInfo:
    section = recipe.model
    return HeadInfo(
        hidden=section.hidden,
        dropout=section.dropout,
        sigmoid=section.sigmoid,
        attention=section.attention,
    )


def diagnoses_of(recipe: Recipe, rows: pd.DataFrame) -> tuple[str, ...]:
    """The diagnoses in the order of the logits: the view's, or those that the rows show.

    Raises RecipeError where there are too few, or too many for the recipe's head.
    """
    if recipe.view is None:
        diagnoses = tuple(sorted(rows["diagnosis"].unique()))
    else:
        diagnoses = taxonomy_view(recipe.view).classes
    if len(diagnoses) < 2:
        raise RecipeError("a classifier needs photos of at least two diagnoses")
    if recipe.model.sigmoid and len(diagnoses) != 2:
        raise RecipeError(
            f"a sigmoid head answers two diagnoses, the data have {len(diagnoses)}",
            fix="set model.sigmoid=false or view='benign-malignant'",
        )
    return diagnoses


def refuse_missing(
    recipe: Recipe,
    catalog: Catalog,
    diagnoses: tuple[str, ...],
    rows: Mapping[Part, pd.DataFrame] | Mapping[str, pd.DataFrame],
) -> None:
    """Raises RecipeError for diagnoses of the recipe that no photo of one of the parts shows."""
    for part, held in rows.items():
        missing = sorted(set(diagnoses) - set(held["diagnosis"]))
        if missing:
            raise RecipeError(
                f"no {part} photo shows {', '.join(missing)}",
                where=f"recipe '{recipe.name}' with {len(diagnoses)} diagnoses",
                expected=f"at least one {part} photo of every diagnosis",
                fix="split with other shares or another seed, import more photos, or choose a "
                f"view whose diagnoses are all there: {_filled_views(catalog)}",
            )


def _filled_views(catalog: Catalog) -> str:
    """The settings of the views of whose every class the catalog has a photo."""
    known = catalog.photos["diagnosis"].dropna().unique()
    views = [taxonomy_view(name) for name in view_names()]
    filled = [v.name for v in views if set(v.classes) <= {v.class_of(d) for d in known}]
    return " or ".join(f"view={name}" for name in filled) or "none of Cutis's own; write one"


def _recipe_as_run(recipe: Recipe, catalog: Catalog, split: Split, weights: str) -> str:
    named = sha256_file(Path(weights)) if Path(weights).is_file() else weights
    header = (
        f"# The recipe as run.\n# catalog: {catalog.sha256}\n"
        f"# split:   {split.name} {split.info.sha256}{' UNSAFE' if split.info.unsafe else ''}\n"
        f"# weights: {named}\n"
    )
    return header + tomlkit.dumps(
        recipe.model_dump(mode="json", exclude_none=True, exclude={"paper", "search"})
    )


def _finished(out: Path, text: str) -> bool:
    """Whether the same run has ended already; another run in the same place is an error."""
    if out.is_dir():
        finish_commit(out)
    # hidden: what a kill left behind in the middle of writing the first file
    if not out.exists() or (out.is_dir() and all(p.name.startswith(".") for p in out.iterdir())):
        return False
    if not (out / RECIPE).is_file():
        raise InputError(
            "the output folder holds something else than a run",
            where=out,
            fix="choose another --out",
        )
    begun = (out / CHECKPOINT).is_file() or (out / DESCRIPTION).is_file()
    if begun and (out / RECIPE).read_text(encoding="utf-8") != text:
        raise InputError(
            "the output folder holds a run of another recipe, catalog, split or start weights",
            where=out / RECIPE,
            fix="choose another --out, or delete the folder",
        )
    return (out / DESCRIPTION).is_file()


def _training_data(
    catalog: Catalog,
    rows: dict[Part, pd.DataFrame],
    diagnoses: tuple[str, ...],
    settings: Preprocessing,
) -> TrainingData:
    table = pd.concat([rows[Part.TRAIN], rows[Part.VALIDATION]], ignore_index=True)
    paths = [catalog.locate(stored) for stored in table["path"]]
    cache = catalog.folder / ".cache"
    pixels = decoded_pixels(paths, table["sha256"].tolist(), settings, cache)
    numbers = {name: number for number, name in enumerate(diagnoses)}
    labels = np.array([numbers[name] for name in table["diagnosis"]], np.int64)
    index: NDArray[np.int64] = np.arange(len(table))
    first = len(rows[Part.TRAIN])
    return TrainingData(pixels, labels, index[:first], index[first:], diagnoses)


def _describe(
    recipe: Recipe,
    model: Classifier,
    data: TrainingData,
    backend: Backend,
    catalog: Catalog,
    split: Split,
    rows: dict[Part, pd.DataFrame],
    weights: str,
) -> ModelInfo:
    counts = data.train_counts()
    prior = None
    if recipe.stage[-1].imbalance == "logit_adjustment":
        prior = log_prior(counts)
    if recipe.answer == "prior" and prior is not None:
        _fold_into_bias(model, prior)
        prior = None
    logits = logits_of(model, data.pixels, data.validation, backend).numpy()
    used = set(rows[Part.TRAIN]["source"])
    licences = {s.licence for s in catalog.info.sources if s.name in used and s.licence}
    licence = weights_licence(model.backbone, weights)
    start = (f"start weights: {licence}",) if licence else ()
    return ModelInfo(
        cutis_version=__version__,
        architecture=recipe.model.backbone,
        head=_head(recipe),
        diagnoses=data.diagnoses,
        view=recipe.view,
        preprocessing=preprocessing_of(recipe),
        temperature=fit_temperature(logits.astype(np.float64), data.labels[data.validation]),
        log_prior=None if prior is None else tuple(float(p) for p in prior),
        provenance=Provenance(
            recipe=recipe.name,
            catalog_sha256=catalog.sha256,
            split_name=split.name,
            split_sha256=split.info.sha256,
            unsafe=split.info.unsafe,
            seed=recipe.seed,
            train_counts={d: int(n) for d, n in zip(data.diagnoses, counts, strict=True)},
            train_groups=int(rows[Part.TRAIN]["group"].nunique()),
            sources=tuple(sorted(used)),
            licences=tuple(sorted(licences)) + start,
        ),
        licence="; ".join(sorted(licences)) or "unknown: the licences of the photos are not known",
    )


def _fold_into_bias(model: Classifier, prior: NDArray[np.float32]) -> None:
    """Puts the training frequencies back by adding the log prior to the last layer's bias."""
    bias = model.head.answer.bias
    shift = torch.from_numpy(prior).to(bias.device)
    with torch.no_grad():
        bias.add_(shift[1:] - shift[:1] if model.head.sigmoid else shift)


@contextmanager
def _log_of(out: Path) -> Iterator[logging.Logger]:
    logger = logging.Logger("cutis.training", logging.INFO)
    handler = logging.FileHandler(out / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    with closing(handler):
        yield logger
