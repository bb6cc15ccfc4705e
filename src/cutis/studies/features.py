"""Frozen features: what a backbone sees in each photo, computed once and kept."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cutis.data.batches import batch_slices
from cutis.models.backbone import Backbone
from cutis.preprocessing import load
from cutis.records import Preprocessing
from cutis.storage import commit_files
from cutis.training.loop import EVALUATION_BATCH, Backend

_DECODERS = 2


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
    if not file.is_file():
        features = _computed(backbone, paths, settings, backend)
        commit_files(cache, {file.name: lambda target: np.save(target, features)})
    kept: NDArray[np.float32] = np.load(file)
    return kept


@torch.inference_mode()
def _computed(
    backbone: Backbone, paths: Sequence[Path], settings: Preprocessing, backend: Backend
) -> NDArray[np.float32]:
    backend.place(backbone)
    backbone.eval()
    features = np.empty((len(paths), backbone.channels), np.float32)
    with (
        ThreadPoolExecutor(_DECODERS) as pool,
        tqdm(total=len(paths), desc="features", unit="photo", disable=None) as bar,
    ):
        for part in batch_slices(len(paths), EVALUATION_BATCH):
            pixels = np.stack(list(pool.map(lambda photo: load(photo, settings), paths[part])))
            with backend.autocast():
                feature_map = backbone(backend.normalised(pixels))
            features[part] = feature_map.float().mean(dim=(2, 3)).cpu().numpy()
            bar.update(len(pixels))
    return features


def _key(
    backbone: Backbone, sha256: Sequence[str], settings: Preprocessing, backend: Backend
) -> str:
    digest = hashlib.sha256()
    for name, tensor in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    form = "bfloat16" if backend.lower else "float32"
    digest.update("\n".join([settings.model_dump_json(), form, *sha256]).encode())
    return digest.hexdigest()[:24]
