"""From a segmentation recipe and a catalog with masks to a run folder."""

import hashlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cutis import __version__
from cutis.data.batches import decoded_pixels
from cutis.data.catalog import Catalog
from cutis.data.masks import mask_pixels
from cutis.data.splits import Split, load_split, part_rows
from cutis.errors import InputError, RecipeError
from cutis.lesion import mask_without_specks
from cutis.metrics.segmentation import PixelCounts, overlap_scores
from cutis.models.checkpoint import load_backbone, weights_licence
from cutis.models.segmentation import Segmenter, build_segmenter
from cutis.preprocessing import SCALINGS
from cutis.recipes.segmentation import SegmentationRecipe
from cutis.records import Part, Preprocessing, SegmenterInfo
from cutis.training.backend import Backend
from cutis.training.fitting import fit
from cutis.training.loop import History
from cutis.training.run import (
    begin_run,
    end_run,
    is_finished,
    licence_of,
    provenance_of,
    recipe_as_run,
    run_log,
)
from cutis.training.segmentation.run import SegmenterRun, load_segmenter_run
from cutis.training.segmentation.task import (
    Segmentation,
    SegmentationData,
    apply_trainable,
    even_gradients,
    pixel_counts,
    validation_logits,
)
from cutis.training.workers import ALONE, Workers

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(2, 19))
"""What the probability may be cut at; the best on validation is taken."""

Rows = Mapping[Part, pd.DataFrame]


def train_segmenter(
    recipe: SegmentationRecipe,
    data: Path,
    out: Path,
    *,
    split: str = "default",
    weights: str = "imagenet",
    watch: Callable[[History], None] | None = None,
    workers: Workers = ALONE,
) -> SegmenterRun:
    """Trains a segmenter on a catalog's split, or goes on with a run that was interrupted.

    Photos without a mask are left out and counted in the log. An architecture that nobody
    pretrained starts from random weights. `watch` and `workers` are as in
    `cutis.training.train.train_classifier`.

    Raises InputError or RecipeError, before any training, for a recipe that does not fit the data,
    for masks that cannot be read, and for an `out` that holds another run.
    """
    catalog = Catalog.open(data)
    parts = load_split(catalog, split)
    model, start = start_of(recipe, weights)
    rows, left_out = masked_rows(catalog, parts)
    settings = preprocessing_of(recipe)
    masks = workers.first(partial(_masks, catalog, rows, settings.size))
    learnt = hashlib.sha256(masks.data).hexdigest()  # the catalog knows the photos' content alone
    text = recipe_as_run(recipe, catalog, parts, start, masks=learnt)
    if workers.told(workers.first(partial(is_finished, out, text))):
        return load_segmenter_run(out)
    training = workers.first(partial(_training_data, catalog, rows, masks, settings))
    if workers.number == 0:
        begin_run(out, text, data, rows.values())
    backend = Backend(recipe.precision, settings, workers)
    with run_log(out, workers) as log:
        log.info("%s on %s", recipe.name, backend)
        if left_out:
            log.info("%s", left_out)
            tqdm.write(left_out, file=sys.stderr)
        even_gradients(model)
        task = Segmentation(recipe, training, backend)
        fit(model, recipe, task, backend, out, log, watch)

        def end() -> SegmenterRun:
            if workers.number == 0:
                threshold, jaccard = best_threshold(model, training, settings)
                log.info("threshold %.2f: mean Jaccard %.4f on validation", threshold, jaccard)
                info = _describe(recipe, model, threshold, catalog, parts, rows, start)
                end_run(out, model, info, log)
            return load_segmenter_run(out)

        return workers.first(end)


def start_of(recipe: SegmentationRecipe, weights: str) -> tuple[Segmenter, str]:
    """The network that a recipe starts from, and which weights it has: `weights`, or none.

    Raises InputError or RecipeError where recipe and weights do not fit together.
    """
    torch.manual_seed(recipe.seed)
    model = build_segmenter(recipe.model.architecture, filters=recipe.model.filters)
    size, stride = recipe.input.size, model.stride
    if size % stride or size < 2 * stride:  # one pixel of one photo has no batch statistics
        raise RecipeError(
            f"'{recipe.model.architecture}' cannot be trained on photos of {size} pixels",
            where=f"recipe '{recipe.name}'",
            expected=f"a multiple of {stride}, at least {2 * stride}",
            fix=f"set input.size={max(2, round(size / stride)) * stride}",
        )
    for stage in recipe.stage:
        apply_trainable(model, stage)
    if model.encoder is not None:
        if weights == "none" and recipe.stage[0].trainable == "decoder":
            raise RecipeError(
                "the first stage trains the decoder alone, on an encoder of random weights",
                where=f"recipe '{recipe.name}'",
                expected="pretrained weights, or a first stage that trains the encoder too",
                fix="give --weights imagenet or --weights FILE, or set stage.1.trainable=all",
            )
        load_backbone(model.encoder, weights)
        return model, weights
    if weights not in ("imagenet", "none"):
        raise InputError(
            f"'{recipe.model.architecture}' has no encoder that pretrained weights could fill",
            where=weights,
            expected="--weights none",
            fix="leave --weights out, or choose another architecture, e.g. mobilenet_unet",
        )
    return model, "none"


def masked_rows(catalog: Catalog, split: Split) -> tuple[dict[Part, pd.DataFrame], str]:
    """The rows with a mask that train and validate, and a sentence on those without.

    The sentence is empty where all have one. Raises InputError where a part has none.
    """
    rows, said = {}, []
    for part in (Part.TRAIN, Part.VALIDATION):
        held = part_rows(catalog, split, part)
        rows[part] = held[held["mask"].notna()].reset_index(drop=True)
        if rows[part].empty:
            raise InputError(
                f"no {part} photo of the catalog has a lesion mask",
                where=catalog.folder,
                expected="photos with masks in both the training and the validation part",
                fix="import a collection with its masks (HAM10000, ISIC 2017, PH2, or a table with "
                "a column for them), and split again",
            )
        if missing := len(held) - len(rows[part]):
            said.append(f"{missing} of {len(held)} {part} photos")
    return rows, f"left out, for they have no mask: {', '.join(said)}" if said else ""


def preprocessing_of(recipe: SegmentationRecipe) -> Preprocessing:
    """The recipe's input section as the record that travels with the model."""
    mean, std = SCALINGS[recipe.input.scaling]
    return Preprocessing(size=recipe.input.size, fit="stretch", mean=mean, std=std)


@torch.no_grad()
def best_threshold(
    model: Segmenter, data: SegmentationData, settings: Preprocessing
) -> tuple[float, float]:
    """Of THRESHOLDS the one with the best mean Jaccard by photo on validation, and that figure.

    The masks are those that are used later, in float32 and without specks, at the network's size.
    Of several thresholds that are equally good the one next to 0.5 is taken.
    """
    by_photo: list[NDArray[np.float64]] = []
    for part, logits in validation_logits(model, data, Backend("float32", settings)):
        truth = data.masks[data.validation[part]] > 0
        chances = logits.sigmoid().squeeze(1).cpu().numpy()
        scores = []
        for cut in THRESHOLDS:
            found = np.stack([mask_without_specks(photo, cut) for photo in chances])
            scores.append(overlap_scores(PixelCounts(*pixel_counts(found, truth)))["jaccard"])
        by_photo.append(np.stack(scores))
    means = np.concatenate(by_photo, axis=1).mean(axis=1)
    best = max(range(len(means)), key=lambda n: (means[n], -abs(THRESHOLDS[n] - 0.5)))
    return THRESHOLDS[best], float(means[best])


def _masks(catalog: Catalog, rows: Rows, size: int) -> NDArray[np.uint8]:
    """Of training and validation in this order, (photos, size, size)."""
    table = _together(rows)
    return mask_pixels(
        [catalog.locate(stored) for stored in table["mask"]],
        table["sha256"].tolist(),
        size,
        catalog.folder / ".cache",
        sizes=[(int(height), int(width)) for height, width in table[["height", "width"]].values],
    )


def _training_data(
    catalog: Catalog, rows: Rows, masks: NDArray[np.uint8], settings: Preprocessing
) -> SegmentationData:
    table = _together(rows)
    photos = [catalog.locate(stored) for stored in table["path"]]
    pixels = decoded_pixels(photos, table["sha256"].tolist(), settings, catalog.folder / ".cache")
    index: NDArray[np.int64] = np.arange(len(table))
    first = len(rows[Part.TRAIN])
    return SegmentationData(pixels, masks, index[:first], index[first:])


def _together(rows: Rows) -> pd.DataFrame:
    return pd.concat([rows[Part.TRAIN], rows[Part.VALIDATION]], ignore_index=True)


def _describe(
    recipe: SegmentationRecipe,
    model: Segmenter,
    threshold: float,
    catalog: Catalog,
    split: Split,
    rows: Rows,
    weights: str,
) -> SegmenterInfo:
    train = rows[Part.TRAIN]
    licence = None if model.encoder is None else weights_licence(model.encoder, weights)
    start = (f"start weights: {licence}",) if licence else ()
    return SegmenterInfo(
        cutis_version=__version__,
        architecture=recipe.model.architecture,
        filters=recipe.model.filters,
        preprocessing=preprocessing_of(recipe),
        threshold=threshold,
        provenance=provenance_of(
            recipe, catalog, split, rows, sorted(train["diagnosis"].unique()), start
        ),
        licence=licence_of(catalog, train),
    )
