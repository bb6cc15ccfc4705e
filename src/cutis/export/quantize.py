"""Static post-training quantisation to int8.

Weights are signed and symmetric with a scale per channel (Jacob et al. 2018, arXiv:1712.05877;
per channel because depthwise convolutions lose too much with one scale, Krishnamoorthi 2018,
arXiv:1806.08342, section 3.1). Activations are unsigned, which ONNX Runtime runs twice as fast
on x86 as signed ones.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.runtime.network import INPUT

_BATCH = 8


class _Photos(CalibrationDataReader):  # type: ignore[misc]  # the base class is untyped
    """Feeds uint8 photos to the calibration a few at a time."""

    def __init__(self, pixels: NDArray[np.uint8], settings: Preprocessing) -> None:
        self._feeds = _feeds(pixels, settings)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def _feeds(
    pixels: NDArray[np.uint8], settings: Preprocessing
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for start in range(0, len(pixels), _BATCH):
        yield {INPUT: normalise(pixels[start : start + _BATCH], settings)}


def write_int8(fp32: Path, pixels: NDArray[np.uint8], settings: Preprocessing, path: Path) -> None:
    """Writes the int8 form (QDQ) of an fp32 ONNX file, BatchNorm folded into the convolutions.

    Args:
        pixels: (photos, size, size, 3 or 4), the calibration photos in random order; an
            activation's range is the mean over small batches of the smallest and the largest
            value, since the range of all photos together follows the oddest one.
    """
    with TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        # ONNX's own shape inference suffices; onnxruntime's fails on maxima over channels (CBAM)
        quant_pre_process(fp32, folded, skip_symbolic_shape=True)
        quantize_static(
            folded,
            path,
            _Photos(pixels, settings),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "WeightSymmetric": True,
                "ActivationSymmetric": False,
                "CalibMovingAverage": True,
            },
        )
