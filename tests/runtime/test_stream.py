"""Streams keep the order, survive bad photos, and never run far ahead."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cutis.preprocessing import load
from cutis.runtime import Predictor, predict_photos
from cutis.runtime.network import RUN_BATCH

from .conftest import DIAGNOSES

LOGITS = [f"logit_{name}" for name in DIAGNOSES]


@pytest.mark.parametrize("threads", [1, 4])
def test_rows_are_the_photos_in_order(bundle: Path, photos: list[Path], threads: int) -> None:
    predictor = Predictor.load(bundle, threads=threads)
    tables = list(predict_photos(predictor, photos, batch=5))
    assert [len(table) for table in tables] == [5, 5, 5, 5, 3]
    table = pd.concat(tables, ignore_index=True)
    assert list(table.columns) == ["path", *LOGITS, *DIAGNOSES, "error"]
    assert table["path"].tolist() == [str(photo) for photo in photos]
    assert table["error"].isna().all()
    pixels = np.stack([load(photo, predictor.info.model.preprocessing) for photo in photos])
    logits = predictor.logits(pixels)
    np.testing.assert_allclose(table[LOGITS], logits, rtol=1e-6)
    np.testing.assert_allclose(table[list(DIAGNOSES)], predictor.probabilities(logits), rtol=1e-6)


def test_a_bad_photo_gives_a_row_and_the_work_goes_on(bundle: Path, photos: list[Path]) -> None:
    photos[3].write_bytes(photos[3].read_bytes()[:200])
    photos[9].write_text("a text")
    for photo in photos[12:16]:  # all photos of one run of the network
        photo.unlink()
    bad = [3, 9, 12, 13, 14, 15]
    table = pd.concat(predict_photos(Predictor.load(bundle), photos), ignore_index=True)
    assert table.index[table["error"].notna()].tolist() == bad
    assert "damaged" in table["error"][3]
    assert table["error"][9] == "this is not a photo"
    assert table["error"][12] == "the photo is missing"
    values = table[[*LOGITS, *DIAGNOSES]]
    assert values.loc[bad].isna().all(axis=None)
    assert values.drop(index=bad).notna().all(axis=None)


def test_an_endless_stream_is_read_only_as_far_as_needed(bundle: Path, photos: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        for photo in itertools.cycle(photos):
            taken += 1
            yield photo

    threads = 2
    tables = predict_photos(Predictor.load(bundle, threads=threads), endless(), batch=8)
    for _ in range(3):
        next(tables)
    assert 24 <= taken <= 24 + RUN_BATCH * (2 * threads + 1)
    running = threading.active_count()
    tables.close()
    assert threading.active_count() < running


def test_nothing_in_nothing_out(bundle: Path) -> None:
    assert list(predict_photos(Predictor.load(bundle), [])) == []
