"""The exported networks are the trained one, in the form that runtimes take fast."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from scipy.special import softmax
from torch import Tensor, nn

from cutis.errors import InputError
from cutis.export import ClassifierPart, ExportSummary, export_parts
from cutis.export.onnx import OPSET, write_onnx
from cutis.models.registry import build_classifier
from cutis.preprocessing import normalise
from cutis.records import ModelInfo
from cutis.runtime import Predictor


def torch_logits(
    network: nn.Module, info: ModelInfo, pixels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: Tensor = network(torch.from_numpy(normalise(pixels, info.preprocessing)))
    return logits.numpy()


@pytest.mark.parametrize("count", [1, 3, 30])
def test_fp32_gives_the_runs_logits(
    exported: ExportSummary,
    network: nn.Module,
    info: ModelInfo,
    check: NDArray[np.uint8],
    count: int,
) -> None:
    logits = Predictor.load(exported.folder, model="fp32").logits(check[:count])
    np.testing.assert_allclose(logits, torch_logits(network, info, check[:count]), atol=1e-4)


def test_int8_gives_nearly_the_runs_probabilities(
    exported: ExportSummary, network: nn.Module, info: ModelInfo, check: NDArray[np.uint8]
) -> None:
    predictor = Predictor.load(exported.folder, model="int8")
    probabilities = predictor.probabilities(predictor.logits(check))
    reference = softmax(torch_logits(network, info, check) / info.temperature, axis=1)
    assert len(set(reference.argmax(axis=1))) > 1  # else agreement says nothing
    gap = np.abs(probabilities - reference)
    assert gap.mean() < 0.02
    assert exported.parity.model is not None
    recorded = exported.parity.model.int8
    assert recorded.mean_probability_difference == pytest.approx(gap.mean(), rel=1e-3)
    assert recorded.largest_probability_difference == pytest.approx(gap.max(), rel=1e-3)
    same = probabilities.argmax(axis=1) == reference.argmax(axis=1)
    assert recorded.agreement == pytest.approx(same.mean())


def test_fp32_file_has_the_agreed_form(exported: ExportSummary) -> None:
    model = onnx.load(exported.folder / "model.onnx", load_external_data=False)
    assert [(i.domain, i.version) for i in model.opset_import] == [("", OPSET)]
    (pixels,), (logits,) = model.graph.input, model.graph.output
    assert (pixels.name, logits.name) == ("pixels", "logits")
    assert [d.dim_param or d.dim_value for d in pixels.type.tensor_type.shape.dim] == [
        "batch", 3, 32, 32,
    ]  # fmt: skip
    assert [d.dim_param or d.dim_value for d in logits.type.tensor_type.shape.dim] == ["batch", 3]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_networks_do_not_tell_where_they_were_made(exported: ExportSummary) -> None:
    for name in ("model.onnx", "model-int8.onnx"):
        data = (exported.folder / name).read_bytes()
        assert str(Path(__file__).parent).encode() not in data
        assert b"stack_trace" not in data


def test_int8_has_unsigned_activations_and_a_scale_per_channel(exported: ExportSummary) -> None:
    model = onnx.load(exported.folder / "model-int8.onnx")
    kinds = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in kinds
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    zero_points = [n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert len(zero_points) >= 4
    assert {constants[name].data_type for name in zero_points} == {TensorProto.UINT8}
    weights = [
        (numpy_helper.to_array(constants[node.input[0]]), constants[node.input[1]])
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    ]
    filters = [(w, scale) for w, scale in weights if w.dtype == np.int8 and w.ndim == 4]
    assert len(filters) == 2
    assert all(list(scale.dims) == [len(w)] for w, scale in filters)


class _Unheard(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return torch.special.bessel_j0(pixels).mean(dim=(2, 3))


def test_an_operator_that_onnx_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written as ONNX .*bessel_j0"):
        write_onnx(_Unheard(), 8, tmp_path / "model.onnx")


@pytest.mark.parametrize("attention", ["se", "cbam"])
def test_attention_is_exported(
    attention: str,
    info: ModelInfo,
    calibration: NDArray[np.uint8],
    check: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = build_classifier("small_cnn", 3, size=32, attention=attention).eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_(std=0.3)
    part = ClassifierPart(model, info, calibration, check)
    parity = export_parts(tmp_path / "bundle", classifier=part).parity.model
    assert parity is not None
    assert parity.fp32.largest_logit_difference < 1e-4
    assert parity.int8.mean_probability_difference < 0.05
