"""How far the exported networks are from the ones that were evaluated, on the same photos."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from cutis.errors import CheckFailedError
from cutis.metrics import softmax
from cutis.metrics.segmentation import PixelCounts, overlap_scores
from cutis.preprocessing import normalise
from cutis.records import FORMAT_VERSION, ModelInfo, Preprocessing, Record, SegmenterInfo
from cutis.runtime.network import Network

LOGIT_LIMIT = 1e-3
"""Largest difference of an fp32 logit; more means that the export is another network."""

MASK_SHARE = 0.01
"""Share of pixels whose logit may be beyond LOGIT_LIMIT in a segmenter: where two values are equal
but for rounding, E-Net's max-unpooling puts the larger one elsewhere, and its neighbours change."""
MASK_JACCARD = 0.999
"""Least mean Jaccard of a segmenter's masks."""

LEAST_AGREEMENT = 0.97
LARGEST_MEAN_DIFFERENCE = 0.01
"""An int8 network beyond these is in the bundle, but runs only for those who ask for it."""

_BATCH = 8  # a segmenter's activations are as large as the photo


class Fp32Parity(Record):
    """model.onnx against the run."""

    largest_logit_difference: float
    limit: float


class Int8Parity(Record):
    """model-int8.onnx against the run."""

    agreement: float  # share of photos with the same first answer
    mean_probability_difference: float  # absolute, over photos and diagnoses
    largest_probability_difference: float


class MaskParity(Record):
    """segmenter.onnx against the run, at the segmenter's size."""

    largest_logit_difference: float
    limit: float
    beyond_limit: float  # share of pixels whose logit differs by more
    mean_jaccard: float  # of both masks, by photo
    smallest_jaccard: float


class ModelParity(Record):
    """The classifier's files against its run."""

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


class SegmenterParity(Record):
    """The segmenter's file against its run."""

    photos: int
    fp32: MaskParity


class Parity(Record):
    """`parity.json`, with a part for each that the bundle holds."""

    format_version: int = FORMAT_VERSION
    model: ModelParity | None = None
    segmenter: SegmenterParity | None = None


def reference_logits(
    module: nn.Module, pixels: NDArray[np.uint8], settings: Preprocessing
) -> NDArray[np.float32]:
    """What the module itself answers to (photos, size, size, 3 or 4): `Network.logits`' shapes."""
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
        raise _differs(f"by {difference:.2g} in a logit", f"at most {LOGIT_LIMIT:g} on every photo")
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


def check_masks(
    reference: NDArray[np.float32], fp32: Path, pixels: NDArray[np.uint8], info: SegmenterInfo
) -> MaskParity:
    """Compares a segmenter's fp32 file with the reference on the same photos.

    Raises CheckFailedError when more than MASK_SHARE of the pixels have a logit that differs by
    more than LOGIT_LIMIT or is not a number, or when the masks agree less than MASK_JACCARD.
    """
    logits = Network(fp32.read_bytes(), info.preprocessing).logits(pixels)
    gap = np.abs(logits - reference)
    beyond = 1 - float((gap <= LOGIT_LIMIT).mean())
    ours, theirs = (expit(values) >= info.threshold for values in (logits, reference))
    parts = (ours & theirs, ours & ~theirs, ~ours & theirs, ~ours & ~theirs)
    counts = PixelCounts(*(part.sum(axis=(1, 2, 3)).astype(np.float64) for part in parts))
    jaccard = overlap_scores(counts)["jaccard"]
    if not (beyond <= MASK_SHARE and jaccard.mean() >= MASK_JACCARD):
        raise _differs(
            f"on {beyond:.1%} of the pixels, and the masks have a mean Jaccard of "
            f"{jaccard.mean():.4f}",
            f"logits within {LOGIT_LIMIT:g} on all but {MASK_SHARE:.0%} of the pixels, and a mean "
            f"Jaccard of at least {MASK_JACCARD:g}",
        )
    return MaskParity(
        largest_logit_difference=float(gap.max()),
        limit=LOGIT_LIMIT,
        beyond_limit=beyond,
        mean_jaccard=float(jaccard.mean()),
        smallest_jaccard=float(jaccard.min()),
    )


def _differs(how: str, expected: str) -> CheckFailedError:
    return CheckFailedError(
        f"the exported network differs from the run {how}",
        expected=f"{expected}; nothing was written",
        fix="check the run's weights for values that are not numbers; else report this as a "
        "fault of Cutis, with the architecture and the versions of torch and onnxruntime",
    )
