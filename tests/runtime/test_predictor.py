"""The predictor answers what its network computes, on any number of threads."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from cutis import preprocessing
from cutis.errors import InputError
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.records import Preprocessing
from cutis.runtime import Predictor
from cutis.runtime import predictor as predictor_module
from cutis.runtime.bundle import FEATURES_FILE, MODEL_FILES, read_info, write_info
from cutis.runtime.engines import ENGINES, Outputs
from cutis.runtime.fastest import CACHE_FILE
from cutis.runtime.network import Network
from cutis.storage import sha256_file

from .conftest import WEIGHTS, with_disk


def some_pixels(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def expected_logits(pixels: NDArray[np.uint8], model: str) -> NDArray[np.float64]:
    settings = Preprocessing()
    normalised = (pixels / 255 - np.array(settings.mean)) / np.array(settings.std)
    logits: NDArray[np.float64] = normalised.mean(axis=(1, 2)) @ WEIGHTS[model]
    return logits


@pytest.mark.parametrize("count", [1, 4, 5, 11])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("model", ["fp32", "int8"])
def test_logits_are_the_networks(bundle: Path, model: str, threads: int, count: int) -> None:
    pixels = some_pixels(count)
    logits = Predictor.load(bundle, model=model, threads=threads).logits(pixels)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected_logits(pixels, model), atol=1e-5)


def test_no_photo_gives_no_row(bundle: Path) -> None:
    assert Predictor.load(bundle).logits(some_pixels(0)).shape == (0, 3)


def test_the_default_is_the_bundles(bundle: Path) -> None:
    assert Predictor.load(bundle).model == "int8"


def test_a_model_that_the_bundle_lacks_is_refused(
    bundle: Path, record: Callable[[Path], None]
) -> None:
    (bundle / "model-int8.onnx").unlink()
    record(bundle)
    assert Predictor.load(bundle, model="fp32").model == "fp32"
    with pytest.raises(InputError, match="holds no model 'int8'") as caught:
        Predictor.load(bundle, model="int8")
    assert caught.value.expected == "fp32"


def test_a_misspelt_model_gets_the_right_spelling(bundle: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'fp32'"):
        Predictor.load(bundle, model="FP_32")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is remembered beyond a test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cutis"


def rewrite(bundle: Path, **changes: object) -> None:
    write_info(bundle, read_info(bundle).model_copy(update=changes))


def add_tflite(bundle: Path) -> None:
    """A file of that kind, good enough for a choice."""
    (bundle / MODEL_FILES["tflite"]).write_bytes(b"\x1c\0\0\0TFL3")
    info = read_info(bundle)
    digest = sha256_file(bundle / MODEL_FILES["tflite"])
    rewrite(bundle, files={**info.files, MODEL_FILES["tflite"]: digest})


class Fake:
    """Stands in for an engine that may not be installed, and answers with a number of its own."""

    def __init__(self, number: float) -> None:
        self.number = number

    def run(self, planes: NDArray[np.float32]) -> Outputs:
        return Outputs(np.full((len(planes), 3), self.number, np.float32), None)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """All engines are there: openvino answers 1, litert 2, ONNX Runtime as it does."""
    monkeypatch.setattr("cutis.runtime.engines.find_spec", lambda library: library)
    for name, number in (("openvino", 1.0), ("litert", 2.0)):
        monkeypatch.setitem(ENGINES, name, lambda data, threads, number=number: Fake(number))


def test_the_engine_runs_the_network(bundle: Path) -> None:
    pytest.importorskip("openvino")
    predictor = Predictor.load(bundle, engine="openvino", threads=2)
    assert (predictor.engine, predictor.model) == ("openvino", "int8")
    pixels = some_pixels(9)
    np.testing.assert_allclose(predictor.logits(pixels), expected_logits(pixels, "int8"), atol=1e-5)


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize(
    ("asked", "passed", "network"),
    [
        ("openvino", (), "int8"),
        ("openvino", ("int8/onnxruntime", "fp32/openvino"), "fp32"),
        ("litert", (), "tflite"),
        ("onnxruntime", (), "int8"),
    ],
)
def test_an_engine_takes_the_network_that_it_can_run(
    bundle: Path, asked: str, passed: tuple[str, ...], network: str
) -> None:
    add_tflite(bundle)
    rewrite(bundle, passed=passed)
    predictor = Predictor.load(bundle, engine=asked)
    assert (predictor.model, predictor.engine) == (network, asked)


@pytest.mark.usefixtures("engines")
def test_an_engine_that_cannot_run_the_network(bundle: Path) -> None:
    with pytest.raises(InputError, match="holds no network that litert runs") as caught:
        Predictor.load(bundle, engine="litert")
    assert caught.value.expected == "model-int8.tflite"
    add_tflite(bundle)
    for model, engine, expected in (
        ("tflite", "onnxruntime", "litert"),
        ("fp32", "litert", "onnxruntime or openvino"),
    ):
        with pytest.raises(InputError, match=f"{engine} does not run the network") as caught:
            Predictor.load(bundle, model=model, engine=engine)
        assert caught.value.expected == expected


def test_an_unknown_engine_is_refused(bundle: Path) -> None:
    with pytest.raises(InputError, match="no engine 'onnx-runtime'") as caught:
        Predictor.load(bundle, engine="onnx-runtime")
    assert caught.value.fix == "did you mean 'onnxruntime'?"


@pytest.mark.usefixtures("engines")
def test_auto_takes_the_fastest_that_passed(bundle: Path, cache: Path) -> None:
    add_tflite(bundle)
    passed = ("int8/onnxruntime", "fp32/openvino")  # tflite/litert did not
    rewrite(bundle, passed=passed)
    predictor = Predictor.load(bundle, engine="auto")
    assert f"{predictor.model}/{predictor.engine}" in passed
    (choice,) = json.loads((cache / CACHE_FILE).read_text()).values()
    assert choice == f"{predictor.model}/{predictor.engine}"
    assert Predictor.load(bundle, model="int8", engine="auto").engine == "onnxruntime"
    assert Predictor.load(bundle, model="tflite", engine="auto").engine == "litert"


@pytest.mark.usefixtures("engines")
def test_auto_measures_the_segmenter_too(
    lesion_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(lesion_bundle, passed=("int8/onnxruntime", "int8/openvino"))
    tried = []
    monkeypatch.setattr(Network, "try_out", lambda self: tried.append((self.engine, self)))
    Predictor.load(lesion_bundle, engine="auto")
    assert len({network for _, network in tried}) == 4
    assert {engine for engine, _ in tried} == {"onnxruntime", "openvino"}


@pytest.mark.parametrize("passed", [(), ("int8/openvino",)])
def test_auto_without_a_choice_is_the_default(
    bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, passed: tuple[str, ...]
) -> None:
    monkeypatch.setattr(predictor_module, "installed_engines", lambda: ("onnxruntime",))
    rewrite(bundle, passed=passed)
    predictor = Predictor.load(bundle, engine="auto")
    assert (predictor.model, predictor.engine) == ("int8", "onnxruntime")
    assert not cache.exists()


@pytest.mark.usefixtures("engines")
def test_auto_refuses_a_changed_file(bundle: Path) -> None:
    rewrite(bundle, passed=("int8/onnxruntime", "fp32/openvino"))
    (bundle / MODEL_FILES["fp32"]).write_bytes(b"")
    with pytest.raises(InputError, match=r"model\.onnx of the bundle was changed"):
        Predictor.load(bundle, engine="auto")


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize(
    ("engine", "of_segmenter"),
    [("openvino", "openvino"), ("litert", "onnxruntime"), ("onnxruntime", "onnxruntime")],
)
def test_the_segmenter_runs_on_the_same_engine_where_it_can(
    lesion_bundle: Path, engine: str, of_segmenter: str
) -> None:
    add_tflite(lesion_bundle)
    predictor = Predictor.load(lesion_bundle, engine=engine)
    assert predictor.segmenter is not None
    assert (predictor.engine, predictor.segmenter.network.engine) == (engine, of_segmenter)


def test_a_photo_of_a_lesion_model_is_decoded_once_a_scale(
    lesion_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(with_disk(60, 80)).save(photo)
    decoded = []
    upright = preprocessing._upright_rgb
    monkeypatch.setattr(
        preprocessing, "_upright_rgb", lambda image: decoded.append(1) or upright(image)
    )
    predictor = Predictor.load(lesion_bundle)
    predictor.read(photo)
    assert len(decoded) == 1
    assert predictor.segmenter is not None
    predictor.segmenter.segment(photo)
    assert len(decoded) == 2


def test_the_policy_is_the_networks_and_the_space_the_bundles(bundle: Path) -> None:
    plain = Predictor.load(bundle)
    assert (plain.policy, plain.space) == (None, None)
    policy = AnswerPolicy(set_thresholds=(0.1, 0.2, 0.3), pooled=(False,) * 3)
    np.savez(
        bundle / FEATURES_FILE,
        means=np.zeros((1, 3), np.float32),
        directions=np.zeros((3, 0), np.float32),
        variances=np.zeros(0, np.float32),
        rest=2.0,
    )
    files = {**read_info(bundle).files, FEATURES_FILE: sha256_file(bundle / FEATURES_FILE)}
    rewrite(bundle, policies={"int8": policy}, files=files)
    predictor = Predictor.load(bundle)
    assert predictor.policy == policy
    assert Predictor.load(bundle, model="fp32").policy is None
    assert predictor.space is not None
    np.testing.assert_allclose(predictor.space.distance(np.array([[2.0, 0, 0]])), [2.0])


def test_the_model_in_the_box_is_taken_unless_one_is_named(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "box_bundle", lambda: bundle)
    assert Predictor.load().info == read_info(bundle)


def test_no_thread_is_refused(bundle: Path) -> None:
    with pytest.raises(InputError, match="0 threads"):
        Predictor.load(bundle, threads=0)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 3, 32, 32), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((1, 24, 24, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
    ],
)
def test_pixels_of_another_kind_are_refused(bundle: Path, pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="pixels are uint8 of shape"):
        Predictor.load(bundle).logits(pixels)


def test_probabilities_are_the_softmax_at_the_temperature(bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    logits = np.array([[1, 2, 3], [1000, 0, -1000]], np.float32)
    probabilities = predictor.probabilities(logits)
    np.testing.assert_allclose(probabilities, softmax(logits / 2.0, axis=1), atol=1e-6)
    assert probabilities.dtype == np.float32
