"""The exported networks are the trained one, in the form that runtimes take fast."""

from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from scipy.special import softmax
from torch import Tensor, nn

from cutis.errors import InputError
from cutis.export import ClassifierPart, ExportSummary, candidates, export_parts
from cutis.export.candidates import Making, write_candidates
from cutis.export.choose_int8 import ChosenInt8, Int8Candidate
from cutis.export.onnx import OPSET, write_onnx
from cutis.export.photos import divide
from cutis.models.registry import Classifier, build_classifier
from cutis.preprocessing import normalise
from cutis.records import ModelInfo
from cutis.runtime import Predictor
from cutis.runtime.bundle import read_info

from .conftest import DIAGNOSES


def torch_logits(
    network: nn.Module, info: ModelInfo, pixels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: Tensor = network(torch.from_numpy(normalise(pixels, info.preprocessing)))
    return logits.numpy()


@pytest.fixture(scope="module")
def compared(exported: ExportSummary, photos: pd.DataFrame, info: ModelInfo) -> pd.DataFrame:
    return divide(photos, info.provenance.seed).compared


@pytest.fixture(scope="module")
def pixels(exported: ExportSummary, compared: pd.DataFrame) -> NDArray[np.uint8]:
    predictor = Predictor.load(exported.folder)
    return np.stack([predictor.read(path)[0] for path in compared["path"]])


@pytest.mark.parametrize("count", [1, 3, 30])
def test_fp32_gives_the_runs_logits_and_features(
    exported: ExportSummary,
    learned: Classifier,
    info: ModelInfo,
    pixels: NDArray[np.uint8],
    count: int,
) -> None:
    outputs = Predictor.load(exported.folder, model="fp32").outputs(pixels[:count])
    expected = torch_logits(learned, info, pixels[:count])
    np.testing.assert_allclose(outputs.logits, expected, atol=1e-4)
    with torch.no_grad():
        inputs = torch.from_numpy(normalise(pixels[:count], info.preprocessing))
        pooled = learned.backbone(inputs).mean(dim=(2, 3)).numpy()
    assert outputs.features is not None
    np.testing.assert_allclose(outputs.features, pooled, atol=1e-4)


def test_int8_gives_nearly_the_runs_probabilities(
    exported: ExportSummary,
    learned: Classifier,
    info: ModelInfo,
    compared: pd.DataFrame,
    pixels: NDArray[np.uint8],
) -> None:
    predictor = Predictor.load(exported.folder, model="int8")
    probabilities = predictor.probabilities(predictor.logits(pixels))
    reference = softmax(torch_logits(learned, info, pixels) / info.temperature, axis=1)
    assert len(set(reference.argmax(axis=1))) == 3  # else agreement says nothing
    gap = np.abs(probabilities - reference)
    (recorded,) = (c for c in exported.parity.networks if c.name == "int8/onnxruntime")
    assert recorded.mean_probability_difference == pytest.approx(gap.mean(), rel=1e-3)
    assert recorded.largest_probability_difference == pytest.approx(gap.max(), rel=1e-3)
    same = probabilities.argmax(axis=1) == reference.argmax(axis=1)
    assert recorded.agreement == pytest.approx(same.mean())
    truth = np.array([DIAGNOSES.index(name) for name in compared["diagnosis"]])
    assert recorded.accuracy is not None
    assert recorded.accuracy.run == pytest.approx((reference.argmax(axis=1) == truth).mean())
    assert recorded.accuracy.network == pytest.approx(
        (probabilities.argmax(axis=1) == truth).mean()
    )
    assert recorded.recall_loss.keys() == {"melanocytic_nevus"}  # 60 photos; of others fewer
    assert recorded.flipped.keys() == {"melanoma", "dermatofibroma"}


def test_fp32_file_has_the_agreed_form(exported: ExportSummary) -> None:
    model = onnx.load(exported.folder / "model.onnx", load_external_data=False)
    assert [(i.domain, i.version) for i in model.opset_import] == [("", OPSET)]
    (pixels,), (logits, features) = model.graph.input, model.graph.output
    assert (pixels.name, logits.name, features.name) == ("pixels", "logits", "features")
    shapes = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (pixels, logits, features)
    ]
    assert shapes == [["batch", 3, 32, 32], ["batch", 3], ["batch", 128]]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_networks_do_not_tell_where_they_were_made(exported: ExportSummary) -> None:
    for name in ("model.onnx", "model-int8.onnx"):
        data = (exported.folder / name).read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in data
        assert b"stack_trace" not in data


def test_int8_has_unsigned_activations_and_a_scale_per_channel(exported: ExportSummary) -> None:
    model = onnx.load(exported.folder / "model-int8.onnx")
    kinds = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in kinds
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    zero_points = [n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert len(zero_points) >= 7
    assert {constants[name].data_type for name in zero_points} == {TensorProto.UINT8}
    weights = [
        (numpy_helper.to_array(constants[node.input[0]]), constants[node.input[1]])
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    ]
    filters = [(w, scale) for w, scale in weights if w.dtype == np.int8 and w.ndim == 4]
    assert len(filters) == 7
    assert all(list(scale.dims) == [len(w)] for w, scale in filters)


class _Unheard(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return torch.special.bessel_j0(pixels).mean(dim=(2, 3))


def test_an_operator_that_onnx_lacks_is_refused(
    info: ModelInfo, photos: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"cannot be written as ONNX .*bessel_j0"):
        write_onnx(_Unheard(), 8, tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"cannot be written as ONNX .*bessel_j0"):
        export_parts(tmp_path / "b", photos, classifier=ClassifierPart(_Unheard(), info))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("attention", ["se", "cbam"])
def test_attention_is_exported(
    attention: str, info: ModelInfo, photos: pd.DataFrame, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = build_classifier("small_cnn", 3, size=32, attention=attention).eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_(std=0.3)
    part = ClassifierPart(model, info)
    summary = export_parts(
        tmp_path / "b", photos, classifier=part, networks=["fp32"], measure=False
    )
    assert summary.parity.networks[0].largest_logit_difference < 1e-4
    assert read_info(tmp_path / "b").policies["fp32"].highest_distance is not None


Files = dict[str, bytes]


class Choices:
    """Stands in for the choice among int8 networks: it takes what it is told, and remembers."""

    def __init__(self, *found: tuple[float, float]) -> None:
        self.found = list(found)
        self.asked: list[tuple[str, str | None, int, int]] = []

    def __call__(
        self,
        fp32: Path,
        calibration: NDArray[np.uint8],
        validation: NDArray[np.uint8],
        info: ModelInfo,
        path: Path,
        *,
        reference: Path | None = None,
    ) -> ChosenInt8:
        agreement, difference = self.found[len(self.asked)]
        name = f"try {len(self.asked)}"
        self.asked.append(
            (fp32.name, reference and reference.name, len(calibration), len(validation))
        )
        path.write_text(name)
        found = Int8Candidate(
            method=name, agreement=agreement, mean_probability_difference=difference
        )
        return ChosenInt8(
            method=name,
            calibration_photos=len(calibration),
            validation_photos=len(validation),
            candidates=(found,),
        )


@pytest.mark.parametrize(
    ("found", "tuned"),
    [
        ([(0.97, 0.01)], None),
        ([(0.96, 0.0), (0.961, 0.02)], True),
        ([(0.96, 0.0), (0.96, 0.001)], False),
        ([(0.99, 0.011), (0.98, 0.009)], True),  # within the limits is better than alike
        ([(0.9, 0.011), (0.8, 0.001)], False),
        ([(0.96, float("nan"))], None),  # there is nothing to learn from
    ],
)
def test_int8_is_fine_tuned_where_it_falls_short(
    part: ClassifierPart,
    photos: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: list[tuple[float, float]],
    tuned: bool | None,
) -> None:
    choices, learned_from = Choices(*found), []

    def fine_tune(module: nn.Module, pixels: NDArray[np.uint8], settings: object) -> nn.Module:
        assert module is part.module
        learned_from.append(len(pixels))
        return module

    def written(module: nn.Module, size: int, path: Path, *, channels: int) -> None:
        path.write_text("fp32")

    monkeypatch.setattr(candidates, "choose_int8", choices)
    monkeypatch.setattr(candidates, "fine_tune_int8", fine_tune)
    monkeypatch.setattr(candidates, "write_onnx", written)
    making = Making()
    write_candidates(part, divide(photos, seed=0), ["int8"], tmp_path, making)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model-int8.onnx"}
    taken = "try 1" if tuned else "try 0"
    assert (tmp_path / "model-int8.onnx").read_text() == taken
    assert making.methods == {"model-int8.onnx": taken}
    assert making.fine_tuned == (["model-int8.onnx"] if tuned else [])
    # half of 40 training photos calibrates, the other half may adapt, validation chooses
    assert choices.asked[0] == ("model.onnx", None, 20, 80)
    assert learned_from == ([] if tuned is None else [20])
    # the adapted network is held against the run, not against itself
    assert choices.asked[1:] == (
        [] if tuned is None else [("model-int8.fp32", "model.onnx", 20, 80)]
    )


def test_fp32_alone_reads_no_photo(
    part: ClassifierPart,
    photos: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    making = Making()
    monkeypatch.setattr(
        candidates, "write_onnx", lambda *_, **__: (tmp_path / "model.onnx").touch()
    )
    gone = photos.assign(path=[Path("nowhere.png")] * len(photos))
    write_candidates(part, divide(gone, seed=0), ["fp32"], tmp_path, making)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx"}
    assert making == Making()
