"""OpenVINO: the fastest on most x86 processors; `pip install 'cutis[openvino]'`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any

import numpy as np

from cutis.errors import InputError
from cutis.runtime.engines.base import FEATURES, OUTPUT, Outputs, Planes

_TELEMETRY = "openvino_telemetry"


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Around the import of openvino, which otherwise reports itself to Google Analytics.

    It does so unless the user has forbidden it. Without the package that sends, openvino takes a
    stub of its own, also later in this process.
    """
    if _TELEMETRY in sys.modules:  # whoever imported it has decided
        yield
        return
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # an import of it now fails
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]


with _without_telemetry():
    import openvino as ov

_CONFIG = {
    "PERFORMANCE_HINT": "LATENCY",
    # Left to itself OpenVINO computes fp32 networks in bfloat16 where the processor has it, which
    # moves logits by some hundredths: beyond what parity allows, and differently by machine.
    "INFERENCE_PRECISION_HINT": "f32",
    "EXECUTION_MODE_HINT": "ACCURACY",
}

_ANY_SIDE = 32  # pixels, of a network that takes any


class OpenVinoEngine:
    """An ONNX network in OpenVINO, on the processor: a thread an inference."""

    def __init__(self, data: bytes, threads: int) -> None:
        """Raises InputError when OpenVINO cannot run the network."""
        try:
            core = _core()
            model = core.read_model(data)
            config = {**_CONFIG, "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
            compiled = core.compile_model(model, "CPU", config)
            self._open(compiled, threads)
        except RuntimeError as error:
            raise InputError(
                f"OpenVINO {ov.__version__} cannot run this network ({_reason(error)})",
                fix="choose --engine onnxruntime, or update openvino",
            ) from error

    def _open(self, compiled: Any, threads: int) -> None:
        named = {name: output for output in compiled.outputs for name in output.names}
        self._logits = named[OUTPUT]
        self._features = named.get(FEATURES)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(threads):
            self._requests.put(compiled.create_infer_request())
        # The first inference of a process sets Python objects up under a lock of OpenVINO's own:
        # two threads that both come first wait for each other for ever.
        _, *sides = compiled.input(0).partial_shape
        shape = [side.get_length() if side.is_static else _ANY_SIDE for side in sides]
        self.run(np.zeros((1, *shape), np.float32))

    def run(self, planes: Planes) -> Outputs:
        """As `Engine.run`."""
        request = self._requests.get()
        try:
            found = request.infer([planes], share_inputs=True)  # the outputs are copies
            features = None if self._features is None else found[self._features]
            return Outputs(found[self._logits], features)
        finally:
            self._requests.put(request)


_NOISE = ("Exception from ", "Check '", "FrontEnd API", "Summary:", "To facilitate")


@cache
def _core() -> ov.Core:
    """One for the process.

    Each Core gives its thread a stack for signals, and at its end puts back what it found: with
    two of them that may be the other's, which is gone, and the next Ctrl-C would crash.
    """
    return ov.Core()


def _reason(error: RuntimeError) -> str:
    """OpenVINO's account without its own source files, in one line."""
    lines = (line.strip(" -") for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith(_NOISE))
