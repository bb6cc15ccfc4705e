"""From catalog rows and fingerprints to the links between copies."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from cutis.data.duplicates.alignment import align, explain, is_same_photograph
from cutis.data.duplicates.candidates import CandidateIndex
from cutis.errors import InputError
from cutis.records import LinkKind

LINK_COLUMNS = ("image_id_a", "image_id_b", "kind", "score", "reason")

_Link = tuple[str, str, str, float, str]


def find_links(photos: pd.DataFrame, fingerprints: np.ndarray, threads: int = 0) -> pd.DataFrame:
    """Pairs of photos that are copies of one another, the strongest kind of each pair only.

    photos: columns image_id (unique), sha256 (of the file) and pixels_sha256 (of the decoded RGB
    bytes and shape), null where not known. fingerprints: (n,) of FINGERPRINT in the same order,
    in memory or memory-mapped. threads: cores for the index, 0 for all.

    Returns LINK_COLUMNS with image_id_a < image_id_b, sorted: kind is the strongest that holds,
    score 1.0 for an exact copy and otherwise the correlation of the aligned detail, reason in
    words. A group of exact copies is a star: its smallest image_id is linked with each other one;
    groups with equal pixels are joined through these centres, and only they are compared by looks.
    So the photos that belong together are the connected components of the links. Raises InputError
    for missing columns, unequal lengths and an image_id that stands twice.
    """
    _check(photos, fingerprints)
    ids = photos["image_id"].to_numpy(dtype=object)
    rows = np.argsort(ids, kind="stable")
    links: list[_Link] = []
    for column, kind, reason in (
        ("sha256", LinkKind.IDENTICAL_BYTES, "the files are equal byte for byte"),
        ("pixels_sha256", LinkKind.IDENTICAL_PIXELS, "the decoded pixels are equal"),
    ):
        centres = _centres(photos[column].to_numpy(dtype=object), rows)
        copies = rows[centres != rows]
        links += [
            (ids[centre], ids[copy], kind.value, 1.0, reason)
            for centre, copy in zip(centres[centres != rows], copies, strict=True)
        ]
        rows = rows[centres == rows]
    links += _same_photographs(ids, fingerprints, np.sort(rows), threads)
    table = pd.DataFrame(links, columns=list(LINK_COLUMNS)).astype({"score": "float64"})
    return table.sort_values(["image_id_a", "image_id_b"], ignore_index=True)


def _check(photos: pd.DataFrame, fingerprints: np.ndarray) -> None:
    missing = [name for name in ("image_id", "sha256", "pixels_sha256") if name not in photos]
    if missing:
        raise InputError(
            f"photos have no column {', '.join(missing)}",
            expected="image_id, sha256 and pixels_sha256",
        )
    if len(photos) != len(fingerprints):
        raise InputError(
            f"{len(photos)} photos and {len(fingerprints)} fingerprints",
            expected="one fingerprint a photo, in the same order",
        )
    repeated = photos["image_id"][photos["image_id"].duplicated()]
    if len(repeated):
        raise InputError(
            f"image_id {repeated.iloc[0]!r} stands in two rows", expected="an image_id once"
        )


def _centres(hashes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each row the first one with the same hash; itself where the hash is null."""
    first: dict[str, int] = {}
    return np.array(
        [
            row if pd.isna(hashes[row]) else first.setdefault(hashes[row], row)
            for row in rows.tolist()
        ],
        dtype=np.int64,
    )


def _same_photographs(
    ids: np.ndarray, fingerprints: np.ndarray, rows: np.ndarray, threads: int
) -> list[_Link]:
    index = CandidateIndex(fingerprints, threads)
    index.add(rows)
    links: dict[tuple[str, str], _Link] = {}
    with tqdm(total=len(rows), desc="comparing", unit="photo", disable=None) as progress:
        for asked, candidates in index.candidates(rows):
            for candidate in candidates:
                a, b = candidate["a"], candidate["b"]
                pair = (ids[a], ids[b]) if ids[a] < ids[b] else (ids[b], ids[a])
                if pair in links:
                    continue
                alignment = align(candidate, fingerprints[a], fingerprints[b])
                if alignment is not None and is_same_photograph(alignment):
                    photos = fingerprints[a], fingerprints[b]
                    reason = explain(candidate, alignment, *photos, b_is_second=pair[0] == ids[a])
                    links[pair] = (*pair, LinkKind.SAME_PHOTOGRAPH.value, alignment.score, reason)
            progress.update(asked)
    return list(links.values())
