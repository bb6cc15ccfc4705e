"""How far the exported networks are from the one that was evaluated, on the same photos."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cutis.errors import CheckFailedError
from cutis.metrics import softmax
from cutis.preprocessing import normalise
from cutis.records import FORMAT_VERSION, ModelInfo, Preprocessing, Record
from cutis.runtime.network import Network

LOGIT_LIMIT = 1e-3
"""Largest difference of an fp32 logit; more means that the export is another network."""

LEAST_AGREEMENT = 0.97
LARGEST_MEAN_DIFFERENCE = 0.01
"""An int8 network beyond these is in the bundle, but runs only for those who ask for it."""

_BATCH = 32


class Fp32Parity(Record):
    """model.onnx against the run."""

    largest_logit_difference: float
    limit: float


class Int8Parity(Record):
    """model-int8.onnx against the run."""

    agreement: float  # share of photos with the same first answer
    mean_probability_difference: float  # absolute, over photos and diagnoses
    largest_probability_difference: float


class Parity(Record):
    """`parity.json`."""

    format_version: int = FORMAT_VERSION
    photos: int
    fp32: Fp32Parity
    int8: Int8Parity

    @property
    def default_model(self) -> str:
        """The fastest network that answers as the run does."""
        close = (
            self.int8.agreement >= LEAST_AGREEMENT
            and self.int8.mean_probability_difference <= LARGEST_MEAN_DIFFERENCE
        )
        return "int8" if close else "fp32"


def reference_logits(
    module: nn.Module, pixels: NDArray[np.uint8], settings: Preprocessing
) -> NDArray[np.float32]:
    """What the module itself answers: (photos, size, size, 3) to (photos, diagnoses)."""
    batches = (pixels[i : i + _BATCH] for i in range(0, len(pixels), _BATCH))
    with torch.inference_mode():
        logits = [module(torch.from_numpy(normalise(batch, settings))) for batch in batches]
    return torch.cat(logits).float().numpy()


def check_fp32(
    reference: NDArray[np.float32], fp32: Path, pixels: NDArray[np.uint8], settings: Preprocessing
) -> Fp32Parity:
    """Compares the fp32 file with the reference on the same photos.

    Raises CheckFailedError when a logit differs by more than LOGIT_LIMIT or is not a number.
    """
    logits = Network(fp32.read_bytes(), settings).logits(pixels)
    difference = float(np.abs(logits - reference).max())
    if not difference <= LOGIT_LIMIT:
        raise CheckFailedError(
            f"the exported network differs from the run by {difference:.2g} in a logit",
            expected=f"at most {LOGIT_LIMIT:g} on every photo; nothing was written",
            fix="check the run's weights for values that are not numbers; else report this as a "
            "fault of Cutis, with the architecture and the versions of torch and onnxruntime",
        )
    return Fp32Parity(largest_logit_difference=difference, limit=LOGIT_LIMIT)


def compare_int8(
    reference: NDArray[np.float32], int8: Path, pixels: NDArray[np.uint8], info: ModelInfo
) -> Int8Parity:
    """Compares the int8 file's answers with the reference's on the same photos."""
    logits = Network(int8.read_bytes(), info.preprocessing).logits(pixels)
    first, second = (
        softmax(values.astype(np.float64), info.temperature) for values in (logits, reference)
    )
    gap = np.abs(first - second)
    return Int8Parity(
        agreement=float((logits.argmax(axis=1) == reference.argmax(axis=1)).mean()),
        mean_probability_difference=float(gap.mean()),
        largest_probability_difference=float(gap.max()),
    )
