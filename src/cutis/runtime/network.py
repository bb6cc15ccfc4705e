"""A bundle's network from uint8 pixels to logits."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.lesion import channels
from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.runtime.engines import FEATURES, INPUT, OUTPUT, Outputs, open_engine

__all__ = [
    "FEATURES",
    "INPUT",
    "OUTPUT",
    "RUN_BATCH",
    "Network",
    "Outputs",
    "available_cores",
    "wanted_threads",
]

RUN_BATCH = 4
"""Photos of one run: with more, MobileNetV2's activations no longer fit the processor's cache."""


def available_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Network:
    """Runs a network's bytes with an engine.

    Threads work on different photos, not together on one: nothing waits for anything, which is
    half as fast again on two cores, and gives the same logits with any number of threads.

    Attributes:
        preprocessing: of the network's input.
        engine: the name of what runs it.
        threads: photos worked on at a time.
    """

    def __init__(
        self,
        data: bytes,
        preprocessing: Preprocessing,
        *,
        engine: str = "onnxruntime",
        threads: int | None = None,
    ) -> None:
        """Raises InputError as `open_engine` does, and for threads below one."""
        self.threads = wanted_threads(threads)
        self.preprocessing = preprocessing
        self.engine = engine
        self._engine = open_engine(engine, data, self.threads)

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `outputs`, the logits alone."""
        return self.outputs(pixels).logits

    def outputs(self, pixels: NDArray[np.uint8]) -> Outputs:
        """(batch, size, size, 3) uint8 to what the network computes of it, on all threads.

        With `lesion = "channel"` the pixels have four channels. The logits are (batch, diagnoses)
        of a classifier and (batch, 1, size, size) of a segmenter.
        """
        size, planes = self.preprocessing.size, channels(self.preprocessing)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (size, size, planes):
            raise ValueError(
                f"pixels are uint8 of shape (batch, {size}, {size}, {planes}), "
                f"not {pixels.dtype} of shape {pixels.shape}"
            )
        runs = [pixels[i : i + RUN_BATCH] for i in range(0, max(len(pixels), 1), RUN_BATCH)]
        if len(runs) == 1 or self.threads == 1:
            return _joined([self._run(run) for run in runs])
        with ThreadPoolExecutor(min(self.threads, len(runs))) as pool:
            return _joined(list(pool.map(self._run, runs)))

    def try_out(self) -> None:
        """Answers a few random photos on every thread, as a measure of speed."""
        side, planes = self.preprocessing.size, channels(self.preprocessing)
        shape = (RUN_BATCH * self.threads, side, side, planes)
        self.outputs(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    def _run(self, pixels: NDArray[np.uint8]) -> Outputs:
        return self._engine.run(normalise(pixels, self.preprocessing))


def wanted_threads(threads: int | None) -> int:
    """The number of threads, as many as there are cores for None; InputError below one."""
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot work", expected="1 or more")
    return threads or available_cores()


def _joined(runs: list[Outputs]) -> Outputs:
    if len(runs) == 1:
        return runs[0]
    features = [run.features for run in runs if run.features is not None]
    return Outputs(
        np.concatenate([run.logits for run in runs]),
        np.concatenate(features) if features else None,
    )
