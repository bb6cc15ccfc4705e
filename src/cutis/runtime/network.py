"""An ONNX network from uint8 pixels to logits."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.lesion import channels
from cutis.preprocessing import normalise
from cutis.records import Preprocessing

INPUT, OUTPUT = "pixels", "logits"

RUN_BATCH = 4
"""Photos of one run: with more, MobileNetV2's activations no longer fit the processor's cache."""

_ERRORS_ONLY = 3


def available_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Network:
    """Runs a network's bytes with ONNX Runtime.

    Threads work on different photos, not together on one: nothing waits for anything, which is
    half as fast again on two cores, and gives the same logits with any number of threads.
    """

    def __init__(
        self, data: bytes, preprocessing: Preprocessing, *, threads: int | None = None
    ) -> None:
        """Raises InputError when ONNX Runtime cannot run the network, or for threads below one."""
        if threads is not None and threads < 1:
            raise InputError(f"{threads} threads cannot work", expected="1 or more")
        self.threads = threads or available_cores()
        self.preprocessing = preprocessing
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise InputError(
                f"ONNX Runtime {ort.__version__} cannot run this network ({error})",
                fix="update onnxruntime, or export the run again",
            ) from error

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(batch, size, size, 3) uint8 to float32 logits, on all threads.

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
            return np.concatenate([self._run(run) for run in runs])
        with ThreadPoolExecutor(min(self.threads, len(runs))) as pool:
            return np.concatenate(list(pool.map(self._run, runs)))

    def _run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        feed = {INPUT: normalise(pixels, self.preprocessing)}
        logits: NDArray[np.float32] = self._session.run([OUTPUT], feed)[0]
        return logits
