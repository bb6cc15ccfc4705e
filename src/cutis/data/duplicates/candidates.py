"""Propose pairs that may show the same photograph, through an approximate nearest-neighbour index.

Every photo stands in the index once, upright. It asks for its neighbours as a whole and in nine
crops, in each turn that may bring it upright. The neighbours are then compared at 81 windows with
longer vectors, and only the best go on. Time is near linear; memory holds two short vectors
a photo.
"""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm
from usearch.index import Index

from cutis.data.duplicates.descriptors import (
    ASKING_WINDOWS,
    CHECK_DIMENSIONS,
    HASH_DIMENSIONS,
    SPANS,
    Description,
    describe,
    turn_checks,
    upright,
)
from cutis.data.duplicates.symmetry import AFTER, INVERSE, TURNS
from cutis.data.duplicates.thresholds import THRESHOLDS

CHUNK = 1024

CANDIDATE: np.dtype = np.dtype(
    [
        ("a", np.int64),
        ("b", np.int64),
        ("turn", np.int8),
        ("window", np.int8),
        ("similarity", np.float32),
    ]
)
"""Rows a and b: b after the turn looks like the window (row span * spans + column span) of a."""


class CandidateIndex:
    """The photos' descriptors, to be asked for look-alikes chunk by chunk.

    fingerprints: (n,) of FINGERPRINT. threads: how many cores the index may use; 0 for all.
    """

    def __init__(self, fingerprints: np.ndarray, threads: int = 0) -> None:
        self._fingerprints = fingerprints
        self._threads = threads
        self._upright = np.zeros(len(fingerprints), dtype=np.int8)
        self._checks = np.zeros((len(fingerprints), CHECK_DIMENSIONS), dtype=np.int8)
        self._index = Index(
            ndim=HASH_DIMENSIONS, metric="cos", dtype="i8", expansion_add=64, expansion_search=32
        )

    def add(self, rows: np.ndarray) -> None:
        """Put the photos at these rows into the index, all but those with hardly any detail."""
        with tqdm(total=len(rows), desc="indexing", unit="photo", disable=None) as progress:
            for start in range(0, len(rows), CHUNK):
                asked = rows[start : start + CHUNK]
                chunk, description = self._describe(asked)
                if len(chunk):
                    whole = description.asking(0)
                    turns = upright(whole, 0.0).argmax(axis=1)
                    self._upright[chunk] = turns
                    # Length 127: an int8 vector's numbers then stay within int8.
                    self._checks[chunk] = np.rint(127 * description.checked())
                    vectors = whole[np.arange(len(chunk)), turns]
                    self._index.add(chunk, vectors, threads=self._threads)
                progress.update(len(asked))

    def candidates(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """How many photos asked, and their candidates (m,) of CANDIDATE, a chunk at a time."""
        for start in range(0, len(rows), CHUNK):
            asked = rows[start : start + CHUNK]
            chunk, description = self._describe(asked)
            found = np.zeros(0, dtype=CANDIDATE)
            if len(chunk) and len(self._index):
                windows = range(ASKING_WINDOWS)
                found = np.concatenate([self._ask(chunk, description, w) for w in windows])
                found = self._check(chunk, description.checking(), found)
            yield len(asked), found

    def _describe(self, rows: np.ndarray) -> tuple[np.ndarray, Description]:
        """The rows that carry enough detail, and their descriptors."""
        records = self._fingerprints[rows]
        description = describe(records["thumbnail"])
        large = np.minimum(records["width"], records["height"]) >= THRESHOLDS.smallest_side
        kept = large & (description.detail >= THRESHOLDS.least_detail)
        return rows[kept], description[kept]

    def _ask(self, rows: np.ndarray, description: Description, window: int) -> np.ndarray:
        """The neighbours of one window of the photos; window and similarity are not final."""
        limits = THRESHOLDS
        asking = description.asking(window)
        wanted = limits.neighbours_of_crop if window else limits.neighbours_of_whole
        margin = limits.upright_margin_of_crop if window else limits.upright_margin_of_whole
        photo, turns = np.nonzero(upright(asking, margin))
        count = min(wanted + 1, len(self._index))  # a photo is a neighbour of its own
        matches = self._index.search(asking[photo, turns], count, threads=self._threads)
        found = np.zeros((len(photo), count), dtype=CANDIDATE)
        found["a"] = rows[photo][:, None]
        found["b"] = matches.keys.reshape(found.shape)
        found["turn"] = AFTER[self._upright[found["b"]], INVERSE[turns][:, None]]
        near = matches.distances.reshape(found.shape) <= 1 - limits.least_similarity
        kept: np.ndarray = found[near & (found["a"] != found["b"])]
        return kept

    def _check(self, rows: np.ndarray, checking: np.ndarray, found: np.ndarray) -> np.ndarray:
        """The best candidates of each photo, one a pair, each with its best window."""
        pairs = found["a"] * len(self._checks) + found["b"]
        _, first = np.unique(pairs * len(TURNS) + found["turn"], return_index=True)
        found = found[first]
        turned = turn_checks(self._checks[found["b"]], found["turn"]).astype(np.float32) / 127
        bounds = [*np.searchsorted(found["a"], np.sort(rows)).tolist(), len(found)]
        for photo, start, stop in zip(np.argsort(rows), bounds[:-1], bounds[1:], strict=True):
            if start < stop:
                cosines = checking[photo] @ turned[start:stop].T
                found["window"][start:stop] = cosines.argmax(axis=0)
                found["similarity"][start:stop] = cosines.max(axis=0)
        found = found[np.lexsort((-found["similarity"], found["b"], found["a"]))]
        found = found[_first_of_each(found["a"], found["b"])]
        found = found[np.lexsort((-found["similarity"], found["a"]))]
        rank = np.arange(len(found)) - np.searchsorted(found["a"], found["a"])
        similarity = found["similarity"]
        sure = similarity >= THRESHOLDS.sure_similarity
        most = np.where(sure, THRESHOLDS.sure_proposals, THRESHOLDS.proposals)
        return found[(rank < most) & (similarity >= THRESHOLDS.least_checked_similarity)]


def _first_of_each(*columns: np.ndarray) -> np.ndarray:
    """True where any of the sorted columns changes."""
    first = np.ones(len(columns[0]), dtype=bool)
    first[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return first


def window_of(candidate: np.ndarray) -> tuple[float, float, float, float]:
    """Top, bottom, left and right of a candidate's window, as shares of a's height and width."""
    row, column = divmod(int(candidate["window"]), len(SPANS))
    return *SPANS[row], *SPANS[column]
