"""int8 files: their form, how near they are to fp32, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization.calibrate import HistogramCollector
from scipy.special import softmax
from torch import Tensor, nn

from cutis.errors import InputError
from cutis.export import quantize
from cutis.export.onnx import write_onnx
from cutis.export.quantize import METHODS, rounded_weights, write_int8
from cutis.models.registry import build_classifier
from cutis.models.segmentation import build_segmenter
from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.runtime.network import Network

SIZE = 32
SETTINGS = Preprocessing(size=SIZE)


def photos(count: int, seed: int, size: int = SIZE, channels: int = 3) -> NDArray[np.uint8]:
    """Dark discs of different colours on pale skin; a fourth channel is the disc."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    drawn = rng.integers(170, 230, (count, size, size, channels), dtype=np.uint8)
    for photo in drawn:
        row, column = rng.uniform(size / 3, size * 2 / 3, 2)
        disc = np.hypot(rows - row, columns - column) < rng.uniform(size / 8, size / 3)
        photo[disc, :3] = (photo[disc, :3] * rng.uniform(0.1, 0.9, 3)).astype(np.uint8)
        photo[..., 3:] = 255 * disc[..., None]
    return drawn


def lived(module: nn.Module, pixels: NDArray[np.uint8], settings: Preprocessing) -> nn.Module:
    """In evaluation mode, with running statistics that fit the weights."""
    inputs = torch.from_numpy(normalise(pixels, settings))
    module.train()
    with torch.no_grad():
        for _ in range(30):
            module(inputs)
    return module.eval()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    module = build_classifier("small_cnn", 3, size=SIZE)
    with torch.no_grad():
        for parameter in module.head.parameters():
            parameter.normal_(std=2.0)
    path = tmp_path_factory.mktemp("classifier") / "model.onnx"
    write_onnx(lived(module, photos(32, seed=0), SETTINGS), SIZE, path)
    return path


def probabilities(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = softmax(Network(path.read_bytes(), SETTINGS).logits(pixels), 1)
    return found


def difference(fp32: Path, int8: Path) -> float:
    """Mean absolute difference of probability on photos that were not used otherwise."""
    pixels = photos(64, seed=9)
    expected = probabilities(fp32, pixels)
    assert expected.std(axis=0).min() > 0.02  # else a small difference says nothing
    return float(np.abs(probabilities(int8, pixels) - expected).mean())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_nearly_as_fp32(
    classifier: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    int8 = tmp_path / "int8.onnx"
    write_int8(classifier, photos(48, seed=1), SETTINGS, int8, method=method)
    assert difference(classifier, int8) < 0.02
    assert capsys.readouterr().out == ""
    assert [file.name for file in tmp_path.iterdir()] == ["int8.onnx"]


def test_methods_find_other_ranges(classifier: Path, tmp_path: Path) -> None:
    files = []
    for method in METHODS:
        path = tmp_path / method
        write_int8(classifier, photos(16, seed=1), SETTINGS, path, method=method)
        files.append(path.read_bytes())
    assert len(set(files)) == 3


def test_the_form_of_the_file(classifier: Path, tmp_path: Path) -> None:
    int8 = tmp_path / "int8.onnx"
    write_int8(classifier, photos(16, seed=1), SETTINGS, int8)
    graph = onnx.load(int8).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    scales = {
        node.input[0]: constants[node.input[1]]
        for node in graph.node
        if node.op_type == "DequantizeLinear"
    }
    layers = {
        kind: [node for node in graph.node if node.op_type == kind] for kind in ("Conv", "Gemm")
    }
    assert len(layers["Conv"]) == 7
    sources = {node.output[0]: node.input[0] for node in graph.node}
    for node in layers["Conv"]:
        weights = constants[sources[node.input[1]]]
        assert weights.data_type == TensorProto.INT8
        assert list(scales[weights.name].dims) == [weights.dims[0]]
    (answer,) = layers["Gemm"]
    assert constants[answer.input[1]].data_type == TensorProto.FLOAT
    zero_points = [n.input[2] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert len(zero_points) >= 7
    assert {constants[name].data_type for name in zero_points} == {TensorProto.UINT8}
    used = {name for node in graph.node for name in node.input}
    assert constants.keys() == used & constants.keys()


def test_features_stand_beside_the_logits(classifier: Path, tmp_path: Path) -> None:
    int8 = tmp_path / "int8.onnx"
    write_int8(classifier, photos(16, seed=1), SETTINGS, int8)
    expected, found = (
        Network(path.read_bytes(), SETTINGS).outputs(photos(32, seed=9)).features
        for path in (classifier, int8)
    )
    assert expected is not None
    assert found is not None
    assert found.shape == expected.shape == (32, 128)
    assert np.abs(found - expected).mean() < 0.1 * expected.std()


def test_a_network_with_logits_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = build_classifier("small_cnn", 3, size=SIZE, hidden=(8,))
    plain = nn.Sequential(classifier.backbone, classifier.head)
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    write_onnx(lived(plain, photos(32, seed=0), SETTINGS), SIZE, fp32)
    write_int8(fp32, photos(16, seed=1), SETTINGS, int8)
    kinds = [constant.data_type for constant in onnx.load(int8).graph.initializer]
    assert kinds.count(TensorProto.INT8) > 8  # the hidden dense layer is quantised too
    found = Network(int8.read_bytes(), SETTINGS).outputs(photos(8, seed=9))
    assert found.features is None
    assert found.logits.shape == (8, 3)


def test_mobilenet_v2_takes_at_most_three_megabytes(tmp_path: Path) -> None:
    settings = Preprocessing(size=SIZE, lesion="channel")
    torch.manual_seed(0)
    module = build_classifier("mobilenet_v2", 7, size=SIZE, channels=4).eval()
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    write_onnx(module, SIZE, fp32, channels=4)
    pixels = photos(4, seed=1, channels=4)
    write_int8(fp32, pixels, settings, int8)
    assert 2_000_000 < int8.stat().st_size <= 3_000_000
    assert Network(int8.read_bytes(), settings).logits(pixels).shape == (4, 7)


class _LightUNet(nn.Module):
    """The kinds of layers of the light segmenter: depthwise, shortcut, enlarging, joining."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.below = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6())
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.answer = nn.Conv2d(16, 1, 1)
        self.enlarged = nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, pixels: Tensor) -> Tensor:
        fine = self.down(pixels)
        fine = fine + self.depthwise(fine)
        joined = torch.cat([fine, self.up(self.below(fine))], dim=1)
        logits: Tensor = self.enlarged(self.answer(joined))
        return logits


@pytest.mark.parametrize("build", [_LightUNet, lambda: build_segmenter("unet", filters=4)])
def test_segmenters(build: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    write_onnx(lived(build(), photos(16, seed=0), SETTINGS), SIZE, fp32)
    write_int8(fp32, photos(16, seed=1), SETTINGS, int8)
    expected, found = (
        Network(path.read_bytes(), SETTINGS).logits(photos(12, seed=9)) for path in (fp32, int8)
    )
    assert found.shape == (12, 1, SIZE, SIZE)
    assert 0 < np.abs(found - expected).mean() < 0.1 * expected.std()


class _Coarse(nn.Module):
    """Each channel has one large weight, beside which the others are rounded to nothing or twice
    what they are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.ModuleList(nn.Conv2d(c, 16, 3, padding=1) for c in (3, 16, 16))
        self.answer = nn.Linear(16, 3)
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.mul_(0.3)
                layer.weight[:, 0, 0, 0] = 20
            self.answer.weight.mul_(0.5)

    def forward(self, pixels: Tensor) -> Tensor:
        for layer in self.layers:
            pixels = layer(pixels).relu() / 20
        logits: Tensor = self.answer(pixels.mean(dim=(2, 3)))
        return logits


def test_biases_take_back_what_rounding_shifts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fp32, corrected, plain = (tmp_path / name for name in ("fp32", "corrected", "plain"))
    write_onnx(_Coarse().eval(), SIZE, fp32)
    write_int8(fp32, photos(32, seed=1), SETTINGS, corrected)
    monkeypatch.setattr(quantize, "_correct_biases", lambda *_: None)
    write_int8(fp32, photos(32, seed=1), SETTINGS, plain)
    expected, with_it, without = (
        Network(path.read_bytes(), SETTINGS).logits(photos(32, seed=9))
        for path in (fp32, corrected, plain)
    )
    shift, kept = (np.abs((found - expected).mean(0)).max() for found in (without, with_it))
    assert kept < 0.3 * shift


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(3, 8, 3)])
def test_rounded_weights_are_those_of_the_file(layer: nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6), nn.ReLU(),
        nn.Linear(6, 3),
    )  # fmt: skip
    fp32, int8 = tmp_path / "fp32", tmp_path / "int8"
    write_onnx(module.eval(), SIZE, fp32)
    write_int8(fp32, photos(8, seed=1), SETTINGS, int8)
    graph = onnx.load(int8).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantised = [
        node.input
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and constants.get(node.input[0], np.zeros(1)).dtype == np.int8
    ]
    for parameters, names in zip((layer, module[4]), quantised, strict=True):
        weights = parameters.weight.detach().numpy()
        axis = 1 if isinstance(parameters, nn.ConvTranspose2d) else 0
        values, scale = constants[names[0]].astype(np.float32), constants[names[1]]
        shape = [-1 if number == axis else 1 for number in range(weights.ndim)]
        held = values * scale.reshape(shape)
        np.testing.assert_allclose(rounded_weights(weights, axis), held, rtol=1e-5)


def test_a_channel_without_weights_rounds_to_nothing() -> None:
    weights = np.zeros((2, 3, 1, 1), np.float32)
    weights[1] = 1.0
    np.testing.assert_array_equal(rounded_weights(weights, 0), weights)


def test_histograms_hold_one_batch_at_a_time(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[int] = []
    collect: Callable[..., Any] = HistogramCollector.collect

    def spy(self: HistogramCollector, values: dict[str, list[NDArray[np.float32]]]) -> Any:
        collected.append(sum(len(batch) for batch in values["pixels"]))
        return collect(self, values)

    monkeypatch.setattr(HistogramCollector, "collect", spy)
    pixels = photos(19, seed=1)
    write_int8(classifier, pixels, SETTINGS, tmp_path / "int8", method="percentile")
    assert collected == [8, 8, 3]


def test_no_photos(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no calibration photos"):
        write_int8(classifier, photos(0, seed=1), SETTINGS, tmp_path / "int8")
    assert not list(tmp_path.iterdir())


def test_an_unknown_method(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no calibration method 'percentil'") as caught:
        write_int8(classifier, photos(1, seed=1), SETTINGS, tmp_path / "8", method="percentil")
    assert caught.value.fix == "did you mean 'percentile'?"
    assert caught.value.expected == "one of minmax, percentile, entropy"


def test_a_network_that_does_not_run_is_named(tmp_path: Path) -> None:
    fp32 = tmp_path / "model.onnx"
    node = onnx.helper.make_node("Unheard", ["pixels"], ["logits"], domain="somewhere")
    values = [
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
        for name in ("pixels", "logits")
    ]
    graph = onnx.helper.make_graph([node], "graph", values[:1], values[1:])
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("somewhere", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), fp32)
    with pytest.raises(InputError, match=r"cannot run this network .*Unheard"):
        write_int8(fp32, photos(1, seed=1), SETTINGS, tmp_path / "int8")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_an_operator_that_cannot_be_quantised_is_named(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("operator Strange is not supported\nby any means")

    monkeypatch.setattr(quantize, "quantize_static", refuse)
    with pytest.raises(InputError, match=r"to int8 .operator Strange is not supported.") as caught:
        write_int8(classifier, photos(1, seed=1), SETTINGS, tmp_path / "int8")
    assert caught.value.where == str(classifier)
    assert not list(tmp_path.iterdir())


def test_a_network_without_layers_for_it(tmp_path: Path) -> None:
    fp32 = tmp_path / "model.onnx"
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    write_onnx(module.eval(), SIZE, fp32)
    with pytest.raises(InputError, match="has no layer that can be quantised"):
        write_int8(fp32, photos(1, seed=1), SETTINGS, tmp_path / "int8")
