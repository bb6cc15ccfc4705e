"""Clear words where an optional library is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from cutis.errors import MissingDependencyError

_OF_TRAINING = ("torch", "safetensors", "tomlkit", "onnx", "onnxscript", "torch_pruning")
_EXTRAS = dict.fromkeys(_OF_TRAINING, "train") | {"optuna": "search"}


@contextmanager
def needs_training() -> Iterator[None]:
    """Around imports that the base install cannot satisfy."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name in _EXTRAS:
            raise MissingDependencyError(error.name, _EXTRAS[error.name]) from error
        raise
