"""How a leak-cost study trains: a head on frozen features, or the whole recipe."""

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cutis.data.batches import decoded_pixels
from cutis.data.catalog import Catalog
from cutis.metrics.calibration import fit_temperature, softmax
from cutis.models.checkpoint import load_backbone
from cutis.models.registry import Classifier, build_classifier
from cutis.recipes import Recipe
from cutis.storage import commit_files
from cutis.studies.features import pooled_features
from cutis.studies.inflation import Answers
from cutis.studies.probes import head_logits, nearest_answers
from cutis.studies.siblings import Index, Trial
from cutis.training.backend import Backend
from cutis.training.classification import Classification
from cutis.training.feature_cache import FeatureCache
from cutis.training.loop import Trainer, logits_of
from cutis.training.stages import batch_norm_momentum, log_prior
from cutis.training.supply import TrainingData
from cutis.training.train import preprocessing_of

HEAD = "head"
NEAREST = "nearest photo"
RECIPE = "recipe"

Engine = Callable[[Trial, Index], Mapping[str, Answers]]
"""Trains on the given photos and answers the trial's test photos, by classifier."""


def frozen_engine(
    recipe: Recipe,
    catalog: Catalog,
    rows: pd.DataFrame,
    labels: NDArray[np.int64],
    diagnoses: tuple[str, ...],
    weights: str,
) -> Engine:
    """The recipe's head and loss on features of its untouched backbone, and the nearest photo."""
    backbone = _classifier(recipe, len(diagnoses), weights).backbone
    settings = preprocessing_of(recipe)
    features = pooled_features(
        backbone,
        [catalog.locate(stored) for stored in rows["path"]],
        rows["sha256"].tolist(),
        settings,
        Backend(recipe.precision, settings),
        catalog.folder / ".cache",
    )

    def train(trial: Trial, photos: Index) -> Mapping[str, Answers]:
        seeded = recipe.model_copy(update={"seed": trial.seed})
        asked = np.concatenate([trial.validation, trial.test])
        logits = head_logits(
            seeded, len(diagnoses), features, labels, photos, trial.validation, asked
        )
        nearest = nearest_answers(features, labels, photos, trial.test)
        return {
            HEAD: _calibrated(recipe, trial, photos, labels, logits),
            NEAREST: Answers(nearest, None),
        }

    return train


def full_engine(
    recipe: Recipe,
    catalog: Catalog,
    rows: pd.DataFrame,
    labels: NDArray[np.int64],
    diagnoses: tuple[str, ...],
    weights: str,
) -> Engine:
    """The recipe itself; the logits of finished trainings are kept in the catalog's cache."""
    settings = preprocessing_of(recipe)
    cache = catalog.folder / ".cache"
    paths = [catalog.locate(stored) for stored in rows["path"]]
    pixels = decoded_pixels(paths, rows["sha256"].tolist(), settings, cache)
    named = hashlib.sha256("\n".join(rows["sha256"]).encode()).hexdigest()
    features = FeatureCache(cache, named, lambda _: None)

    def train(trial: Trial, photos: Index) -> Mapping[str, Answers]:
        seeded = recipe.model_copy(update={"seed": trial.seed})
        model = _classifier(seeded, len(diagnoses), weights)
        kept = cache / "leak-cost" / _key(seeded, model, rows, photos, trial)
        file = kept.with_suffix(".npy")
        if not file.is_file():
            backend = Backend(recipe.precision, settings)
            data = TrainingData(pixels, labels, photos, trial.validation, diagnoses)
            checkpoint = kept.with_suffix(".pt")
            task = Classification(seeded, data, backend, features)
            Trainer(model, seeded, task, backend, checkpoint, lambda _: None).fit()
            asked = np.concatenate([trial.validation, trial.test])
            logits = logits_of(model, pixels, asked, backend).numpy()
            commit_files(file.parent, {file.name: lambda target: np.save(target, logits)})
            checkpoint.unlink()
        return {RECIPE: _calibrated(recipe, trial, photos, labels, np.load(file))}

    return train


def _classifier(recipe: Recipe, diagnoses: int, weights: str) -> Classifier:
    torch.manual_seed(recipe.seed)
    section = recipe.model
    model = build_classifier(
        section.backbone,
        diagnoses,
        size=recipe.input.size,
        hidden=section.hidden,
        dropout=section.dropout,
        sigmoid=section.sigmoid,
        attention=section.attention,
    )
    load_backbone(model.backbone, weights)
    batch_norm_momentum(model.modules(), recipe.batch_norm_momentum)
    return model


def _calibrated(
    recipe: Recipe,
    trial: Trial,
    photos: Index,
    labels: NDArray[np.int64],
    logits: NDArray[np.float32],
) -> Answers:
    """Test answers from logits of the validation photos, then the test photos.

    The temperature is fitted on validation; the log prior is put back where the recipe says so.
    """
    exact = logits.astype(np.float64)
    if recipe.answer == "prior":
        exact += log_prior(np.bincount(labels[photos], minlength=logits.shape[1]))
    first = len(trial.validation)
    temperature = fit_temperature(exact[:first], labels[trial.validation])
    return Answers(exact[first:].argmax(axis=1), softmax(exact[first:], temperature))


def _key(recipe: Recipe, model: Classifier, rows: pd.DataFrame, photos: Index, trial: Trial) -> str:
    """Names a training by all that decides its outcome."""
    digest = hashlib.sha256(recipe.model_dump_json().encode())
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    for chosen in (photos, trial.validation, trial.test):
        named = rows.iloc[chosen]
        digest.update("\n".join(named["sha256"] + " " + named["diagnosis"]).encode() + b"\n\n")
    return digest.hexdigest()[:24]
