"""Propose pairs that may show the same photograph, through an approximate nearest-neighbour index.

Every photo stands in the index once, in its upright orientation. It asks for its neighbours as a
whole and in nine crops, in each orientation that may be its upright one: near linear time, and
memory for one short vector a photo.
"""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm
from usearch.index import Index

from cutis.data.duplicates.descriptors import DIMENSIONS, WINDOWS, describe, upright
from cutis.data.duplicates.thresholds import THRESHOLDS

CHUNK = 2048

CANDIDATE: np.dtype = np.dtype(
    [
        ("a", np.int64),
        ("b", np.int64),
        ("window", np.int8),
        ("orientation_a", np.int8),
        ("orientation_b", np.int8),
        ("similarity", np.float32),
    ]
)
"""Rows a and b; this window of a, in its orientation, looks like the whole of b in b's."""


class CandidateIndex:
    """The photos' descriptors, to be asked for look-alikes chunk by chunk.

    threads: how many cores the index may use; 0 for all of them.
    """

    def __init__(self, fingerprints: np.ndarray, threads: int = 0) -> None:
        self._fingerprints = fingerprints
        self._threads = threads
        self._orientations = np.zeros(len(fingerprints), dtype=np.int8)
        self._index = Index(
            ndim=DIMENSIONS, metric="cos", dtype="i8", expansion_add=64, expansion_search=32
        )

    def add(self, rows: np.ndarray) -> None:
        """Put the photos at these rows into the index, all but those with hardly any detail."""
        for start in tqdm(range(0, len(rows), CHUNK), "index", unit="chunk", disable=None):
            chunk = rows[start : start + CHUNK]
            chunk, descriptors = self._describe(chunk)
            if not len(chunk):
                continue
            whole = descriptors[:, 0]
            orientations = upright(whole, 0.0).argmax(axis=1)
            self._orientations[chunk] = orientations
            vectors = whole[np.arange(len(chunk)), orientations]
            self._index.add(chunk, vectors, threads=self._threads)

    def candidates(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """How many photos were asked for, and their candidates (CANDIDATE), a chunk at a time."""
        for start in range(0, len(rows), CHUNK):
            asked = rows[start : start + CHUNK]
            chunk, descriptors = self._describe(asked)
            if len(chunk) and len(self._index):
                found = [
                    self._ask(chunk, descriptors[:, window], window)
                    for window in range(len(WINDOWS))
                ]
                yield len(asked), _best_of_each_photo(np.concatenate(found))

    def _describe(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows that carry enough detail, and their descriptors."""
        records = self._fingerprints[rows]
        large = np.minimum(records["width"], records["height"]) >= THRESHOLDS.smallest_side
        rows, records = rows[large], records[large]
        if not len(rows):
            return rows, np.empty((0, len(WINDOWS), 8, DIMENSIONS), np.float32)
        descriptors, detail = describe(records["thumbnail"])
        enough = detail >= THRESHOLDS.least_detail
        return rows[enough], descriptors[enough]

    def _ask(self, rows: np.ndarray, descriptors: np.ndarray, window: int) -> np.ndarray:
        whole = window == 0
        limits = THRESHOLDS
        margin = limits.orientation_margin_whole if whole else limits.orientation_margin_crop
        count = limits.neighbours_whole if whole else limits.neighbours_crop
        photo, orientation = np.nonzero(upright(descriptors, margin))
        count = min(count + 1, len(self._index))
        queries = descriptors[photo, orientation]
        matches = self._index.search(queries, count, threads=self._threads)
        found = np.zeros((len(photo), count), dtype=CANDIDATE)
        found["a"] = rows[photo][:, None]
        found["b"] = matches.keys.reshape(found.shape)
        found["window"] = window
        found["orientation_a"] = orientation[:, None]
        found["orientation_b"] = self._orientations[found["b"]]
        found["similarity"] = 1 - matches.distances.reshape(found.shape)
        alike = found["similarity"] >= limits.least_similarity
        return found[alike & (found["a"] != found["b"])]


def _best_of_each_photo(found: np.ndarray) -> np.ndarray:
    """One candidate a pair, its most similar; of those the best few of each asking photo."""
    order = np.lexsort((-found["similarity"], found["b"], found["a"]))
    found = found[order]
    first = np.ones(len(found), dtype=bool)
    first[1:] = (found["a"][1:] != found["a"][:-1]) | (found["b"][1:] != found["b"][:-1])
    found = found[first]
    found = found[np.lexsort((-found["similarity"], found["a"]))]
    starts = np.searchsorted(found["a"], found["a"], side="left")
    rank = np.arange(len(found)) - starts
    sure = found["similarity"] >= THRESHOLDS.sure_similarity
    return found[sure | (rank < THRESHOLDS.proposals)]
