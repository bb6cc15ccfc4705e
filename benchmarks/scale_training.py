"""What a second worker gives a training: photos a second of one process and of two.

    python benchmarks/scale_training.py --photos 640 --json scale-training.json

MobileNetV2 from random weights on drawn photos, batches of 32: with all layers trained, whose batch
normalisation the workers share, and with the head alone, where it is frozen. In turn on one
processor and on two threads without a cluster, and on a cluster of this computer with two workers
of one thread. Each trains in a process of its own. Photos a second are those of the `history.csv`,
the median over all epochs but the first, in which processes warm up; the validation after each
epoch counts in its time. Ratios are to the one processor of the same run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from cutis import import_photos, split
from cutis.data.synthetic import SyntheticSpec, generate

ONE = ("taskset", "--cpu-list", "0")
CLUSTER = ("--cluster", "local", "--workers", "2")
PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "one processor": (ONE, ()),
    "two threads": ((), ()),
    "two workers": ((), CLUSTER),
}
"""What stands before the command, and after it."""

RECIPE = """
name = "measured"
view = "benign-malignant"
[input]
size = {size}
[model]
backbone = "mobilenet_v2"
[[stage]]
epochs = {epochs}
trainable = {trainable}
optimiser = "adam"
learning_rate = 1e-4
batch_size = 32
augmentation = {{ flip = "both", rotation = 20, zoom = 0.1 }}
"""
TRAINABLE = {"all layers": '"all"', "the head": '"head"'}


def photos_a_second(place: str, recipe: Path, catalog: Path, out: Path) -> float:
    """Of a training in a process of its own."""
    before, after = PLACES[place]
    threads = {} if place == "two threads" else {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*before, sys.executable, "-m", "cutis", "train", str(recipe), "--data", str(catalog),
         "--out", str(out), "--weights", "none", *after],
        env={**os.environ, "RAY_worker_niceness": "0", **threads},
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return float(pd.read_csv(out / "history.csv")["images_per_second"].iloc[1:].median())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=640)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 224])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = generate(folder / "drawn", SyntheticSpec(photos=options.photos))
        catalog = folder / "catalog"
        import_photos([str(drawn)], into=catalog)
        split(catalog)
        for size in options.sizes:
            for layers, trainable in TRAINABLE.items():
                recipe = folder / "recipe.toml"
                recipe.write_text(
                    RECIPE.format(size=size, epochs=options.epochs, trainable=trainable)
                )
                measured = f"{size}, {layers}"
                figures[measured] = {
                    place: photos_a_second(place, recipe, catalog, folder / f"{measured}, {place}")
                    for place in PLACES
                }
                print(json.dumps(figures), flush=True)
                if options.json:
                    options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print("| pixels, what is trained | " + " | ".join(PLACES) + " | ratios |")
    print("|---|" + "---|" * (len(PLACES) + 1))
    for what, speeds in figures.items():
        cells = [f"{speed:.1f}" for speed in speeds.values()]
        ratios = ", ".join(f"{speed / speeds['one processor']:.2f}" for speed in speeds.values())
        print(f"| {what} | " + " | ".join(cells) + f" | {ratios} |")


if __name__ == "__main__":
    main()
