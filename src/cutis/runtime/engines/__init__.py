"""The libraries that run a bundle's networks, each loaded only when it is asked for."""

from collections.abc import Callable
from importlib.util import find_spec

from cutis.errors import InputError, MissingDependencyError, nearest
from cutis.runtime.engines.base import FEATURES, INPUT, OUTPUT, Engine, Outputs

__all__ = [
    "ENGINES",
    "ENGINE_PACKAGES",
    "FEATURES",
    "INPUT",
    "OUTPUT",
    "Engine",
    "Outputs",
    "check_engine",
    "installed_engines",
    "open_engine",
    "runs",
]


def _onnxruntime(data: bytes, threads: int) -> Engine:
    from cutis.runtime.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(data)


def _openvino(data: bytes, threads: int) -> Engine:
    from cutis.runtime.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(data, threads)


def _litert(data: bytes, threads: int) -> Engine:
    from cutis.runtime.engines.litert import LiteRtEngine

    return LiteRtEngine(data, threads)


ENGINES: dict[str, Callable[[bytes, int], Engine]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "litert": _litert,
}
"""What opens a network's bytes for a number of threads, by the engine's name."""

ENGINE_PACKAGES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "ai-edge-litert",
}
"""The package that brings each; onnxruntime comes with Cutis, the others with extras."""


def installed_engines() -> tuple[str, ...]:
    """The engines whose library is there, onnxruntime first; nothing is imported."""
    return tuple(name for name in ENGINES if _is_installed(name))


def _is_installed(name: str) -> bool:
    return find_spec(ENGINE_PACKAGES[name].replace("-", "_")) is not None


def check_engine(name: str) -> None:
    """Raises InputError for a name that is no engine, and for one that is not installed."""
    if name not in ENGINES:
        raise InputError(
            f"there is no engine '{name}'",
            expected=" or ".join(ENGINES),
            fix=nearest(name, ENGINES) or "choose one of these",
        )
    if not _is_installed(name):
        raise MissingDependencyError(ENGINE_PACKAGES[name], name)


def runs(engine: str, model: str) -> bool:
    """Whether an engine reads the file of a network: litert tflite alone, the others ONNX."""
    return (engine == "litert") == (model == "tflite")


def open_engine(name: str, data: bytes, threads: int) -> Engine:
    """Loads a network's bytes for so many threads, each of which works on photos of its own.

    Raises InputError for an engine that is unknown or not installed, and for a network that it
    cannot run.
    """
    check_engine(name)
    tflite = data[4:8] == b"TFL3"
    if tflite != (name == "litert"):
        raise InputError(
            f"{name} does not run {'tflite' if tflite else 'ONNX'} networks",
            expected="litert" if tflite else "onnxruntime or openvino",
            fix="choose the engine for this network, or another network of the bundle",
        )
    try:
        return ENGINES[name](data, threads)
    except ImportError as error:
        raise InputError(
            f"{name} is installed and cannot be loaded ({error})",
            fix=f"install {ENGINE_PACKAGES[name]} again, or choose another engine",
        ) from error
