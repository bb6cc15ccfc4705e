"""Masks of a run: probabilities at its size, masks at the photo's own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from cutis.errors import PhotoError
from cutis.lesion import mask_at_size
from cutis.preprocessing import load, normalise
from cutis.training.segmentation import SegmenterRun
from cutis.training.segmentation.inference import mask_probabilities, predict_masks
from cutis.training.segmentation.task import SegmentationData
from cutis.training.segmentation.train import THRESHOLDS, best_threshold

from .conftest import World, drawn


def test_probabilities_are_the_models_sigmoid(run: SegmenterRun) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    with torch.no_grad():
        logits = run.model()(torch.from_numpy(normalise(pixels, run.info.preprocessing)))
    found = mask_probabilities(run, pixels)
    assert (found.shape, found.dtype) == ((3, 32, 32), np.float32)
    assert np.abs(found - logits.sigmoid().squeeze(1).numpy()).max() < 1e-5
    assert np.ptp(found) > 1e-3


def test_masks_come_back_at_the_photos_own_size(world: World, run: SegmenterRun) -> None:
    photos = [world.root / "photos" / f"{number}.png" for number in range(3)]
    masks = list(predict_masks(run, photos))
    assert [mask.shape for mask in masks] == [(40, 48)] * 3
    pixels = np.stack([load(photo, run.info.preprocessing) for photo in photos])
    for mask, chances in zip(masks, mask_probabilities(run, pixels), strict=True):
        assert np.array_equal(mask, mask_at_size(chances, 40, 48, run.info.threshold))


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png", ".webp"])
def test_a_turned_photo_gets_an_upright_mask(
    run: SegmenterRun, tmp_path: Path, suffix: str
) -> None:
    photo = Image.fromarray(drawn(0)[0])
    exif = photo.getexif()
    exif[ExifTags.Base.Orientation] = 6
    files = [tmp_path / f"turned{suffix}", tmp_path / f"plain{suffix}"]
    photo.save(files[0], exif=exif)
    photo.save(files[1])
    turned, plain = predict_masks(run, files)
    assert (turned.shape, plain.shape) == ((48, 40), (40, 48))


def test_a_photo_that_cannot_be_read_is_named(run: SegmenterRun, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no photo")
    with pytest.raises(PhotoError, match=r"text\.png"):
        list(predict_masks(run, [tmp_path / "text.png"]))


def test_photos_that_are_gone_are_named_before_any_is_segmented(
    world: World, run: SegmenterRun, tmp_path: Path
) -> None:
    photos = [world.root / "photos" / "0.png"] * 70  # more than are read at once
    with pytest.raises(PhotoError, match="1 of 71 photos are not on disk"):
        next(predict_masks(run, [*photos, tmp_path / "gone.png"]))


class Shift(torch.nn.Module):
    """A network that answers with the photo's red channel, as logits."""

    encoder = None
    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.same = torch.nn.Conv2d(1, 1, 1, bias=False)
        torch.nn.init.ones_(self.same.weight)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.same(torch.logit(pixels[:, :1], eps=1e-6))


def test_the_threshold_is_the_one_that_validation_likes_best(run: SegmenterRun) -> None:
    settings = run.info.preprocessing.model_copy(
        update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    )
    red = np.full((3, 32, 32), 20, np.uint8)
    red[:, :3, :3] = 250  # a speck
    red[:, 8:20, 8:20] = 90  # 0.35: the lesion
    red[:, 20:, 20:] = 60  # 0.24: not the lesion
    masks = np.where(red == 90, np.uint8(255), np.uint8(0))
    pixels = np.repeat(red[..., None], 3, axis=3)
    data = SegmentationData(pixels, masks, np.arange(1), np.arange(1, 3))
    assert best_threshold(Shift(), data, settings) == (0.35, 1.0)
    all_right = SegmentationData(np.where(pixels == 90, 255, 0).astype(np.uint8), masks,
                                 np.arange(1), np.arange(1, 3))  # fmt: skip
    assert best_threshold(Shift(), all_right, settings) == (0.5, 1.0)
    assert 0.5 in THRESHOLDS


def test_the_threshold_is_chosen_in_the_precision_of_the_masks(run: SegmenterRun) -> None:
    answers = []

    class Noting(Shift):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            answers.append(super().forward(pixels))
            return answers[-1]

    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    data = SegmentationData(pixels, pixels[..., 0], np.arange(1), np.arange(1, 2))
    best_threshold(Noting(), data, run.info.preprocessing)
    assert [answer.dtype for answer in answers] == [torch.float32]
