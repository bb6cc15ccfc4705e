"""From a torch module to an ONNX file."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from cutis.errors import InputError
from cutis.models.registry import Classifier
from cutis.runtime.network import FEATURES, INPUT, OUTPUT

OPSET = 18
"""Read by ONNX Runtime 1.14, OpenVINO 2023 and later; torch's exporter offers no earlier one."""


class WithFeatures(nn.Module):
    """A classifier that gives its pooled features too: the distance to the training photos' tells
    what it has not learned.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, size, size) to (batch, diagnoses) and (batch, features)."""
        found: tuple[Tensor, Tensor] = self.classifier.head.with_pooled(
            self.classifier.backbone(pixels)
        )
        return found


def write_onnx(module: nn.Module, size: int, path: Path, *, channels: int = 3) -> None:
    """Writes a module in evaluation mode as one fp32 file for any batch.

    Args:
        module: normalised float (batch, channels, size, size) to logits, (batch, diagnoses) or
            (batch, 1, size, size). A Classifier's file has its pooled features as second output.

    Raises InputError when the module has an operator that cannot be exported.
    """
    outputs = [OUTPUT]
    if isinstance(module, Classifier):
        module, outputs = WithFeatures(module).eval(), [OUTPUT, FEATURES]
    example = torch.zeros(2, channels, size, size)
    batch = torch.export.Dim("batch")
    with _quiet_exporter():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                input_names=[INPUT],
                output_names=outputs,
                opset_version=OPSET,
                dynamic_shapes=({0: batch},),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise InputError(
                f"the network cannot be written as ONNX ({reason})",
                expected="operators that torch.onnx can export",
                fix="choose another architecture",
            ) from error
    if program is None:
        raise RuntimeError("torch.onnx.export with dynamo=True returned no program")
    model = program.model_proto
    _forget_origin(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Holds back deprecations and the absence of torchvision: nobody here can act upon them."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Removes the exporter's notes: they hold source lines and paths of the exporting machine."""
    graph = model.graph
    tensors = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for item in (model, graph, *graph.node, *tensors):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
