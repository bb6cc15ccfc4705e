"""How near int8 networks are to fp32, by how they are made: calibration, corrections, fine-tuning.

    python benchmarks/quantisation.py RUN --data CATALOG --photos 256 --json quantisation.json

RUN is a classifier's or a segmenter's. The ranges are measured on training photos of the run's
split, the network is fine-tuned on others of them, and all is compared with the run's fp32 file on
validation photos. `plain` is the calibration alone: no corrected biases, and the answer layer in
int8 too. Processor seconds hold calibration and writing, or fine-tuning alone. What the file of
--json holds already is not measured again.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np

from cutis.data.batches import photo_batches
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, part_rows
from cutis.export.choose_int8 import choose_int8
from cutis.export.fine_tuning import fine_tune_int8
from cutis.export.onnx import write_onnx
from cutis.export.quantize import METHODS
from cutis.lesion import channels
from cutis.records import Part
from cutis.training.lesion_masks import lesion_batches, own_segmenter
from cutis.training.run import Run, load_run
from cutis.training.segmentation import SegmenterRun, is_segmenter_run, load_segmenter_run

Figures = dict[str, dict[str, float | str | None]]


def read_photos(run: Run | SegmenterRun, data: Path, part: Part, count: int) -> np.ndarray:
    """Photos of a part, chosen and ordered at random, as the run's network takes them."""
    info = run.info
    catalog = Catalog.open(data)
    rows = part_rows(catalog, load_split(catalog, info.provenance.split_name), part)
    rows = rows.sample(min(count, len(rows)), random_state=0)
    photos = [catalog.locate(stored) for stored in rows["path"]]
    segmenter = own_segmenter(run) if isinstance(run, Run) else None
    if segmenter is None:
        return np.concatenate([*photo_batches(photos, info.preprocessing, "reading")])
    return np.concatenate([*lesion_batches(photos, info.preprocessing, segmenter, "reading")])


def plain() -> ExitStack:
    """A context in which `write_int8` only calibrates."""
    stack = ExitStack()
    stack.enter_context(patch("cutis.export.quantize._correct_biases", lambda *_: None))
    stack.enter_context(patch("cutis.export.quantize._answer_nodes", lambda _: []))
    return stack


def measured(
    options: argparse.Namespace, run: Run | SegmenterRun, figures: Figures
) -> Iterator[None]:
    """Adds a row after the other to the figures."""
    fine_tuned = options.fine_tune_photos if options.epochs else 0
    train = read_photos(run, options.data, Part.TRAIN, options.photos + fine_tuned)
    calibration = train[: options.photos]
    validation = read_photos(run, options.data, Part.VALIDATION, options.validation)
    settings, module = run.info.preprocessing, run.model()
    with tempfile.TemporaryDirectory() as name:
        fp32, tuned, int8 = (Path(name) / file for file in ("fp32", "tuned", "int8"))

        def row(title: str, source: Path, method: str, seconds: float = 0.0) -> None:
            begun = time.process_time()
            found = choose_int8(
                source, calibration, validation, run.info, int8, reference=fp32, methods=[method]
            )
            figures[title] = {
                **found.chosen.model_dump(exclude={"method"}),
                "seconds": seconds or time.process_time() - begun,
                "bytes": int8.stat().st_size,
            }

        write_onnx(module, settings.size, fp32, channels=channels(settings))
        for method in METHODS:
            for context, title in ((plain, f"{method}, plain"), (ExitStack, method)):
                if title not in figures:
                    with context():
                        row(title, fp32, method)
                    yield
        for rate in options.learning_rates if options.epochs else ():
            title = f"fine-tuned ({rate:g}), minmax"
            if title in figures:
                continue
            begun = time.process_time()
            adapted = fine_tune_int8(
                module, train[options.photos :], settings, epochs=options.epochs, learning_rate=rate
            )
            seconds = time.process_time() - begun
            write_onnx(adapted, settings.size, tuned, channels=channels(settings))
            row(title, tuned, "minmax", seconds)
            yield


def table(figures: Figures) -> Iterator[str]:
    """Lines of a table in Markdown."""
    yield "| int8 | agreement or Jaccard | mean difference of a probability | seconds | MB |"
    yield "|---|---|---|---|---|"
    for title, row in figures.items():
        likeness = row["agreement"] if row["mean_jaccard"] is None else row["mean_jaccard"]
        yield (
            f"| {title} | {likeness:.4f} | {row['mean_probability_difference']:.4f} | "
            f"{row['seconds']:.0f} | {row['bytes'] / 1e6:.2f} |"
        )


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a classifier's or a segmenter's")
    parser.add_argument("--data", type=Path, required=True, help="the catalog it was trained on")
    parser.add_argument("--photos", type=int, default=256, help="for calibration")
    parser.add_argument("--validation", type=int, default=1500, help="at most so many photos")
    parser.add_argument("--fine-tune-photos", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=2, help="0 leaves fine-tuning out")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[1e-5])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    load: Callable[[Path], Run | SegmenterRun] = load_run
    if is_segmenter_run(options.run):
        load = load_segmenter_run
    figures: Figures = {}
    if options.json and options.json.is_file():
        figures = json.loads(options.json.read_text())
    for _ in measured(options, load(options.run), figures):
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(table(figures)))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"memory at most {memory:.1f} GB", file=sys.stderr)


if __name__ == "__main__":
    main()
