"""From a recipe and a catalog to a run folder."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cutis import __version__
from cutis.data.batches import different_photos
from cutis.data.catalog import Catalog
from cutis.data.splits import Split, load_split, part_rows
from cutis.errors import RecipeError
from cutis.lesion import LesionMasks, channels
from cutis.metrics.calibration import fit_temperature
from cutis.models.checkpoint import load_backbone, weights_licence
from cutis.models.registry import Classifier, build_classifier
from cutis.preprocessing import SCALINGS
from cutis.recipes import AnyRecipe, Recipe, load_any_recipe
from cutis.records import HeadInfo, ModelInfo, Part, Preprocessing
from cutis.storage import write_file
from cutis.taxonomy import view as taxonomy_view
from cutis.taxonomy import view_names
from cutis.training.backend import Backend
from cutis.training.classification import Classification
from cutis.training.feature_cache import FeatureCache
from cutis.training.fitting import fit
from cutis.training.lesion_masks import (
    LESION,
    LesionUse,
    input_pixels,
    keep_segmenter,
    kept_segmenter,
    lesion_use,
    open_segmenter,
    weights_sha256,
)
from cutis.training.loop import History, logits_of
from cutis.training.run import (
    Run,
    begin_run,
    end_run,
    is_finished,
    licence_of,
    load_run,
    provenance_of,
    recipe_as_run,
    run_log,
)
from cutis.training.segmentation import SegmenterRun, train_segmenter
from cutis.training.stages import apply_trainable, batch_norm_momentum, log_prior
from cutis.training.supply import TrainingData
from cutis.training.workers import ALONE, Workers

_READ = (Part.TRAIN, Part.VALIDATION)
"""The parts that training looks at; of the test part it knows not even the rows."""


@dataclass(frozen=True)
class Start:
    """A network that a training goes on from, in place of a fresh one with or without weights.

    Attributes:
        name: says in the recipe as run what it is.
        licences: of what has gone into it.
        network: gives it, as the recipe describes it but for the widths, on the CPU or the
            backend's device; called when all has been checked and decoded.
    """

    name: str
    licences: tuple[str, ...]
    network: Callable[[TrainingData, Backend], Classifier]


@overload
def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    split: str = ...,
    weights: str = ...,
    segmenter: Path | None = ...,
    watch: Callable[[History], None] | None = ...,
    workers: Workers = ...,
) -> Run: ...


@overload
def train(
    recipe: str | Path | AnyRecipe,
    data: Path,
    out: Path,
    *,
    split: str = ...,
    weights: str = ...,
    segmenter: Path | None = ...,
    overrides: Sequence[str] = ...,
    watch: Callable[[History], None] | None = ...,
    workers: Workers = ...,
) -> Run | SegmenterRun: ...


def train(
    recipe: str | Path | AnyRecipe,
    data: Path,
    out: Path,
    *,
    split: str = "default",
    weights: str = "imagenet",
    segmenter: Path | None = None,
    overrides: Sequence[str] = (),
    watch: Callable[[History], None] | None = None,
    workers: Workers = ALONE,
) -> Run | SegmenterRun:
    """Trains a recipe of either kind; see `train_classifier` and `train_segmenter`.

    `overrides` change a recipe that is given by name or as a file; a recipe that was read before
    is taken as it is.
    """
    plan = load_any_recipe(recipe, overrides) if isinstance(recipe, str | Path) else recipe
    if isinstance(plan, Recipe):
        return train_classifier(
            plan,
            data,
            out,
            split=split,
            weights=weights,
            segmenter=segmenter,
            watch=watch,
            workers=workers,
        )
    if segmenter is not None:
        raise RecipeError(
            "a segmenter is given, but the recipe itself trains one",
            where=segmenter,
            fix="leave --segmenter out",
        )
    return train_segmenter(
        plan, data, out, split=split, weights=weights, watch=watch, workers=workers
    )


def train_classifier(
    plan: Recipe,
    data: Path,
    out: Path,
    *,
    split: str = "default",
    weights: str = "imagenet",
    segmenter: Path | None = None,
    start: Start | None = None,
    watch: Callable[[History], None] | None = None,
    workers: Workers = ALONE,
) -> Run:
    """Trains a recipe on a catalog's split, or goes on with a run that was interrupted.

    With a `start` the network is that, and `weights` are none.

    `segmenter` is the segmentation run that draws the masks of `input.lesion`; the run keeps a
    copy of it, which takes its place where it has gone, and `lesion.json` says how often its mask
    was not used.
    After every epoch `watch` gets the figures of all epochs so far; what it raises ends the
    training, which the same call then continues. Each of the `workers` makes the same call, with
    a `data` and an `out` that all of them see; the leader writes the run.

    Raises InputError or RecipeError, before any training, for a recipe that does not fit the data
    and for an `out` that holds another run.
    """
    catalog = Catalog.open(data)
    parts = load_split(catalog, split)
    masker = open_segmenter(plan.input.lesion, kept_segmenter(segmenter, out))
    masked_by = None if masker is None else weights_sha256(masker)
    named = weights if start is None else start.name
    text = recipe_as_run(plan, catalog, parts, named, masked_by)
    if workers.told(workers.first(partial(is_finished, out, text))):
        return load_run(out)
    rows, diagnoses, model = start_of(plan, catalog, parts, weights)
    settings = preprocessing_of(plan)
    training, masks = workers.first(
        partial(training_data, catalog, rows, diagnoses, settings, masker)
    )
    if workers.number == 0:
        begin_run(out, text, data, rows.values())
    backend = Backend(plan.precision, settings, workers)
    with run_log(out, workers) as log:
        log.info("%s on %s", plan.name, backend)
        if workers.number == 0 and masker is not None and masks is not None:
            _note_masks(out, lesion_use(settings, masker, masks, rows), masker, log)
        cache = FeatureCache(catalog.folder / ".cache", _named(rows, masks), log.info)
        licences = _start_licences(model, weights)
        if start is not None:
            model, licences = start.network(training, backend), start.licences
        task = Classification(plan, training, backend, cache)
        fit(model, plan, task, backend, out, log, watch)

        def end() -> Run:
            if workers.number == 0:
                info = _describe(
                    plan, model, training, backend, catalog, parts, rows, licences, masker
                )
                end_run(out, model, info, log)
            return load_run(out)

        return workers.first(end)


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
        plan.model.backbone,
        len(diagnoses),
        size=plan.input.size,
        channels=channels(preprocessing_of(plan)),
        **_head(plan).model_dump(),
    )
    load_backbone(model.backbone, weights)
    batch_norm_momentum(model.modules(), plan.batch_norm_momentum)
    learns_first_layer = False
    for stage in plan.stage:
        apply_trainable(model, stage)
        learns_first_layer |= next(model.backbone.parameters()).requires_grad
    if plan.input.lesion == "channel" and not learns_first_layer:
        raise RecipeError(
            "no stage trains the first layer, so the network would never look at the mask",
            where=f"recipe '{plan.name}' with input.lesion = 'channel'",
            expected="a stage with trainable = 'all'",
            fix="train all layers in one stage, or set input.lesion=crop or input.lesion=mask",
        )
    return rows, diagnoses, model


def _named(rows: dict[Part, pd.DataFrame], masks: LesionMasks | None) -> str:
    """What photos in which order the training data hold, and what masks."""
    hashes = [sha256 for part in _READ for sha256 in rows[part]["sha256"]]
    hashes += [] if masks is None else [masks.key]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def preprocessing_of(recipe: Recipe) -> Preprocessing:
    """The recipe's input section as the record that travels with the model."""
    mean, std = SCALINGS[recipe.input.scaling]
    section = recipe.input
    return Preprocessing(
        size=section.size, fit=section.fit, mean=mean, std=std, lesion=section.lesion
    )


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


def training_data(
    catalog: Catalog,
    rows: dict[Part, pd.DataFrame],
    diagnoses: tuple[str, ...],
    settings: Preprocessing,
    segmenter: SegmenterRun | None,
) -> tuple[TrainingData, LesionMasks | None]:
    """The photos of both parts as the network takes them, kept in the catalog's cache."""
    table, place = different_photos(pd.concat([rows[part] for part in _READ]))
    paths = [catalog.locate(stored) for stored in table["path"]]
    cache = catalog.folder / ".cache"
    pixels, masks = input_pixels(paths, table["sha256"].tolist(), settings, segmenter, cache)
    numbers = {name: number for number, name in enumerate(diagnoses)}
    labels = np.array([numbers[name] for name in table["diagnosis"]], np.int64)
    first = len(rows[Part.TRAIN])
    return TrainingData(pixels, labels, place[:first], place[first:], diagnoses), masks


def _note_masks(out: Path, use: LesionUse, segmenter: SegmenterRun, log: logging.Logger) -> None:
    """The run keeps its segmenter, and says how often the whole photo was taken instead."""
    keep_segmenter(segmenter, out)
    write_file(out / LESION, use.model_dump_json(indent=2) + "\n")
    log.info("%s", use)


def _describe(
    recipe: Recipe,
    model: Classifier,
    data: TrainingData,
    backend: Backend,
    catalog: Catalog,
    split: Split,
    rows: dict[Part, pd.DataFrame],
    start: tuple[str, ...],
    segmenter: SegmenterRun | None,
) -> ModelInfo:
    counts = data.train_counts()
    prior = None
    if recipe.stage[-1].imbalance == "logit_adjustment":
        prior = log_prior(counts)
    if recipe.answer == "prior" and prior is not None:
        add_to_answer(model, prior)
        prior = None
    logits = logits_of(model, data.pixels, data.validation, backend).numpy()
    masked = (f"segmenter: {segmenter.info.licence}",) if segmenter is not None else ()
    return ModelInfo(
        cutis_version=__version__,
        architecture=recipe.model.backbone,
        widths=model.backbone.widths,
        head=_head(recipe),
        diagnoses=data.diagnoses,
        view=recipe.view,
        preprocessing=preprocessing_of(recipe),
        temperature=fit_temperature(logits.astype(np.float64), data.labels[data.validation]),
        log_prior=None if prior is None else tuple(float(p) for p in prior),
        segmenter_sha256=None if segmenter is None else weights_sha256(segmenter),
        provenance=provenance_of(recipe, catalog, split, rows, data.diagnoses, start + masked),
        licence=licence_of(catalog, rows[Part.TRAIN]),
    )


def _start_licences(model: Classifier, weights: str) -> tuple[str, ...]:
    licence = weights_licence(model.backbone, weights)
    return (f"start weights: {licence}",) if licence else ()


def add_to_answer(model: Classifier, prior: NDArray[np.float32]) -> None:
    """Puts training frequencies back: adds a log prior to the last layer's bias."""
    bias = model.head.answer.bias
    shift = torch.from_numpy(prior).to(bias.device)
    with torch.no_grad():
        bias.add_(shift[1:] - shift[:1] if model.head.sigmoid else shift)
