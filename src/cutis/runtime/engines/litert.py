"""LiteRT, formerly TensorFlow Lite: runs the tflite file; `pip install 'cutis[litert]'`."""

import contextlib
import os
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.runtime.engines.base import FEATURES, INPUT, OUTPUT, Outputs, Planes

_REDIRECTION = threading.Lock()
"""Two redirections at once would each restore what the other has set."""


class LiteRtEngine:
    """A tflite network in LiteRT's interpreter with XNNPACK: an interpreter a thread.

    The file takes one photo (1, height, width, channels), as phones want it, so a batch is run
    photo by photo.
    """

    def __init__(self, data: bytes, threads: int) -> None:
        """Raises InputError when LiteRT cannot run the network."""
        try:
            with _without_banner():
                interpreters = [_Interpreter(data) for _ in range(threads)]
        except (ValueError, RuntimeError, KeyError) as error:
            raise InputError(
                f"LiteRT cannot run this network ({str(error).strip() or 'no reason given'})",
                fix="update ai-edge-litert, or export the run again",
            ) from error
        self._free: SimpleQueue[_Interpreter] = SimpleQueue()
        for interpreter in interpreters:
            self._free.put(interpreter)

    def run(self, planes: Planes) -> Outputs:
        """As `Engine.run`."""
        interpreter = self._free.get()
        try:
            return interpreter.run(planes)
        finally:
            self._free.put(interpreter)


class _Interpreter:
    """One interpreter, which only one thread may use at a time."""

    def __init__(self, data: bytes) -> None:
        self._interpreter: Any = Interpreter(model_content=data, num_threads=1)
        self._interpreter.allocate_tensors()
        signature = self._interpreter.get_signature_runner()
        outputs = signature.get_output_details()
        self._input: int = signature.get_input_details()[INPUT]["index"]
        self._logits = outputs[OUTPUT]
        self._features = outputs.get(FEATURES)

    def run(self, planes: Planes) -> Outputs:
        photos = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        logits = _empty(len(photos), self._logits)
        features = None if self._features is None else _empty(len(photos), self._features)
        for row in range(len(photos)):
            self._interpreter.set_tensor(self._input, photos[row : row + 1])
            self._interpreter.invoke()
            logits[row] = self._interpreter.get_tensor(self._logits["index"])[0]
            if features is not None:
                features[row] = self._interpreter.get_tensor(self._features["index"])[0]
        return Outputs(logits, features)


def _empty(photos: int, output: dict[str, Any]) -> NDArray[np.float32]:
    return np.empty((photos, *output["shape"][1:]), np.float32)


@contextlib.contextmanager
def _without_banner() -> Iterator[None]:
    """Holds standard error back: LiteRT announces XNNPACK there and has no switch against it.

    Errors are not lost, they come as exceptions.
    """
    with _REDIRECTION:
        try:
            kept = os.dup(2)
        except OSError:  # a program without standard error
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(nowhere)
            os.close(kept)
