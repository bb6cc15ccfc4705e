"""ONNX Runtime: part of every installation."""

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.runtime.engines.base import FEATURES, INPUT, OUTPUT, Outputs, Planes

_ERRORS_ONLY = 3


class OnnxRuntimeEngine:
    """An ONNX network in ONNX Runtime, on the processor."""

    def __init__(self, data: bytes) -> None:
        """Raises InputError when ONNX Runtime cannot run the network."""
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
        named = {output.name for output in self._session.get_outputs()}
        self._outputs = [name for name in (OUTPUT, FEATURES) if name in named]

    def run(self, planes: Planes) -> Outputs:
        """As `Engine.run`."""
        found: list[NDArray[np.float32]] = self._session.run(self._outputs, {INPUT: planes})
        return Outputs(found[0], found[1] if len(found) > 1 else None)
