"""One run pruned to several sizes: what each costs in accuracy and saves in time.

Every network is cut from the same run and fine-tuned alike. All are judged on the validation
photos, with the run itself beside them; the test part is not read.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from cutis import __version__
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, part_rows
from cutis.errors import InputError
from cutis.evaluation.values import figure
from cutis.lesion import channels
from cutis.metrics.bootstrap import Floats, Resampling, Statistic
from cutis.metrics.scores import confusion_matrix, overall_scores
from cutis.metrics.statistics import paired_bootstrap
from cutis.models.backbone import count_parameters
from cutis.models.complexity import multiply_adds
from cutis.records import Part
from cutis.runtime.network import Network as Runtime
from cutis.storage import refuse_other_content, sha256_file, write_file
from cutis.studies.pruning_page import write_page
from cutis.studies.pruning_record import Change, Cost, Network, Pruning
from cutis.training.backend import Backend
from cutis.training.lesion_masks import own_segmenter
from cutis.training.loop import logits_of
from cutis.training.run import HISTORY, WEIGHTS, Run, catalog_of, load_run
from cutis.training.supply import TrainingData
from cutis.training.train import training_data

RECORD = "pruning.json"
_RESAMPLING = Resampling()
_ROUNDS, _SINGLE = 12, 20
"""Every network answers so many photos one by one, then the next network; so often."""


class WriteOnnx(Protocol):
    """Writes a module as an ONNX file, as `cutis.export.onnx.write_onnx` does."""

    def __call__(self, module: nn.Module, size: int, path: Path, *, channels: int) -> None: ...


def pruning_curve(
    run: Path,
    out: Path,
    shares: Sequence[float],
    *,
    prune: Callable[[float, Path], Run],
    write_onnx: WriteOnnx,
    importance: str,
    data: Path | None = None,
) -> Pruning:
    """Prunes a run to each share of its multiply-adds, and compares the networks.

    `out` gets a run for each share, named by it, `pruning.json`, and `pruning.html` with its
    figure. The same call goes on where it was stopped.

    Args:
        prune: makes the run of one share in a folder, or goes on with it.
        importance: by which `prune` ranks channels.
        data: the run's catalog, where it has moved since training.

    Raises InputError for an `out` that holds something else or the curve of another run, and as
    `prune` does.
    """
    source = load_run(run)
    begun = _begun(source, out, importance)
    ordered = sorted(set(shares), reverse=True)
    pruned = [(share, prune(share, out / f"{share:g}")) for share in ordered]
    photos = _photos(source, data or catalog_of(run))
    made = begun.model_copy(
        update={
            "photos": len(photos.groups),
            "groups": int(photos.groups.max()) + 1,
            "networks": _networks([(None, source), *pruned], photos, write_onnx),
        }
    )
    write_file(out / RECORD, made.model_dump_json(indent=1) + "\n")
    write_page(made, out)
    return made


def _begun(source: Run, out: Path, importance: str) -> Pruning:
    """Marks the folder as the curve of a run, before anything is trained."""
    refuse_other_content(out, RECORD)
    info = source.info
    begun = Pruning(
        cutis_version=__version__,
        run_sha256=sha256_file(source.folder / WEIGHTS),
        recipe=info.provenance.recipe,
        architecture=info.architecture,
        size=info.preprocessing.size,
        importance=importance,
        unsafe=info.provenance.unsafe,
        photos=0,
        groups=0,
        resamples=_RESAMPLING.resamples,
        engine=f"ONNX Runtime {onnxruntime.__version__}",
    )
    file = out / RECORD
    if file.is_file():
        known = Pruning.model_validate_json(file.read_text(encoding="utf-8"))
        if (known.run_sha256, known.importance) != (begun.run_sha256, importance):
            raise InputError(
                "the folder holds the curve of another run, or by another importance",
                where=file,
                fix="choose another --out, or delete the folder",
            )
    else:
        write_file(file, begun.model_dump_json(indent=1) + "\n")
    return begun


@dataclass(frozen=True)
class _Photos:
    """The photos of a run, of which those of validation are judged."""

    data: TrainingData
    groups: NDArray[np.intp]  # of each validation photo, numbered from 0


def _photos(source: Run, place: Path) -> _Photos:
    info = source.info
    catalog = Catalog.open(place)
    split = load_split(catalog, info.provenance.split_name)
    rows = {
        part: part_rows(catalog, split, part, view=info.view)
        for part in (Part.TRAIN, Part.VALIDATION)
    }
    segmenter = own_segmenter(source)
    data, _ = training_data(catalog, rows, info.diagnoses, info.preprocessing, segmenter)
    return _Photos(data, pd.factorize(rows[Part.VALIDATION]["group"])[0])


def _networks(
    found: Sequence[tuple[float | None, Run]], photos: _Photos, write_onnx: WriteOnnx
) -> tuple[Network, ...]:
    """The figures of the networks, the first of which is the run itself."""
    costs = _costs([run for _, run in found], photos, write_onnx)
    statistics = [_statistic(run, photos) for _, run in found]
    networks = []
    for (share, run), cost, statistic in zip(found, costs, statistics, strict=True):
        scores = statistic(np.ones((1, len(photos.groups))))
        change = None
        if share is not None:
            paired = paired_bootstrap(statistics[0], statistic, photos.groups, _RESAMPLING)
            difference = figure(paired["balanced_accuracy"])
            change = Change(**{name: difference[name] for name in Change.model_fields})
        networks.append(
            Network(
                share=share,
                folder=run.folder.name,
                epochs=len(pd.read_csv(run.folder / HISTORY)),
                cost=cost,
                accuracy=float(scores["accuracy"][0]),
                balanced_accuracy=float(scores["balanced_accuracy"][0]),
                change=change,
            )
        )
    return tuple(networks)


def _statistic(run: Run, photos: _Photos) -> Statistic:
    """The scores of a run's answers to the validation photos, as weights of the photos go."""
    backend, model = Backend("float32", run.info.preprocessing), run.model()
    backend.place(model)
    chosen = photos.data.validation
    answers = logits_of(model, photos.data.pixels, chosen, backend).argmax(1).numpy()
    labels, diagnoses = photos.data.labels[chosen], len(run.info.diagnoses)

    def scores(weights: Floats) -> Mapping[str, Floats]:
        return overall_scores(confusion_matrix(labels, answers, diagnoses, weights))

    return scores


def _costs(runs: Sequence[Run], photos: _Photos, write_onnx: WriteOnnx) -> list[Cost]:
    settings = runs[0].info.preprocessing
    models = [run.model() for run in runs]
    planes = channels(settings)
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.onnx" for number in range(len(runs))]
        for model, file in zip(models, files, strict=True):
            write_onnx(model, settings.size, file, channels=planes)
        data = [file.read_bytes() for file in files]
    times = _milliseconds([Runtime(one, settings, threads=1) for one in data], photos)
    return [
        Cost(
            multiply_adds=multiply_adds(model, settings.size, planes),
            parameters=count_parameters(model),
            onnx_bytes=len(one),
            milliseconds=taken,
        )
        for model, one, taken in zip(models, data, times, strict=True)
    ]


def _milliseconds(networks: Sequence[Runtime], photos: _Photos) -> list[float]:
    """Medians for one photo; the networks take turns, so that all meet the same other load."""
    chosen = photos.data.validation[:_SINGLE]
    taken: list[list[float]] = [[] for _ in networks]
    for _ in range(1 + _ROUNDS):
        for network, times in zip(networks, taken, strict=True):
            for photo in chosen:
                pixels = np.ascontiguousarray(photos.data.pixels[photo : photo + 1])
                begun = time.perf_counter()
                network.logits(pixels)
                times.append(1000 * (time.perf_counter() - begun))
    return [median(times[len(chosen) :]) for times in taken]  # without the first, warming turn
