"""How often photos of a collection are flagged, as they are and spoilt on purpose, and how fast.

    python benchmarks/quality.py FOLDER… --photos 600 --spoilt 60 --json quality.json

Every folder is searched for photos (`--pattern` leaves out masks that lie beside them); `--photos`
of them are drawn by seed 0, and of these the first `--spoilt` are also measured blurred, noisy,
dark, bright and faded. Sigma of the blur is in pixels of a copy with 200 pixels on its longest
side; gains are on the stored values. Times are of the first 100, as they are and enlarged to
600 by 450 pixels.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from cutis.metrics.quality import FLAG_TEXTS, SIDE, measure_quality, quality_flags
from cutis.preprocessing import SUFFIXES, decode

Photo = NDArray[np.uint8]


def blur(photo: Photo, sigma: float, noise: float = 0.0) -> Photo:
    """A blur like that of a missed focus, with noise of the sensor on top."""
    width = sigma * max(1, max(photo.shape) / SIDE)
    values = ndimage.gaussian_filter(photo.astype(np.float32), (width, width, 0))
    grain = np.random.default_rng(0).normal(0, noise, photo.shape)
    return (values + grain).clip(0, 255).astype(np.uint8)


def gain(photo: Photo, factor: float) -> Photo:
    """The photo with every value multiplied."""
    return (photo * np.float32(factor)).clip(0, 255).astype(np.uint8)


def fade(photo: Photo, share: float) -> Photo:
    """The photo with that share of its contrast."""
    mean = photo.mean()
    return (mean + (photo - mean) * share).clip(0, 255).astype(np.uint8)


SPOILT: dict[str, Callable[[Photo], Photo]] = {
    "blur 1": partial(blur, sigma=1.0),
    "blur 2": partial(blur, sigma=2.0),
    "blur 3": partial(blur, sigma=3.0),
    "blur 4": partial(blur, sigma=4.0),
    "blur 4, noise 5": partial(blur, sigma=4.0, noise=5.0),
    "noise 5": partial(blur, sigma=0.0, noise=5.0),
    "gain 0.25": partial(gain, factor=0.25),
    "gain 0.12": partial(gain, factor=0.12),
    "gain 2": partial(gain, factor=2.0),
    "contrast 0.5": partial(fade, share=0.5),
    "contrast 0.1": partial(fade, share=0.1),
}


def flagged(photos: Sequence[Photo]) -> dict[str, float]:
    """Percent of the photos with each flag that occurs, and with any."""
    flags = [quality_flags(measure_quality(photo)) for photo in photos]
    counts = Counter(flag for raised in flags for flag in raised)
    counts["any"] = sum(map(bool, flags))
    return {f: 100 * counts[f] / len(photos) for f in (*FLAG_TEXTS, "any") if counts[f]}


def enlarged(photo: Photo) -> Photo:
    """The photo stretched to 600 by 450 pixels."""
    return np.asarray(Image.fromarray(photo).resize((600, 450), Image.Resampling.BICUBIC))


def milliseconds(photos: Sequence[Photo], repeats: int = 5) -> float:
    """Median over photos of the best processor time of a few repeats, so that other work on the
    machine counts little."""
    best = []
    for photo in photos:
        times = []
        for _ in range(repeats):
            start = time.process_time()
            measure_quality(photo)
            times.append(time.process_time() - start)
        best.append(min(times))
    return 1000 * float(np.median(best))


def main() -> None:
    """Reads, measures, spoils, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--pattern", default="**/*", help="which files of a folder are photos")
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--spoilt", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = {}
    for folder in options.folders:
        paths = sorted(p for p in folder.glob(options.pattern) if p.suffix.lower() in SUFFIXES)
        chosen = random.Random(0).sample(paths, min(options.photos, len(paths)))
        photos = [decode(path) for path in chosen]
        rows = {"as they are": flagged(photos)}
        for name, spoil in SPOILT.items():
            if options.spoilt:
                rows[name] = flagged([spoil(photo) for photo in photos[: options.spoilt]])
        timed = photos[:100]
        speed = {
            "as they are": milliseconds(timed),
            "600 by 450": milliseconds([enlarged(photo) for photo in timed]),
        }
        figures[folder.name] = {"photos": len(photos), "milliseconds": speed, "flagged": rows}
        times = ", ".join(f"{ms:.1f} ms {size}" for size, ms in speed.items())
        print(f"{folder.name}: {len(photos)} photos; {times}")
        for name, shares in rows.items():
            print(f"  {name}:", ", ".join(f"{f} {s:.1f} %" for f, s in shares.items()) or "none")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
