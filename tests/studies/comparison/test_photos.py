"""Previews of augmentation on the page of a comparison."""

import io
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from cutis.studies.comparison.judging import Judged
from cutis.studies.comparison.photos import previews

RECIPE = """
name = "previewed"
[input]
size = 32
lesion = "channel"
[[stage]]
epochs = 1
"""


def judged(pixels: np.ndarray) -> Judged:
    record = SimpleNamespace(arm="arm", run="run", recipe_text=RECIPE)
    return cast(Judged, cast(Any, SimpleNamespace(record=record, train_pixels=pixels)))


@pytest.mark.parametrize("lesion", [None, 255, 0])
def test_photos_with_a_mask_channel_are_shown_dimmed_outside_the_lesion(lesion: int | None) -> None:
    pixels = np.full((3, 32, 32, 3), 200, np.uint8)
    if lesion is not None:
        pixels = np.concatenate([pixels, np.full((3, 32, 32, 1), lesion, np.uint8)], axis=3)
    ((picture, caption),) = previews([judged(pixels)])
    with Image.open(io.BytesIO(picture)) as sheet:
        assert sheet.mode == "RGB"
        shown = np.asarray(sheet).mean()
    assert shown == pytest.approx(100 if lesion == 0 else 200, abs=2)
    assert caption.startswith("arm, stage 1")
