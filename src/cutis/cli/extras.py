"""Clear words where an optional library is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from cutis.errors import MissingDependencyError

_OF_TRAINING = {"torch", "safetensors", "tomlkit", "onnx", "onnxscript"}


@contextmanager
def needs_training() -> Iterator[None]:
    """Around imports that the base install cannot satisfy."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name in _OF_TRAINING:
            raise MissingDependencyError(error.name, "train") from error
        raise
