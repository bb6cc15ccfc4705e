"""Generated lesions with masks that are a little wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.evaluation.context import ReportContext
from cutis.lesion import Mask
from cutis.records import Preprocessing, Provenance, SegmenterInfo

PHOTOS, HEIGHT, WIDTH = 30, 36, 48
EMPTY, WHOLE = 3, 7  # rows whose prediction is empty, or the whole photo


@dataclass(frozen=True)
class Judged:
    """Rows, photos on disk, and the pairs of their masks."""

    folder: Path
    rows: pd.DataFrame
    predicted: list[Mask]
    truth: list[Mask]

    def pairs(self) -> Iterator[tuple[Mask, Mask]]:
        return zip(self.predicted, self.truth, strict=True)


def disk(radius: float, shift: float) -> Mask:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2 - shift) < radius)


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    truth = [disk(4 + number % 10, 0) for number in range(PHOTOS)]
    predicted = [disk(4 + number % 10, number / 10) for number in range(PHOTOS)]
    predicted[EMPTY] = np.zeros_like(truth[0])
    predicted[WHOLE] = np.ones_like(truth[0])
    for number, mask in enumerate(truth):
        photo = np.where(mask[..., None], (110, 60, 40), (220, 180, 160)).astype(np.uint8)
        Image.fromarray(photo).save(folder / f"{number}.png")
    rows = pd.DataFrame(
        {
            "image_id": [f"set/{number}" for number in range(PHOTOS)],
            "path": [f"{number}.png" for number in range(PHOTOS)],
            "group": [f"g{number // 2}" for number in range(PHOTOS)],
            "source": ["set" if number % 3 else "another" for number in range(PHOTOS)],
            "diagnosis": ["melanoma" if number < 5 else "melanocytic_nevus" for number in
                          range(PHOTOS - 1)] + [None],
        }
    )  # fmt: skip
    return Judged(folder, rows, predicted, truth)


@pytest.fixture
def segmenter() -> SegmenterInfo:
    return SegmenterInfo(
        cutis_version="0.1.0",
        architecture="unet",
        preprocessing=Preprocessing(size=128),
        threshold=0.45,
        provenance=Provenance(
            recipe="cutis-segmenter",
            catalog_sha256="ca" * 32,
            split_name="default",
            split_sha256="5b" * 32,
            unsafe=False,
            seed=7,
            train_counts={"melanoma": 40, "melanocytic_nevus": 100},
            train_groups=90,
            sources=("set",),
            licences=("CC0",),
        ),
        licence="CC0",
    )


@pytest.fixture
def context(judged: Judged, segmenter: SegmenterInfo) -> ReportContext:
    return ReportContext(
        model=segmenter,
        split_name="default",
        part="test",
        test_uses=3,
        history=pd.DataFrame(
            {
                "epoch": [1, 2],
                "stage": ["1", "2"],
                "train_loss": [1.0, 0.8],
                "validation_loss": [1.1, 0.9],
                "validation_jaccard": [0.5, 0.6],
            }
        ),
        recipe_text='name = "<plain>"',
        locate=lambda stored: judged.folder / stored,
    )
