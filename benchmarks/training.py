"""How fast the three configurations of system 4 train: plain PyTorch, Keras, Cutis.

    python benchmarks/training.py --photos 2000 --seeds 3 --json training.json
    python benchmarks/training.py --data CATALOG --weights FILE --peer-python ENV/bin/python

A: the base frozen, Adam 1e-3. B: continues A with the last 30 Keras layers trainable, Adam 1e-5.
C: augmentation, the last 30 layers from the start weights, Adam 1e-5. Batch 16, a head of 128 units
with dropout 0.3 and a sigmoid, 224 pixels, as the notebook has them. All get the same photos,
decoded, as uint8 in memory, and the same start weights; the order is shuffled once.

Each peer and seed runs alone in a process of its own. Photos a second are training photos times
epochs by seconds; the seconds hold validation after every epoch and all that is done once
(tracing, compiling, computing and writing kept activations). What the file of `--json` holds
already is not measured again, so that a long measurement can be made in parts (`--only`). Keras's
epsilon and padding are not those that the weights were trained with: that is in its accuracy.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

from cutis.data.batches import decoded_pixels
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, part_rows
from cutis.data.synthetic import SyntheticSpec, draw_collection
from cutis.errors import PhotoError
from cutis.models.checkpoint import load_backbone
from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.preprocessing import load
from cutis.records import Part, Preprocessing

PEERS = Path(__file__).parent / "peers"
SCRIPTS = {"plain": "plain_training", "keras": "keras_training", "cutis": "cutis_training",
           "peak": "peak"}  # fmt: skip
RUNS = [("plain", "AB"), ("plain", "C"), ("keras", "AB"), ("keras", "C"),
        ("cutis", "AB"), ("cutis", "C"), ("cutis", "C8")]  # fmt: skip
NAMES = {"A": "A", "B": "B", "C": "C", "C8": "C, 8 views"}
MALIGNANT = {"mel", "bcc"}  # of what is drawn


def drawn_photos(folder: Path, count: int, size: int) -> None:
    """Writes drawn photos, four fifths of them for training."""
    pixels, labels = [], []
    for row, content, _ in draw_collection(SyntheticSpec(photos=count)):
        try:
            pixels.append(load(content, Preprocessing(size=size)))
        except PhotoError:
            continue  # the damage that the collection holds on purpose
        labels.append(row.drawn in MALIGNANT)
    save_photos(folder, np.stack(pixels), np.array(labels, np.int64), len(labels) * 4 // 5)


def catalog_photos(folder: Path, data: Path, count: int, size: int) -> None:
    """Writes photos of a catalog's training part and a quarter as many of its validation part."""
    catalog = Catalog.open(data)
    split = load_split(catalog)
    chosen = []
    for part, wanted in ((Part.TRAIN, count * 4 // 5), (Part.VALIDATION, count // 5)):
        rows = part_rows(catalog, split, part, view="benign-malignant")
        chosen.append(rows.sample(min(wanted, len(rows)), random_state=0))
    rows = pd.concat(chosen)
    paths = [catalog.locate(stored) for stored in rows["path"]]
    pixels = decoded_pixels(paths, rows["sha256"].tolist(), Preprocessing(size=size), folder)
    labels = (rows["diagnosis"] == "malignant").to_numpy(np.int64)
    save_photos(folder, pixels, labels, len(chosen[0]))


def save_photos(folder: Path, pixels: np.ndarray, labels: np.ndarray, train: int) -> None:
    """Puts the arrays where every peer reads them; the first `train` photos train."""
    np.save(folder / "pixels.npy", pixels)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "train.npy", np.arange(train))
    np.save(folder / "validation.npy", np.arange(train, len(labels)))


def save_weights(folder: Path, weights: str) -> None:
    """The start weights, for PyTorch as they are and for Keras by its layers' names and axes."""
    torch.manual_seed(0)
    backbone = MobileNetV2()
    load_backbone(backbone, weights)
    save_file(backbone.state_dict(), folder / "backbone.safetensors")
    arrays = {}
    for name, module in backbone.keras_layers():
        if isinstance(module, nn.Conv2d):
            depthwise = module.groups > 1
            axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
            arrays[f"{name}/0"] = module.weight.detach().permute(axes).numpy()
        elif isinstance(module, nn.BatchNorm2d):
            kept = (module.weight, module.bias, module.running_mean, module.running_var)
            for number, tensor in enumerate(kept):
                arrays[f"{name}/{number}"] = tensor.detach().numpy()
    np.savez(folder / "keras.npz", **arrays)


def measured(
    options: argparse.Namespace, folder: Path, peer: str, configuration: str, seed: int
) -> dict[str, dict[str, float]]:
    """Seconds, photos a second and validation accuracy by configuration, from a new process."""
    python = options.peer_python if peer == "keras" else Path(sys.executable)
    script = PEERS / f"{SCRIPTS[peer]}.py"
    epochs = [str(number) for number in options.epochs]
    print(f"{peer}, {configuration}, seed {seed}", file=sys.stderr)
    quiet = {"PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # an empty folder: each process pays for its own compiling
    with tempfile.TemporaryDirectory() as compiled:
        done = subprocess.run(
            [python, script, folder, configuration, str(seed), *epochs],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, **quiet, "TORCHINDUCTOR_CACHE_DIR": compiled},
        )
    return json.loads(done.stdout.splitlines()[-1])


def begun(options: argparse.Namespace) -> dict[str, object]:
    """The figures that the JSON file holds; it belongs to one set of photos, epochs and weights."""
    settings = {name: str(getattr(options, name))
                for name in ("photos", "size", "data", "weights", "epochs")}  # fmt: skip
    if options.json is None or not options.json.is_file():
        return {"settings": settings}
    figures = json.loads(options.json.read_text())
    if figures["settings"] != settings:
        sys.exit(f"{options.json} was measured with {figures['settings']}: choose another file")
    return figures


def missing(options: argparse.Namespace, figures: dict[str, object]) -> Iterator[tuple[str, ...]]:
    """What is asked for and not in the figures yet; says what is skipped."""
    if options.peer_python is None and "keras" in options.only:
        print("Keras is skipped: no --peer-python (`make bench-peers` makes one)", file=sys.stderr)
    for seed in range(options.seeds):
        for peer, configuration in RUNS:
            there = peer != "keras" or options.peer_python is not None
            new = f"{peer} {configuration} {seed}" not in figures
            if peer in options.only and configuration in options.configurations and there and new:
                yield peer, configuration, str(seed)


def table(figures: dict[str, dict[str, dict[str, float]]]) -> Iterator[str]:
    """Lines of a table: configuration, peer, photos a second, ratio, accuracy over the seeds."""
    rows = [
        {"peer": key.split()[0], "name": name, **values}
        for key, parts in figures.items()
        if key.split()[0] in ("plain", "keras", "cutis")
        for name, values in parts.items()
    ]
    if not rows:
        return
    means = pd.DataFrame(rows).groupby(["name", "peer"])
    speed = means["photos_per_second"].median()
    yield "| configuration | peer | photos/s | by the faster of the others | accuracy (seeds) |"
    yield "|---|---|---|---|---|"
    for (name, peer), group in means:
        others = [speed[key] for key in speed.index if key[0] == name[0] and key[1] != "cutis"]
        ratio = f"{speed[name, peer] / max(others):.1f}" if peer == "cutis" and others else ""
        accuracy = " ".join(f"{value:.3f}" for value in group["validation_accuracy"])
        yield f"| {NAMES[name]} | {peer} | {speed[name, peer]:.0f} | {ratio} | {accuracy} |"


def main() -> None:
    """Prepares the photos, runs every peer, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=2000, help="a fifth of them validates")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--data", type=Path, help="a catalog; default: drawn photos")
    parser.add_argument("--weights", default="none", help="imagenet, a file, or none")
    parser.add_argument(
        "--epochs", type=int, nargs=3, default=(10, 10, 30), metavar=("A", "B", "C")
    )
    parser.add_argument("--only", nargs="+", default=["plain", "keras", "cutis"])
    parser.add_argument("--configurations", nargs="+", default=["AB", "C", "C8"])
    parser.add_argument("--peer-python", type=Path, help="of an environment with TensorFlow")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = begun(options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.data:
            catalog_photos(folder, options.data, options.photos, options.size)
        else:
            drawn_photos(folder, options.photos, options.size)
        save_weights(folder, options.weights)
        if "peak" not in figures:
            figures["peak"] = measured(options, folder, "peak", "", 0)
        for peer, configuration, seed in missing(options, figures):
            key = f"{peer} {configuration} {seed}"
            figures[key] = measured(options, folder, peer, configuration, int(seed))
            if options.json:
                options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"matrix multiplication: {figures['peak']}")
    print("\n".join(table(figures)))


if __name__ == "__main__":
    main()
