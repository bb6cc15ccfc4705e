"""timm, imported so that it also works beside a torchvision that does not fit the torch."""

import importlib
import importlib.util
import logging
from functools import cache
from types import ModuleType

from torch import library as operators

from cutis.errors import MissingDependencyError

EXTRA = "timm"

_SCHEMAS = ("nms", "qnms")
_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def timm_installed() -> bool:
    """Whether timm can be used here."""
    return importlib.util.find_spec("timm") is not None


@cache
def timm_library() -> ModuleType:
    """The module timm; raises MissingDependencyError where it is not installed.

    timm imports torchvision, and a torchvision built for another torch (the usual one beside a
    CPU-only torch) fails at `operator torchvision::nms does not exist`. Only then the two missing
    operators are declared, which is all that its pure Python parts need: no network of timm calls
    them.
    """
    try:
        _import_torchvision()
        # of weights that do not fit, which `load_backbone` refuses in its own words
        logging.getLogger("timm").setLevel(logging.ERROR)
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise MissingDependencyError("timm", EXTRA) from error


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in _SCHEMAS:
            operators.define(f"torchvision::{name}", _BOXES)
        importlib.import_module("torchvision")
