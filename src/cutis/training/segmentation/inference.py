"""Masks of a segmentation run, drawn by PyTorch in float32."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image

from cutis.data.batches import batch_slices, photo_batches, require_photos
from cutis.lesion import mask_at_size
from cutis.preprocessing import decode
from cutis.training.segmentation.run import SegmenterRun
from cutis.training.segmentation.task import photos_at_once

_LYING = (5, 6, 7, 8)  # EXIF orientations in which a stored row is a column of the upright photo


@torch.inference_mode()
def mask_probabilities(run: SegmenterRun, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, s, s, 3) photos at the run's size to the probability of lesion, (n, s, s)."""
    model, backend = run.placed
    parts = batch_slices(len(pixels), photos_at_once(pixels.shape[1]))
    answers = [model(backend.normalised(pixels[part])).sigmoid() for part in parts]
    return np.concatenate([answer.squeeze(1).cpu().numpy() for answer in answers])


def predict_masks(run: SegmenterRun, photos: Sequence[Path]) -> Iterator[NDArray[np.bool_]]:
    """Masks (height, width), each at its photo's own size, in order.

    Raises PhotoError for a photo that cannot be read, and before the first where some are gone.
    """
    require_photos(photos)
    done = 0
    for pixels in photo_batches(photos, run.info.preprocessing, "segmenting"):
        part = photos[done : done + len(pixels)]
        for photo, probabilities in zip(part, mask_probabilities(run, pixels), strict=True):
            yield mask_at_size(probabilities, *_upright_size(photo), run.info.threshold)
        done += len(pixels)


def _upright_size(photo: Path) -> tuple[int, int]:
    """Height and width after EXIF orientation, of a photo that has been decoded before."""
    with Image.open(photo) as image:
        if image.getexif().get(ExifTags.Base.Orientation) not in _LYING:
            return image.height, image.width
    # by its version and the format Pillow may have swapped the size already: look what comes out
    height, width = decode(photo).shape[:2]
    return height, width
