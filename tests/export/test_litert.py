"""The tflite file: what the converter makes of a network, and what is said when it cannot."""

import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.errors import InputError
from cutis.export.bias_correction import correct_biases
from cutis.export.litert import litert_environment, write_tflite
from cutis.models.registry import Classifier, build_classifier
from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.runtime.engines import installed_engines
from cutis.runtime.network import Network

from .conftest import some_photos

SIZE = 32
SETTINGS = Preprocessing(size=SIZE)

needs_converter = pytest.mark.skipif(
    litert_environment() is None, reason="LiteRT's converter is not installed: make litert"
)
needs_engine = pytest.mark.skipif(
    "litert" not in installed_engines(),
    reason="LiteRT is not installed: pip install 'cutis[litert]'",
)


def small_classifier(attention: str = "none") -> Classifier:
    torch.manual_seed(0)
    model = build_classifier("small_cnn", 3, size=SIZE, attention=attention).eval()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):  # as given they hardly pass the photo on
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        for parameter in model.head.parameters():  # some start at zero
            parameter.normal_(std=0.3)
    return model


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return some_photos(20, seed=1)


@pytest.fixture(scope="module")
def tflite(pixels: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tflite") / "model-int8.tflite"
    write_tflite(small_classifier("se"), pixels, SETTINGS, path)
    return path


@needs_converter
@needs_engine
def test_the_file_answers_as_the_module_does(tflite: Path) -> None:
    photos = some_photos(12, seed=2)
    module = small_classifier("se")
    with torch.no_grad():
        maps = module.backbone(torch.from_numpy(normalise(photos, SETTINGS)))
        logits, features = (found.numpy() for found in module.head.with_pooled(maps))
    found = Network(tflite.read_bytes(), SETTINGS, engine="litert", threads=1).outputs(photos)
    assert found.features is not None
    assert found.logits.std() > 0.1
    # the mean, since a photo beyond the ranges of the calibration photos is cut off
    assert np.abs(found.logits - logits).mean() < 0.03 * np.ptp(logits)
    assert np.abs(found.features - features).mean() < 0.03 * np.ptp(features)


@needs_converter
@needs_engine
def test_the_file_is_int8_inside_and_float_outside(tflite: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    data = tflite.read_bytes()
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0)).subgraphs[0]
    kinds = [tensor.type for tensor in graph.tensors]
    assert [list(graph.tensors[place].shape) for place in graph.inputs] == [[1, SIZE, SIZE, 3]]
    outside = {kinds[place] for place in (*graph.inputs, *graph.outputs)}
    assert outside == {schema.TensorType.FLOAT32}
    assert kinds.count(schema.TensorType.FLOAT32) == 3
    filters = [
        tensor
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.INT8 and tensor.buffer and len(tensor.shape) == 4
    ]
    assert sum(len(tensor.quantization.scale) == max(tensor.shape[0], tensor.shape[3])
               for tensor in filters if tensor.quantization.scale is not None) >= 3  # fmt: skip
    assert str(Path(__file__).parents[2]).encode() not in data
    assert b"cutis" not in data


class _Unheard(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return torch.special.bessel_j0(pixels).mean(dim=(2, 3))


@needs_converter
def test_an_operator_that_litert_lacks_is_refused(
    pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"cannot be written as tflite .*bessel_j0"):
        write_tflite(_Unheard(), pixels, SETTINGS, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


class _Guessing(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.mean(dim=(2, 3)) if pixels.sum() > 0 else pixels.amax(dim=(2, 3))


def an_environment(folder: Path, script: str) -> Path:
    """A folder whose `python` is a shell script."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without the converter's environment, nor one beside Cutis's."""
    monkeypatch.delenv("CUTIS_LITERT", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "other" / ".venv"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_the_environment_the_way_out_is_named(
    nowhere: Path, pixels: NDArray[np.uint8]
) -> None:
    assert litert_environment() is None
    with pytest.raises(InputError, match="LiteRT's converter is not installed") as caught:
        write_tflite(_Unheard(), pixels, SETTINGS, nowhere / "model.tflite")
    assert caught.value.fix == "run `make litert`, or export without tflite"


def test_the_environment_is_found(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = an_environment(nowhere / "other" / ".venv-litert", "")
    assert litert_environment() == beside
    here = an_environment(nowhere / ".venv-litert", "")
    assert litert_environment() == here
    named = an_environment(nowhere / "elsewhere", "")
    monkeypatch.setenv("CUTIS_LITERT", str(named))
    assert litert_environment() == named


def test_a_variable_that_names_nothing_is_refused(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTIS_LITERT", str(nowhere / "gone"))
    with pytest.raises(InputError, match="CUTIS_LITERT names no Python environment") as caught:
        litert_environment()
    assert caught.value.where == str(nowhere / "gone")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'a word'; echo 'out of memory' >&2; exit 3", r"as tflite \(out of memory\)"),
        ("kill -9 $$", r"as tflite \(it ended without a word\)"),
        (
            """echo '{"failed": "load", "reason": "RuntimeError: version 9"}'; exit 1""",
            r"does not work with this Cutis \(RuntimeError: version 9\)",
        ),
        (
            """echo '{"failed": "convert", "reason": "ModuleNotFoundError: no x"}'; exit 1""",
            r"does not work with this Cutis \(ModuleNotFoundError: no x\)",
        ),
        (
            """echo '{"photos": 2}'
            echo '{"failed": "quantise", "reason": "ValueError: y"}'; exit 1""",
            r"cannot be written as tflite \(ValueError: y\)",
        ),
    ],
)
def test_a_conversion_that_fails_says_why(
    script: str,
    message: str,
    nowhere: Path,
    pixels: NDArray[np.uint8],
) -> None:
    an_environment(nowhere / ".venv-litert", script)
    with pytest.raises(InputError, match=message):
        write_tflite(nn.Flatten(), pixels, SETTINGS, nowhere / "model.tflite")
    assert not (nowhere / "model.tflite").exists()


def test_a_conversion_that_hangs_is_ended(nowhere: Path, pixels: NDArray[np.uint8]) -> None:
    an_environment(nowhere / ".venv-litert", "exec sleep 60")
    with pytest.raises(InputError, match=r"took longer than 0\.2 seconds"):
        write_tflite(nn.Flatten(), pixels, SETTINGS, nowhere / "m.tflite", time_limit=0.2)


def test_a_network_that_torch_cannot_export_is_refused(
    nowhere: Path, pixels: NDArray[np.uint8]
) -> None:
    an_environment(nowhere / ".venv-litert", "exit 1")
    with pytest.raises(InputError, match=r"as tflite \(torch\.export: .+\)"):
        write_tflite(_Guessing(), pixels, SETTINGS, nowhere / "model.tflite")


def test_without_calibration_photos_nothing_is_converted(
    nowhere: Path, pixels: NDArray[np.uint8]
) -> None:
    an_environment(nowhere / ".venv-litert", "exit 1")
    with pytest.raises(InputError, match="there are no calibration photos"):
        write_tflite(nn.Flatten(), pixels[:0], SETTINGS, nowhere / "model.tflite")


def rounded(module: nn.Module) -> None:
    """Rounds weights to int8 with a scale per channel, in place."""
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                weight = layer.weight.flatten(1)
                scale = weight.abs().amax(dim=1, keepdim=True) / 127
                layer.weight.copy_(((weight / scale).round() * scale).view_as(layer.weight))


def test_corrected_biases_keep_the_mean_of_the_answers(pixels: NDArray[np.uint8]) -> None:
    planes = torch.from_numpy(normalise(pixels, SETTINGS))
    module = small_classifier("cbam")
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):  # few large weights make the others round badly
                layer.weight.flatten(1)[:, 0] *= 20
        wanted = module(planes)
        plain, corrected = small_classifier("cbam"), correct_biases(module, planes)
        plain.load_state_dict(module.state_dict())
        exact = [p for p in corrected.parameters() if p.ndim > 1]
        assert all(torch.equal(a, b) for a, b in zip(
            exact, [p for p in module.parameters() if p.ndim > 1], strict=True))  # fmt: skip
        rounded(plain)
        rounded(corrected)
        shift, left = ((m(planes) - wanted).mean(dim=0).abs().max() for m in (plain, corrected))
    assert left < 0.1 * shift
    assert not torch.equal(wanted, corrected(planes))


def test_the_module_itself_is_left_as_it_was(pixels: NDArray[np.uint8]) -> None:
    module = small_classifier("cbam")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    correct_biases(module, torch.from_numpy(normalise(pixels, SETTINGS)))
    assert before.keys() == module.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
