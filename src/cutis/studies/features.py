"""Frozen features: what a backbone sees in each photo, computed once and kept."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cutis import __version__
from cutis.data.array_file import kept_array
from cutis.data.batches import photo_batches
from cutis.models.backbone import Backbone
from cutis.records import Preprocessing
from cutis.training.backend import Backend


def pooled_features(
    backbone: Backbone,
    paths: Sequence[Path],
    sha256: Sequence[str],
    settings: Preprocessing,
    backend: Backend,
    cache: Path,
) -> NDArray[np.float32]:
    """The last feature map of each photo, averaged over its area: (photos, channels).

    No augmentation; batch normalisation uses its running statistics. The file in the folder
    `cache` is keyed by weights, input, number format, and the photos' content and order. Raises
    PhotoError for a photo that cannot be read.
    """
    file = cache / f"features-{_key(backbone, sha256, settings, backend)}.npy"
    return kept_array(
        file,
        (len(paths), backbone.channels),
        np.float32,
        lambda: _computed(backbone, paths, settings, backend),
    )


@torch.inference_mode()
def _computed(
    backbone: Backbone, paths: Sequence[Path], settings: Preprocessing, backend: Backend
) -> Iterator[NDArray[np.float32]]:
    backend.place(backbone)
    backbone.eval()
    for pixels in photo_batches(paths, settings, "features"):
        with backend.autocast():
            feature_map = backbone(backend.normalised(pixels))
        yield feature_map.float().mean(dim=(2, 3)).cpu().numpy()


def _key(
    backbone: Backbone, sha256: Sequence[str], settings: Preprocessing, backend: Backend
) -> str:
    digest = hashlib.sha256()
    for name, tensor in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    form = "bfloat16" if backend.lower else "float32"
    digest.update("\n".join([__version__, settings.model_dump_json(), form, *sha256]).encode())
    return digest.hexdigest()[:24]
