"""How fast photos are answered, from JPEG files to probabilities: Cutis by engine, and others.

    python benchmarks/inference.py --photos 400 --json inference.json
    python benchmarks/inference.py --bundle BUNDLE --peer-python ENV/bin/python

The photos are drawn, enlarged to 200x150, 600x450 and 12 megapixels with the noise of a camera,
and saved as JPEG of quality 90. Without --bundle the network is MobileNetV2 of 224 pixels with
random weights, as fp32 and int8. Against it stand PyTorch eager, plain and channels-last, of the
same network, and where --peer-python names an environment with TensorFlow, Keras `predict` and the
TFLite interpreter of MobileNetV2.

Each peer runs alone in a process of its own, kept to one or two processors; all take turns, and of
several rounds (--rounds) the median counts. Of a bundle whose classifier looks at the lesion Cutis
segments and classifies; PyTorch classifies only. What the file of --json holds already is not
measured again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from cutis import __version__
from cutis.data.synthetic import DIAGNOSES, draw_lesion
from cutis.export.onnx import write_onnx
from cutis.export.quantize import write_int8
from cutis.preprocessing import resize
from cutis.records import NOTICE, HeadInfo, ModelInfo, Preprocessing, Provenance
from cutis.runtime.bundle import MODEL_FILES, BundleInfo, read_info, write_info
from cutis.runtime.engines import installed_engines, runs
from cutis.storage import sha256_file
from cutis.training.run import classifier_for

PEERS = Path(__file__).parent / "peers"
SIZES = {"200x150": (200, 150), "600x450": (600, 450), "12 megapixels": (4000, 3000)}
LARGE = 10  # of 12 megapixels there are fewer photos by this
DRAWN = 12  # different photos; the others are copies
SINGLES = 300  # at most so many one at a time, for the percentiles
NOISE = 3.0  # standard deviation of a channel's noise, of 255


def save_photos(folder: Path, count: int) -> None:
    """Writes the photos of each size into a folder of its own."""
    rng = np.random.default_rng(0)
    names = sorted(DIAGNOSES)
    drawn = [draw_lesion(names[n % len(names)], n, width=800, height=600)[0] for n in range(DRAWN)]
    for name, (width, height) in SIZES.items():
        place = folder / name
        place.mkdir()
        wanted = max(count // LARGE, 1) if width > 1000 else count
        contents = []
        for number in range(wanted):
            if number < DRAWN:
                photo = Image.fromarray(drawn[number]).resize((width, height))
                noisy = np.asarray(photo) + rng.normal(0, NOISE, (height, width, 3))
                path = place / f"{number:06}.jpg"
                Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=90)
                contents.append(path.read_bytes())
            else:
                (place / f"{number:06}.jpg").write_bytes(contents[number % DRAWN])


def make_bundle(folder: Path) -> None:
    """A bundle of MobileNetV2 with random weights."""
    folder.mkdir()
    diagnoses = tuple(sorted(DIAGNOSES))
    provenance = Provenance(
        recipe="random weights", catalog_sha256="0" * 64, split_name="none", split_sha256="0" * 64,
        unsafe=False, seed=0, train_counts=dict.fromkeys(diagnoses, 0), train_groups=0,
        sources=(), licences=(),
    )  # fmt: skip
    info = ModelInfo(
        cutis_version=__version__, architecture="mobilenet_v2", head=HeadInfo(),
        diagnoses=diagnoses, preprocessing=Preprocessing(size=224), provenance=provenance,
        licence="none",
    )  # fmt: skip
    torch.manual_seed(0)
    fp32, int8 = (folder / MODEL_FILES[name] for name in ("fp32", "int8"))
    write_onnx(classifier_for(info).eval(), 224, fp32)
    seen = [resize(draw_lesion(name, 0)[0], 224) for name in diagnoses]
    write_int8(fp32, np.stack(seen), info.preprocessing, int8)
    files = {file.name: sha256_file(file) for file in (fp32, int8)}
    write_info(
        folder,
        BundleInfo(
            cutis_version=__version__, model=info, default_model="int8", files=files, notice=NOTICE
        ),
    )


def peers_of(bundle: Path, tensorflow: Path | None) -> Iterator[tuple[str, list[object]]]:
    """What is measured, each with the start of its command."""
    info = read_info(bundle)
    held = [name for name, file in MODEL_FILES.items() if file in info.files]
    for network in held:
        for engine in installed_engines():
            if runs(engine, network):
                yield f"{network}/{engine}", [sys.executable, "cutis_inference.py", bundle]
    for layout in ("plain", "channels-last"):
        yield layout, [sys.executable, "eager_inference.py", bundle]
    if tensorflow is not None:
        for kind in ("keras", "tflite", "tflite-int8"):
            yield kind, [tensorflow, "keras_inference.py", info.model.preprocessing.size]


def measured(peer: str, command: list[object], photos: Path, threads: int) -> dict[str, float]:
    """The figures of one peer from a new process."""
    python, script, subject = command
    singles = min(SINGLES, len(list(photos.iterdir()))) if threads == 1 else 0
    print(f"{photos.name}, {peer}, {threads} threads", file=sys.stderr)
    quiet = {"PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [str(part) for part in (python, PEERS / script, subject, photos, threads, singles, peer)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **quiet, "OMP_NUM_THREADS": str(threads)},
    )
    if done.returncode != 0:
        sys.exit(f"{peer} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def begun(options: argparse.Namespace) -> dict[str, object]:
    """The figures that the JSON file holds; it belongs to one set of photos and one bundle."""
    settings = {"photos": options.photos, "bundle": str(options.bundle)}
    if options.json is None or not options.json.is_file():
        return {"settings": settings}
    figures = json.loads(options.json.read_text())
    if figures["settings"] != settings:
        sys.exit(f"{options.json} was measured with {figures['settings']}: choose another file")
    return figures


def middle(figures: dict[str, list[dict[str, float]]], key: str, name: str) -> float | None:
    """The median over the rounds; None for what was not measured."""
    found = [figure[name] for figure in figures.get(key, []) if name in figure]
    return median(found) if found else None


def table(figures: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    """Lines of a table: size and peer, speed by threads, ratio to eager, milliseconds, memory.

    The ratio and the memory are of two threads, the milliseconds of one.
    """
    yield (
        "| photos | peer | one thread, photos/s | two threads | by eager | CPU ms a photo "
        "| p50 ms | p99 ms | MB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for size in SIZES:
        eager = middle(figures, f"{size} plain 2", "photos_per_second")
        for key in figures:
            if not (key.startswith(size) and key.endswith(" 1")):
                continue
            peer = key.removeprefix(size).removesuffix(" 1").strip()
            two = f"{size} {peer} 2"
            pace = [middle(figures, k, "photos_per_second") for k in (key, two)]
            ratio = pace[1] / eager if pace[1] and eager else None
            ends = [middle(figures, key, name) for name in ("cpu_ms", "p50_ms", "p99_ms")]
            memory = middle(figures, two, "peak_mb")
            cells = [*map(_whole, pace), _tenths(ratio), *map(_tenths, ends), _whole(memory)]
            yield f"| {size} | {peer} | " + " | ".join(cells) + " |"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _tenths(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def main() -> None:
    """Prepares photos and bundle, runs every peer, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bundle", type=Path, help="default: MobileNetV2 with random weights")
    parser.add_argument("--peer-python", type=Path, help="of an environment with TensorFlow")
    parser.add_argument("--only", nargs="+", help="the peers to measure, as the table names them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = begun(options)
    if options.peer_python is None:
        print("TensorFlow is skipped: no --peer-python (`make bench-peers`)", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_photos(folder, options.photos)
        bundle = options.bundle or folder / "bundle"
        if options.bundle is None:
            make_bundle(bundle)
        for turn in range(options.rounds):
            for size in SIZES:
                for threads in (1, 2):
                    for peer, command in peers_of(bundle, options.peer_python):
                        done = figures.setdefault(f"{size} {peer} {threads}", [])
                        if len(done) > turn or (options.only and peer not in options.only):
                            continue
                        done.append(measured(peer, command, folder / size, threads))
                        if options.json:
                            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(table(figures)))


if __name__ == "__main__":
    main()
