"""Every engine computes the same of a network, in threads, and says what it cannot run."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cutis.errors import InputError
from cutis.runtime import engines
from cutis.runtime.engines import ENGINES, Engine, installed_engines, open_engine, runs

from .conftest import WEIGHTS, darkness_network, linear_network

ONNX_ENGINES = [name for name in ENGINES if runs(name, "fp32")]


def classifier(*, features: bool = True) -> bytes:
    model = linear_network(WEIGHTS["fp32"])
    if features:
        described = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3])
        model.graph.output.append(described)
    return bytes(model.SerializeToString())


def convolutions() -> bytes:
    """Two convolutions of 32 channels: enough multiplications for bfloat16 to be seen."""
    rng = np.random.default_rng(0)
    floats = TensorProto.FLOAT
    first = rng.standard_normal((32, 3, 3, 3), np.float32)
    second = rng.standard_normal((4, 32, 3, 3), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pixels", "first"], ["between"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["between", "second"], ["maps"], pads=[1, 1, 1, 1]),
            helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["logits"]),
        ],
        "convolutions",
        [helper.make_tensor_value_info("pixels", floats, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", floats, ["batch", 4])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    return _serialized(graph)


def unknown_operator() -> bytes:
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Levitate", ["pixels"], ["logits"])],
        "unknown",
        [helper.make_tensor_value_info("pixels", floats, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", floats, ["batch", 3, 8, 8])],
    )
    return _serialized(graph)


def _serialized(graph: onnx.GraphProto) -> bytes:
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    return bytes(model.SerializeToString())


def planes(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, 3, side, side), np.float32)


@pytest.fixture(params=ONNX_ENGINES)
def opened(request: pytest.FixtureRequest) -> Callable[..., Engine]:
    """`open_engine` of each engine that runs ONNX."""
    name = request.param
    if name not in installed_engines():
        pytest.skip(f"{name} is not installed")
    return lambda data, threads=1: open_engine(name, data, threads)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_logits_and_features_are_the_networks(opened: Callable[..., Engine], count: int) -> None:
    found = opened(classifier()).run(planes(count))
    pooled = planes(count).mean(axis=(2, 3))
    assert found.features is not None
    assert found.logits.dtype == found.features.dtype == np.float32
    np.testing.assert_allclose(found.features, pooled, atol=1e-6)
    np.testing.assert_allclose(found.logits, pooled @ WEIGHTS["fp32"], atol=1e-5)


def test_a_file_with_one_output_has_no_features(opened: Callable[..., Engine]) -> None:
    assert opened(classifier(features=False)).run(planes(2)).features is None
    masks = opened(darkness_network().SerializeToString()).run(planes(2))
    assert masks.features is None
    assert masks.logits.shape == (2, 1, 16, 16)


def test_threads_do_not_disturb_each_other(opened: Callable[..., Engine]) -> None:
    engine = opened(convolutions(), 2)
    counts = [1 + number % 5 for number in range(60)]
    alone = {count: opened(convolutions()).run(planes(count)).logits for count in set(counts)}
    with ThreadPoolExecutor(4) as pool:  # more than the engine was opened for
        found = list(pool.map(lambda count: engine.run(planes(count)).logits, counts))
    for count, logits in zip(counts, found, strict=True):
        assert (logits == alone[count]).all()


def test_an_answer_outlives_the_next_one(opened: Callable[..., Engine]) -> None:
    engine = opened(classifier())
    first = engine.run(planes(3))
    kept = first.logits.copy()
    engine.run(planes(3) + 1)
    assert (first.logits == kept).all()
    first.logits[:] = 0  # the caller's own


def test_openvino_computes_in_float32() -> None:
    """In bfloat16 these logits differ by some tenths."""
    pytest.importorskip("openvino")
    expected = open_engine("onnxruntime", convolutions(), 1).run(planes(5)).logits
    found = open_engine("openvino", convolutions(), 1).run(planes(5)).logits
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_operator_that_the_engine_lacks(opened: Callable[..., Engine]) -> None:
    with pytest.raises(InputError, match=r"cannot run this network \(.*Levitate") as caught:
        opened(unknown_operator())
    assert "update" in (caught.value.fix or "")
    assert len(str(caught.value)) < 500


def test_what_is_no_network(opened: Callable[..., Engine]) -> None:
    with pytest.raises(InputError, match="cannot run this network"):
        opened(b"no network at all")


def test_a_misspelt_engine_gets_the_right_spelling() -> None:
    with pytest.raises(InputError, match="there is no engine 'openvin'") as caught:
        open_engine("openvin", b"", 1)
    assert caught.value.fix == "did you mean 'openvino'?"


@pytest.mark.parametrize("name", ["openvino", "litert"])
def test_a_missing_engine_names_its_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda library: None)
    assert installed_engines() == ()
    with pytest.raises(InputError, match="is not installed") as caught:
        open_engine(name, b"", 1)
    assert f"pip install 'cutis[{name}]'" in str(caught.value)


def test_a_broken_installation_is_no_riddle(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes, threads: int) -> Engine:
        raise ImportError("libopenvino.so: cannot open shared object file")

    monkeypatch.setitem(ENGINES, "openvino", broken)
    monkeypatch.setattr(engines, "find_spec", lambda library: library)
    with pytest.raises(InputError, match="openvino is installed and cannot be loaded") as caught:
        open_engine("openvino", classifier(), 1)
    assert "install openvino again" in str(caught.value)


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_tflite_needs_litert(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda library: library)
    with pytest.raises(InputError, match=f"{name} does not run tflite networks") as caught:
        open_engine(name, b"\x1c\0\0\0TFL3", 1)
    assert caught.value.expected == "litert"
    with pytest.raises(InputError, match="litert does not run ONNX networks"):
        open_engine("litert", classifier(), 1)


_CODE = """
import sys
from pathlib import Path

started = {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"}

def forbidden(event, arguments):
    if event.startswith("socket.") or event in started:
        print(event, arguments, file=sys.stderr)

import numpy as np  # asks the system for its name

sys.addaudithook(forbidden)
sys.modules["torch"] = None  # any import of torch now fails
from cutis.runtime.engines import open_engine

engine, path = sys.argv[1:]
opened = open_engine(engine, Path(path).read_bytes(), 2)
opened.run(np.zeros((1, 3, 8, 8), np.float32))
print(*sorted({name.partition(".")[0] for name, found in sys.modules.items() if found}))
"""


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_an_engine_loads_nothing_else_and_reports_to_nobody(name: str, tmp_path: Path) -> None:
    if name not in installed_engines():
        pytest.skip(f"{name} is not installed")
    path = tmp_path / "model.onnx"
    path.write_bytes(classifier())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _CODE, name, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    loaded = set(done.stdout.split())
    assert name in loaded
    assert not loaded & ({*ENGINES, "ai_edge_litert", "openvino_telemetry", "torch"} - {name})
