"""A network answers the same on any number of threads and refuses what it cannot take."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from cutis.errors import InputError
from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.runtime.engines import installed_engines, runs
from cutis.runtime.network import RUN_BATCH, Network, available_cores

from .conftest import WEIGHTS, linear_network

SETTINGS = Preprocessing(size=16)
ENGINES = [name for name in installed_engines() if runs(name, "fp32")]


def data(*, features: bool = True) -> bytes:
    model = linear_network(WEIGHTS["fp32"])
    if features:
        described = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3])
        model.graph.output.append(described)
    return bytes(model.SerializeToString())


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, RUN_BATCH, 2 * RUN_BATCH + 1])
def test_outputs_are_in_the_order_of_the_photos(engine: str, threads: int, count: int) -> None:
    network = Network(data(), SETTINGS, engine=engine, threads=threads)
    found = network.outputs(pixels(count))
    pooled = normalise(pixels(count), SETTINGS).mean(axis=(2, 3))
    assert found.features is not None
    np.testing.assert_allclose(found.features, pooled, atol=1e-6)
    np.testing.assert_allclose(found.logits, pooled @ WEIGHTS["fp32"], atol=1e-5)
    assert (network.logits(pixels(count)) == found.logits).all()


@pytest.mark.parametrize("count", [1, 2 * RUN_BATCH + 1])
def test_a_file_of_an_older_bundle_has_no_features(count: int) -> None:
    found = Network(data(features=False), SETTINGS, threads=2).outputs(pixels(count))
    assert found.features is None
    assert found.logits.shape == (count, 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_photo_gives_no_row(engine: str) -> None:
    found = Network(data(), SETTINGS, engine=engine).outputs(pixels(0))
    assert (found.logits.shape, np.shape(found.features)) == ((0, 3), (0, 3))


def test_threads_and_engine_are_said() -> None:
    assert Network(data(), SETTINGS).threads == available_cores()
    network = Network(data(), SETTINGS, threads=3)
    assert (network.threads, network.engine, network.preprocessing) == (3, "onnxruntime", SETTINGS)
    with pytest.raises(InputError, match="0 threads cannot work"):
        Network(data(), SETTINGS, threads=0)


def test_it_can_be_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    network = Network(data(), SETTINGS, threads=2)
    monkeypatch.setattr(network, "outputs", lambda given: seen.append(given.shape))
    network.try_out()
    assert seen == [(2 * RUN_BATCH, 16, 16, 3)]
