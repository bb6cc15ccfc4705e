"""Runs the files of a bundle on photos beside the run that they were made from."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from cutis.data.batches import batch_slices, photo_batches
from cutis.data.masks import read_mask
from cutis.export.candidates import ClassifierPart, SegmenterPart
from cutis.export.parity import (
    LOGIT_LIMIT,
    Compared,
    NetworkCheck,
    SegmenterCheck,
    check_network,
    check_segmenter,
)
from cutis.metrics.segmentation import PixelCounts, overlap_scores
from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.runtime.bundle import MODEL_FILES, SEGMENTER_FILES
from cutis.runtime.engines import Outputs, installed_engines, runs
from cutis.runtime.fastest import Pair
from cutis.runtime.network import Network
from cutis.runtime.predictor import Predictor
from cutis.training.lesion_masks import lesion_batches

_BATCH = 8  # a segmenter's activations are as large as the photo


@dataclass(frozen=True)
class Answers:
    """What a network answers to the compared photos."""

    logits: NDArray[np.float32]  # (N, K)
    features: NDArray[np.float32] | None  # (N, D)


def compare_networks(
    part: ClassifierPart, bundle: Path, photos: pd.DataFrame
) -> list[tuple[NetworkCheck, Answers]]:
    """A classifier's files in a bundle, each on every installed engine that runs it.

    Args:
        photos: as `check_network` takes them.
    """
    info = part.info
    pairs = pairs_of({name: bundle / file for name, file in MODEL_FILES.items()})
    predictors = {
        pair: Predictor.load(bundle, model=pair.network, engine=pair.engine) for pair in pairs
    }
    paths = list(photos["path"])
    settings = info.preprocessing
    if part.segmenter is None:
        batches = photo_batches(paths, settings, "comparing with the run")
    else:
        batches = lesion_batches(paths, settings, part.segmenter, "comparing with the run")
    run: list[NDArray[np.float32]] = []
    found: dict[Pair, list[Outputs]] = {pair: [] for pair in pairs}
    same: dict[Pair, list[NDArray[np.bool_]]] = {pair: [] for pair in pairs}
    done = 0
    for pixels in batches:
        run.append(module_logits(part.module, pixels, settings))
        read = _read(predictors, paths[done : done + len(pixels)])
        for pair, predictor in predictors.items():
            seen = read[_reader(predictor)]
            found[pair].append(predictor.outputs(seen))
            same[pair].append((seen == pixels).all(axis=(1, 2, 3)))
        done += len(pixels)
    checks = []
    for pair in pairs:
        answers = _joined(found[pair])
        compared = Compared(np.concatenate(run), answers.logits, np.concatenate(same[pair]))
        check = check_network(
            *pair,
            (bundle / MODEL_FILES[pair.network]).stat().st_size,
            compared,
            photos,
            info.diagnoses,
            info.temperature,
        )
        checks.append((check, answers))
    return checks


def pairs_of(files: Mapping[str, Path]) -> list[Pair]:
    """Each network that has a file with each installed engine that runs it."""
    return [
        Pair(name, engine)
        for name in sorted(name for name, file in files.items() if file.is_file())
        for engine in installed_engines()
        if runs(engine, name)
    ]


def _reader(predictor: Predictor) -> tuple[str, str] | None:
    """What decides the pixels that a predictor reads: its segmenter."""
    finder = predictor.segmenter
    return None if finder is None else (finder.sha256, finder.network.engine)


def _read(
    predictors: Mapping[Pair, Predictor], photos: Sequence[Path]
) -> dict[tuple[str, str] | None, NDArray[np.uint8]]:
    """The photos as each kind of reader reads them, in threads."""
    readers = {_reader(predictor): predictor for predictor in predictors.values()}
    read = {}
    for name, reader in readers.items():
        with ThreadPoolExecutor(reader.network.threads) as pool:
            read[name] = np.stack([pixels for pixels, _ in pool.map(reader.read, photos)])
    return read


def _joined(outputs: Sequence[Outputs]) -> Answers:
    features = [batch.features for batch in outputs if batch.features is not None]
    return Answers(
        np.concatenate([batch.logits for batch in outputs]),
        np.concatenate(features) if features else None,
    )


def module_logits(
    module: nn.Module, pixels: NDArray[np.uint8], settings: Preprocessing
) -> NDArray[np.float32]:
    """What a module answers to (photos, size, size, 3 or 4): `Network.logits`' shapes."""
    batches = (pixels[part] for part in batch_slices(len(pixels), _BATCH))
    with torch.inference_mode():
        logits = [module(torch.from_numpy(normalise(batch, settings))) for batch in batches]
    return torch.cat(logits).float().numpy()


def compare_segmenters(
    part: SegmenterPart, bundle: Path, photos: pd.DataFrame
) -> tuple[SegmenterCheck, ...]:
    """A segmenter's files in a bundle, each on every installed engine that runs it.

    Args:
        photos: `path`, `group` and `mask`, a path or null.
    """
    info = part.info
    files = {name: bundle / file for name, file in SEGMENTER_FILES.items()}
    networks = {
        pair: Network(files[pair.network].read_bytes(), info.preprocessing, engine=pair.engine)
        for pair in pairs_of(files)
    }
    figures: dict[Pair, list[dict[str, NDArray[np.float64]]]] = {pair: [] for pair in networks}
    masks = _drawn_masks(list(photos["mask"]), info.preprocessing.size)
    paths = list(photos["path"])
    for pixels in photo_batches(paths, info.preprocessing, "comparing outlines with the run"):
        run = module_logits(part.module, pixels, info.preprocessing)
        drawn = [next(masks) for _ in pixels]
        for pair, network in networks.items():
            figures[pair].append(_mask_figures(run, network.logits(pixels), drawn, info.threshold))
    return tuple(
        check_segmenter(
            *pair,
            files[pair.network].stat().st_size,
            {name: np.concatenate([batch[name] for batch in rows]) for name in rows[0]},
            photos["group"],
        )
        for pair, rows in figures.items()
    )


def _drawn_masks(masks: Sequence[object], size: int) -> Iterator[NDArray[np.bool_] | None]:
    """People's masks at the segmenter's size, in the order of the photos; a null has none."""
    for path in masks:
        if isinstance(path, Path):
            whole = read_mask(path).astype(np.float32)
            yield cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA) >= 0.5
        else:
            yield None


def _mask_figures(
    run: NDArray[np.float32],
    network: NDArray[np.float32],
    drawn: Sequence[NDArray[np.bool_] | None],
    threshold: float,
) -> dict[str, NDArray[np.float64]]:
    """The figures of `check_segmenter` for a batch of logits (n, 1, s, s)."""
    gap = np.abs(network - run)
    theirs, ours = (expit(logits[:, 0]) >= threshold for logits in (run, network))
    known = np.array([mask is not None for mask in drawn])
    truth = np.stack([np.zeros(ours.shape[1:], bool) if mask is None else mask for mask in drawn])
    return {
        "difference": gap.max(axis=(1, 2, 3)).astype(np.float64),
        "beyond": 1 - (gap <= LOGIT_LIMIT).mean(axis=(1, 2, 3)),
        "jaccard": _jaccard(ours, theirs),
        "run": np.where(known, _jaccard(theirs, truth), np.nan),
        "network": np.where(known, _jaccard(ours, truth), np.nan),
    }


def _jaccard(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    parts = (first & second, first & ~second, ~first & second, ~first & ~second)
    counts = PixelCounts(*(part.sum(axis=(1, 2)).astype(np.float64) for part in parts))
    return overlap_scores(counts)["jaccard"]
