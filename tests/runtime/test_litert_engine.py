"""The engine over LiteRT, on a tflite file that is built here without any converter."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cutis.errors import InputError
from cutis.records import Preprocessing
from cutis.runtime.engines import open_engine
from cutis.runtime.network import Network

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'cutis[litert]'")

SIZE = 8
WEIGHTS = np.random.default_rng(7).normal(size=(2, SIZE * SIZE * 3)).astype(np.float32)
BIAS = np.array([0.25, -0.5], np.float32)


def linear_network(outputs: Sequence[str] = ("logits", "features")) -> bytes:
    """pixels (1, SIZE, SIZE, 3) -> features (1, 3), the mean colour; logits: WEIGHTS @ all + BIAS.

    Args:
        outputs: names that the file gives to logits and features.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    def tensor(name: str, shape: Sequence[int], buffer: int = 0, whole: bool = False) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.buffer, made.hasRank = name.encode(), list(shape), buffer, True
        made.type = schema.TensorType.INT32 if whole else schema.TensorType.FLOAT32
        return made

    def buffer(values: NDArray[Any] | None = None) -> Any:
        made = schema.BufferT()
        made.data = None if values is None else np.frombuffer(values.tobytes(), np.uint8)
        return made

    def operator(code: int, kind: int, options: Any, inputs: list[int], output: int) -> Any:
        made = schema.OperatorT()
        made.opcodeIndex, made.builtinOptionsType, made.builtinOptions = code, kind, options
        made.inputs, made.outputs = inputs, [output]
        return made

    def code(builtin: int) -> Any:
        made = schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = builtin
        return made

    def named(name: str, place: int) -> Any:
        made = schema.TensorMapT()
        made.name, made.tensorIndex = name.encode(), place
        return made

    kinds, builtin = schema.BuiltinOptions, schema.BuiltinOperator
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("p", (1, SIZE, SIZE, 3)),
        tensor("axes", (2,), 1, whole=True),
        tensor("w", WEIGHTS.shape, 2),
        tensor("b", BIAS.shape, 3),
        tensor("f", (1, 3)),
        tensor("l", (1, 2)),
    ]
    graph.inputs, graph.outputs = [0], [4, 5]
    graph.operators = [
        operator(0, kinds.ReducerOptions, schema.ReducerOptionsT(), [0, 1], 4),
        operator(1, kinds.FullyConnectedOptions, schema.FullyConnectedOptionsT(), [0, 2, 3], 5),
    ]
    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.inputs = [named("pixels", 0)]
    signature.outputs = [named(name, place) for name, place in zip(outputs, (5, 4), strict=False)]
    model = schema.ModelT()
    model.version = 3
    model.operatorCodes = [code(builtin.MEAN), code(builtin.FULLY_CONNECTED)]
    model.subgraphs, model.signatureDefs = [graph], [signature]
    axes = np.array([1, 2], np.int32)
    model.buffers = [buffer(), buffer(axes), buffer(WEIGHTS), buffer(BIAS)]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


@pytest.fixture(scope="module")
def planes() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(7, 3, SIZE, SIZE)).astype(np.float32)


def test_logits_and_features_are_told_apart_by_name(planes: NDArray[np.float32]) -> None:
    found = open_engine("litert", linear_network(), 1).run(planes)
    assert found.features is not None
    np.testing.assert_allclose(found.features, planes.mean(axis=(2, 3)), atol=1e-6)
    photos = planes.transpose(0, 2, 3, 1).reshape(7, -1)
    np.testing.assert_allclose(found.logits, photos @ WEIGHTS.T + BIAS, rtol=1e-4, atol=1e-4)
    assert found.logits.dtype == found.features.dtype == np.float32


def test_a_file_without_features_gives_none(planes: NDArray[np.float32]) -> None:
    found = open_engine("litert", linear_network(("logits",)), 1).run(planes)
    assert found.features is None
    assert found.logits.shape == (7, 2)


def test_no_photos_give_empty_arrays(planes: NDArray[np.float32]) -> None:
    found = open_engine("litert", linear_network(), 1).run(planes[:0])
    assert found.features is not None
    assert (found.logits.shape, found.features.shape) == ((0, 2), (0, 3))


@pytest.fixture
def restless() -> Iterator[None]:
    """Python changes threads at every chance, so that shared state shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_more_callers_than_threads_get_their_own_answers(planes: NDArray[np.float32]) -> None:
    engine = open_engine("litert", linear_network(), 2)
    expected = [engine.run(planes[row : row + 1]).logits for row in range(7)]
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(lambda i: engine.run(planes[i % 7 : i % 7 + 1]).logits, range(700)))
    for number, logits in enumerate(found):
        np.testing.assert_array_equal(logits, expected[number % 7])


def test_an_answer_survives_the_next_photo(planes: NDArray[np.float32]) -> None:
    engine = open_engine("litert", linear_network(), 1)
    first = engine.run(planes[:2])
    before = first.logits.copy()
    engine.run(planes[2:])
    np.testing.assert_array_equal(first.logits, before)


def test_a_network_gives_the_same_on_any_number_of_threads() -> None:
    settings = Preprocessing(size=SIZE)
    pixels = np.random.default_rng(1).integers(0, 256, (23, SIZE, SIZE, 3)).astype(np.uint8)
    one, three = (
        Network(linear_network(), settings, engine="litert", threads=threads).outputs(pixels)
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one.logits, three.logits)
    assert len(np.unique(one.logits[:, 0])) > 20


@pytest.mark.parametrize("kept", [20, 400, -8])
def test_a_damaged_file_is_refused(kept: int) -> None:
    with pytest.raises(InputError, match=r"LiteRT cannot run this network \(.+\)"):
        open_engine("litert", linear_network()[:kept], 1)


def test_a_file_without_logits_is_refused() -> None:
    with pytest.raises(InputError, match=r"LiteRT cannot run this network \('logits'\)"):
        open_engine("litert", linear_network(("scores", "features")), 1)


def test_nothing_is_written_to_standard_error(tmp_path: Path) -> None:
    file = tmp_path / "network.tflite"
    file.write_bytes(linear_network())
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from cutis.runtime.engines import open_engine\n"
        "engine = open_engine('litert', Path(sys.argv[1]).read_bytes(), 2)\n"
        f"engine.run(np.zeros((1, 3, {SIZE}, {SIZE}), np.float32))\n"
        "print('after', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(file)],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert done.stderr == "after\n"
