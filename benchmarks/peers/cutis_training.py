"""System 4 by Cutis's own trainer: FOLDER AB|C|C8 SEED EPOCHS-A EPOCHS-B EPOCHS-C; prints JSON."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from cutis.models.checkpoint import load_backbone
from cutis.models.registry import build_classifier
from cutis.recipes import load_recipe
from cutis.training.backend import Backend
from cutis.training.feature_cache import FeatureCache
from cutis.training.loop import Trainer
from cutis.training.stages import batch_norm_momentum
from cutis.training.supply import TrainingData
from cutis.training.train import preprocessing_of


def main() -> None:
    """Trains with the recipe of the configuration and times each stage."""
    folder, configuration = Path(sys.argv[1]), sys.argv[2]
    seed, a, b, c = map(int, sys.argv[3:7])
    names = ("pixels", "labels", "train", "validation")
    data = TrainingData(
        *(np.load(folder / f"{name}.npy") for name in names), ("benign", "malignant")
    )
    settings = [f"seed={seed}", f"input.size={data.pixels.shape[1]}", "keep=last"]
    if configuration == "AB":
        stages = {"A": a, "B": b}
        recipe = load_recipe(
            "melanoma-2025-b", [*settings, f"stage.1.epochs={a}", f"stage.2.epochs={b}"]
        )
    else:
        stages = {configuration: c}
        views = 8 if configuration == "C8" else 0
        settings += [f"stage.1.epochs={c}", f"stage.1.views={views}"]
        recipe = load_recipe("melanoma-2025-c", [*settings, "stage.1.early_stopping.patience=1000"])
    torch.manual_seed(seed)
    section = recipe.model
    model = build_classifier(
        section.backbone, 2, hidden=section.hidden, dropout=section.dropout, sigmoid=section.sigmoid
    )
    load_backbone(model.backbone, str(folder / "backbone.safetensors"))
    batch_norm_momentum(model.modules(), recipe.batch_norm_momentum)
    times = [time.perf_counter()]
    work = folder / f"cutis-{configuration}-{seed}"
    work.mkdir()
    history = Trainer(
        model,
        recipe,
        data,
        Backend(recipe.precision, preprocessing_of(recipe)),
        work / "checkpoint.pt",
        lambda history: times.append(time.perf_counter()),
        FeatureCache(work, "the benchmark's photos", lambda text: print(text, file=sys.stderr)),
    ).fit()
    figures, first = {}, 0
    for name, epochs in stages.items():
        last = first + epochs
        seconds = times[last] - times[first]
        figures[name] = {
            "seconds": seconds,
            "photos_per_second": len(data.train) * epochs / seconds,
            "validation_accuracy": history[last - 1]["validation_accuracy"],
        }
        first = last
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
