"""Drawn skin photos with the detail that tells one photograph from another."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pandas as pd
import pytest

from cutis.data.duplicates import FINGERPRINT, find_links, fingerprint

Photo = np.ndarray


def _noise(rng: np.random.Generator, cells: int, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(rng.standard_normal((cells, cells)), size, interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="session")
def draw() -> Callable[..., Photo]:
    """`draw(seed, width=300, height=225)`: skin, a dark lesion, dots and hairs, (h, w, 3) uint8."""

    def drawn(seed: int, width: int = 300, height: int = 225) -> Photo:
        rng = np.random.default_rng(seed)
        size = (width, height)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        reach = np.hypot(x - rng.uniform(-0.2, 0.2), y - rng.uniform(-0.2, 0.2))
        lesion = 1 / (1 + np.exp(14 * (reach + 0.15 * _noise(rng, 6, size) - 0.5)))
        light = 190 - 90 * lesion + 12 * _noise(rng, 40, size) * (0.5 + lesion)
        light += 5 * _noise(rng, 12, size)
        photo = light[..., None] * np.array([1.0, 0.8, 0.72])
        for _ in range(6):
            start, stop = rng.uniform(0, 1, (2, 2)) * size
            ends = [tuple(int(value) for value in end) for end in (start, stop)]
            cv2.line(photo, ends[0], ends[1], (50, 40, 35), 2)
        return np.clip(photo, 0, 255).astype(np.uint8)

    return drawn


@pytest.fixture(scope="session")
def link() -> Callable[[Sequence[Photo]], pd.DataFrame]:
    """`link(photos)`: the links of photos named p000, p001, ..., by looks alone."""

    def linked(photos: Sequence[Photo]) -> pd.DataFrame:
        marks = np.array([fingerprint(photo) for photo in photos], FINGERPRINT)
        names = [f"p{i:03d}" for i in range(len(photos))]
        table = pd.DataFrame({"image_id": names, "sha256": None, "pixels_sha256": None})
        return find_links(table, marks, threads=1)

    return linked
