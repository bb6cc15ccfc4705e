"""What finding copies costs, and how often it is right.

    python benchmarks/duplicates.py --photos 1000000 --json growth.json
    python benchmarks/duplicates.py --real DATA --json real.json

Without `--real`: time and peak memory of the index over 10,000, 100,000, ... generated photos, each
step in a process of its own. Every tenth photo is a mirrored, noisy copy of the one before it.
Asking is timed on a sample of 2,048 photos and given for a thousand photos, so that a million can
be measured in minutes. Generating is timed apart and taken off.

With `--real`: DATA is a folder of collections (one folder each) of photos named ISIC_nnnnnnn. The
names are hidden from the search and serve as truth: an equal number is right, another number with
an equal HAM10000 lesion_id is neither right nor wrong, everything else is wrong. Then HAM10000 with
`--copies` changed copies for each change. Wall seconds mean nothing on a busy machine; the CPU
seconds stand beside them.
"""

import argparse
import json
import multiprocessing
import re
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from cutis.data.duplicates import FINGERPRINT, find_links, fingerprint
from cutis.data.duplicates.candidates import CandidateIndex

SAMPLE = 2048
EVERY = 10

# ---------------------------------------------------------------- generated photos


class GeneratedFingerprints:
    """As many fingerprints as wanted, made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seconds = 0.0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        records = np.zeros(len(rows), FINGERPRINT)
        records["width"] = records["height"] = 300
        for record, row in zip(records, rows.tolist(), strict=True):
            record["thumbnail"][...] = self._thumbnail(row)
        self.seconds += time.perf_counter() - start
        return records

    def _thumbnail(self, row: int) -> np.ndarray:
        is_copy = row % EVERY == EVERY - 1
        cells = np.random.default_rng(row - is_copy).integers(60, 200, (14, 14), np.uint8)
        large = cv2.resize(cells, (96, 96), interpolation=cv2.INTER_CUBIC)
        if not is_copy:
            return large
        noise = np.random.default_rng(row).integers(0, 12, (96, 96), np.uint8)
        return cv2.add(large[:, ::-1], noise)


def measure_growth(count: int, threads: int = 1) -> dict[str, float]:
    """Index `count` generated photos and ask for a sample of them; 0 threads are all cores."""
    photos = GeneratedFingerprints(count)
    index = CandidateIndex(photos, threads)  # type: ignore[arg-type]
    start = time.perf_counter()
    index.add(np.arange(count))
    indexing = time.perf_counter() - start - photos.seconds
    copies = np.arange(EVERY - 1, count, EVERY)
    step = max(1, len(copies) // SAMPLE)
    asked = copies[::step][:SAMPLE]
    photos.seconds = 0.0
    start = time.perf_counter()
    found = np.concatenate([candidates for _, candidates in index.candidates(asked)])
    asking = time.perf_counter() - start - photos.seconds
    right = np.unique(found["a"][found["b"] == found["a"] - 1])
    return {
        "photos": count,
        "index_seconds": round(indexing, 1),
        "ask_seconds_per_1000": round(1000 * asking / len(asked), 2),
        "copies_found": round(len(right) / len(asked), 4),
        "candidates_per_photo": round(len(found) / len(asked), 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def growth(most: int) -> list[dict[str, float]]:
    """`measure_growth` for powers of ten up to `most`, each in a fresh process."""
    counts = [10**power for power in range(4, 9) if 10**power < most] + [most]
    context = multiprocessing.get_context("spawn")
    rows = []
    for count in counts:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            rows.append(pool.submit(measure_growth, count).result())
        print(rows[-1], flush=True)
    return rows


# ---------------------------------------------------------------- real photos


def read(path: Path) -> np.ndarray:
    """Decode one photo to RGB."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def fingerprint_file(path: Path) -> bytes:
    """Decode and fingerprint one photo, in a worker."""
    cv2.setNumThreads(1)
    return fingerprint(read(path)).tobytes()


def cpu_seconds() -> float:
    """Of this process and the workers that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, who))


def collect(folder: Path) -> pd.DataFrame:
    """The photos under a folder: path, collection, ISIC number, HAM lesion where known."""
    rows = []
    for path in sorted(folder.rglob("*.jpg")):
        number = re.search(r"ISIC_(\d{7})", path.name)
        if number:
            rows.append((path, path.relative_to(folder).parts[0], int(number[1])))
    photos = pd.DataFrame(rows, columns=["path", "collection", "number"])
    lesions: dict[int, str] = {}
    for table in folder.rglob("HAM10000_metadata.csv"):
        metadata = pd.read_csv(table)
        numbers = metadata["image_id"].str.removeprefix("ISIC_").astype(int)
        lesions.update(zip(numbers, metadata["lesion_id"], strict=True))
    photos["lesion"] = photos["number"].map(lesions)
    return photos


def hide_names(count: int) -> pd.DataFrame:
    """Rows for `find_links` that say nothing: looks alone decide, exact copies included."""
    names = [f"{i:06d}" for i in range(count)]
    return pd.DataFrame({"image_id": names, "sha256": None, "pixels_sha256": None})


def judge(photos: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """The links with both rows' collection and number, and whether right, neither or wrong."""
    ends = [photos.iloc[links[f"image_id_{end}"].astype(int)].reset_index() for end in "ab"]
    judged = links[["score", "reason"]].reset_index(drop=True)
    for end, name in zip(ends, "ab", strict=True):
        judged[[f"row_{name}", f"collection_{name}", f"number_{name}"]] = end[
            ["index", "collection", "number"]
        ]
    same = (ends[0]["number"] == ends[1]["number"]).to_numpy()
    lesion = (ends[0]["lesion"] == ends[1]["lesion"]).to_numpy()
    judged["verdict"] = np.where(same, "right", np.where(lesion, "neither", "wrong"))
    return judged


def by_pair_of_collections(photos: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """Truth, links by verdict, recall and precision for each pair of collections."""

    def pair(first: str, second: str) -> str:
        return " / ".join(sorted((first, second)))

    truth: dict[str, int] = {}
    for _, group in photos.groupby("number"):
        for first, second in combinations(group["collection"], 2):
            truth[pair(first, second)] = truth.get(pair(first, second), 0) + 1
    ends = zip(judged["collection_a"], judged["collection_b"], strict=True)
    names = pd.Series([pair(*both) for both in ends], dtype=object)
    table = pd.crosstab(names, judged["verdict"])
    table = table.reindex(index=sorted({*table.index, *truth}), fill_value=0)
    table = table.reindex(columns=["right", "neither", "wrong"], fill_value=0)
    table.insert(0, "truth", [truth.get(name, 0) for name in table.index])
    table.loc["all"] = table.sum()
    table["recall"] = (table["right"] / table["truth"]).round(4)
    table["precision"] = (table["right"] / (table["right"] + table["wrong"])).round(4)
    return table


def measure_collections(folder: Path, photos: pd.DataFrame) -> tuple[np.ndarray, dict[str, Any]]:
    """Fingerprints of all photos, and the report on their links."""
    start, start_cpu = time.perf_counter(), cpu_seconds()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        marks = b"".join(pool.map(fingerprint_file, photos["path"], chunksize=64))
    fingerprints = np.frombuffer(marks, FINGERPRINT)
    read_time, read_cpu = time.perf_counter() - start, cpu_seconds() - start_cpu
    links = find_links(hide_names(len(photos)), fingerprints)
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - start_cpu
    judged = judge(photos, links)
    table = by_pair_of_collections(photos, judged)
    print(f"{len(photos)} photos: read {read_time:.0f} s ({read_cpu:.0f} s of CPU),", end=" ")
    print(f"all {seconds:.0f} s ({cpu:.0f} s of CPU)\n{table.to_string()}")
    wrong = judged[judged["verdict"] == "wrong"].sort_values("score", ascending=False)
    linked = {frozenset(rows) for rows in judged[["row_a", "row_b"]].itertuples(index=False)}
    missed = [
        [str(photos["path"][row].relative_to(folder)) for row in rows]
        for _, group in photos.groupby("number")
        for rows in combinations(group.index, 2)
        if frozenset(rows) not in linked
    ]
    report = {
        "photos": len(photos),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "by_pair": table.reset_index(names="pair").to_dict("records"),
        "missed": missed,
        "other_number": wrong.to_dict("records"),
    }
    return fingerprints, report


# ---------------------------------------------------------------- changed copies


def recompress(photo: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG."""
    coded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)


def crop(photo: np.ndarray, kept: float, rng: np.random.Generator) -> np.ndarray:
    """A share of both sides, anywhere."""
    height, width = photo.shape[:2]
    h, w = round(height * kept), round(width * kept)
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return photo[top : top + h, left : left + w]


def brighten(photo: np.ndarray, gain: float) -> np.ndarray:
    """With clipping."""
    return np.clip(photo * gain + 5, 0, 255).astype(np.uint8)


def watermark(photo: np.ndarray) -> np.ndarray:
    """Half-transparent words across the middle and a small opaque label in a corner."""
    marked = photo.copy()
    height, width = photo.shape[:2]
    place, size = (width // 20, height * 6 // 10), width / 260
    cv2.putText(marked, "(c) DERM ATLAS", place, 0, size, (255, 255, 255), max(1, width // 100))
    marked = cv2.addWeighted(photo, 0.4, marked, 0.6, 0)
    corner = (int(0.72 * width), int(0.84 * height))
    cv2.rectangle(marked, corner, (width - 4, height - 4), (240, 240, 240), -1)
    return marked


Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
CHANGES: dict[str, Change] = {
    "half the size": lambda p, _: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=3),
    "a quarter of the size": lambda p, _: cv2.resize(p, None, fx=0.25, fy=0.25, interpolation=3),
    "stretched to a square": lambda p, _: cv2.resize(p, (224, 224)),
    "JPEG quality 30": lambda p, _: recompress(p, 30),
    "cropped to 92 %": lambda p, rng: crop(p, 0.92, rng),
    "cropped to 85 %": lambda p, rng: crop(p, 0.85, rng),
    "mirrored": lambda p, _: p[:, ::-1],
    "upside down": lambda p, _: p[::-1],
    "turned by 90": lambda p, _: np.rot90(p),
    "turned by 180": lambda p, _: np.rot90(p, 2),
    "brightened by a quarter": lambda p, _: brighten(p, 1.25),
    "gamma 0.7": lambda p, _: np.rint(255 * (p / 255) ** 0.7).astype(np.uint8),
    "watermarked": lambda p, _: watermark(p),
    "90 %, brighter, turned, JPEG 60": lambda p, rng: recompress(
        np.ascontiguousarray(np.rot90(brighten(crop(p, 0.9, rng), 1.15))), 60
    ),
}


def measure_changes(photos: pd.DataFrame, marks: np.ndarray, copies: int) -> list[dict[str, Any]]:
    """HAM10000 and changed copies, searched together: recall, and wrong links, of each change.

    The changes share out the originals, so that none has more than a few copies.
    """
    ham = photos.index[photos["collection"] == "ham10000"].to_numpy()
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(len(ham))
    chosen = np.resize(shuffled, (len(CHANGES), min(copies, len(ham))))
    altered = [
        fingerprint(recompress(np.ascontiguousarray(change(read(photos["path"][row]), rng)), 95))
        for change, originals in zip(CHANGES.values(), chosen, strict=True)
        for row in ham[originals]
    ]
    catalog = photos.loc[[*ham, *ham[chosen.ravel()]]].reset_index(drop=True)
    together = np.concatenate([marks[ham], np.array(altered, FINGERPRINT)])
    judged = judge(catalog, find_links(hide_names(len(catalog)), together))
    judged = judged[judged["row_b"] >= len(ham)]
    copy = judged["row_b"] - len(ham)
    own = judged["row_a"].to_numpy() == chosen.ravel()[copy]
    rows = []
    for number, name in enumerate(CHANGES):
        mine = (copy // chosen.shape[1] == number).to_numpy()
        verdicts = judged["verdict"][mine].value_counts()
        row = {"change": name, "recall": round(float((own & mine).sum()) / chosen.shape[1], 4)}
        row |= {verdict: int(verdicts.get(verdict, 0)) for verdict in ("neither", "wrong")}
        print(row, flush=True)
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--real", type=Path, metavar="DATA")
    parser.add_argument("--copies", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.real:
        photos = collect(options.real)
        marks, report = measure_collections(options.real, photos)
        if options.copies:
            report["by_change"] = measure_changes(photos, marks, options.copies)
    else:
        report = {"growth": growth(options.photos)}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
