"""Static post-training quantisation to int8.

Weights are signed and symmetric with a scale per channel (Jacob et al. 2018, arXiv:1712.05877;
per channel because depthwise convolutions lose too much with one scale, Krishnamoorthi 2018,
arXiv:1806.08342, section 3.1). Activations are unsigned, which ONNX Runtime runs twice as fast
on x86 as signed ones. Rounded weights shift the mean of what a layer gives; the layer's bias takes
the shift back (Nagel et al. 2019, arXiv:1906.04721, section 4.2). docs/quantisation.md has the
figures behind every choice.
"""

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from tqdm import tqdm

from cutis.errors import CutisError, InputError, nearest
from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.runtime.network import INPUT, OUTPUT, Network
from cutis.storage import write_file

_CALIBRATIONS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
METHODS = tuple(_CALIBRATIONS)
"""How the range of an activation is found; see `write_int8`."""

_BATCH = 8
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
_ERRORS_ONLY = 3

Feed = dict[str, NDArray[np.float32]]


class _Photos(CalibrationDataReader):  # type: ignore[misc]  # the base class is untyped
    """Feeds uint8 photos to the calibration, a batch at a time.

    ONNX Runtime asks for the number of batches and for ranges of them when it counts histograms.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], settings: Preprocessing, batch: int, bar: "tqdm[Any]"
    ) -> None:
        self._pixels, self._settings, self._batch, self._bar = pixels, settings, batch, bar
        self.set_range(0, len(self))

    def __len__(self) -> int:
        return -(-len(self._pixels) // self._batch)

    def set_range(self, start_index: int, end_index: int) -> None:
        chosen = self._pixels[start_index * self._batch : end_index * self._batch]
        self._feeds = _feeds(chosen, self._settings, self._batch, self._bar)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def write_int8(
    fp32: Path,
    pixels: NDArray[np.uint8],
    settings: Preprocessing,
    path: Path,
    *,
    method: str = "minmax",
) -> None:
    """Writes the int8 form (QDQ) of an fp32 ONNX file, BatchNorm folded into the convolutions.

    The answer layer and what stands behind it stay in float: they cost next to nothing, and eight
    bits for the whole range of the logits are coarse steps.

    Args:
        fp32: a classifier's file, with or without features beside the logits, or a segmenter's.
        pixels: (photos, size, size, 3 or 4), the calibration photos in random order.
        method: a name of METHODS. An activation's range is: "minmax", the mean over batches of
            eight of the smallest and the largest value, since the range of all photos together
            follows the oddest one; "percentile", all but 0.001 % of the values; "entropy", the
            range that changes the histogram least. Memory does not grow with the photos.

    Raises InputError without photos, for an unknown method, and for a network that cannot be
    quantised or has no layer for it.
    """
    if method not in METHODS:
        raise InputError(
            f"there is no calibration method '{method}'",
            expected=f"one of {', '.join(METHODS)}",
            fix=nearest(method, METHODS) or "choose one of these",
        )
    if len(pixels) == 0:
        raise InputError(
            "there are no calibration photos: int8 ranges are measured on photos",
            expected="at least one, better some hundreds, of the training part",
            fix="give the catalog that the run was trained on",
        )
    with (
        TemporaryDirectory() as folder,
        tqdm(total=2 * len(pixels), desc=f"int8, {method}", unit="photo", disable=None) as bar,
    ):
        folded, int8 = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        Network(fp32.read_bytes(), settings)  # what cannot run is named before work begins
        with _named_failure(fp32):
            # ONNX's own shape inference suffices; onnxruntime's fails on CBAM's maxima
            quant_pre_process(fp32, folded, skip_symbolic_shape=True)
            model = onnx.load(folded)
            kept = _answer_nodes(model.graph)
            _correct_biases(model, kept, pixels, settings, bar)
            onnx.save(model, folded)
            _quantize(folded, int8, kept, pixels, settings, method, bar)
        write_file(path, int8.read_bytes())


def _quantize(
    folded: Path,
    int8: Path,
    kept: list[str],
    pixels: NDArray[np.uint8],
    settings: Preprocessing,
    method: str,
    bar: "tqdm[Any]",
) -> None:
    counted = method != "minmax"
    photos = _Photos(pixels, settings, _BATCH, bar)
    options = {"CalibStridedMinMax": 1} if counted else {"CalibMovingAverage": True}
    with contextlib.redirect_stdout(io.StringIO()):  # the histograms' calibrators print
        quantize_static(
            folded,
            int8,
            photos,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            calibrate_method=_CALIBRATIONS[method],
            extra_options={"WeightSymmetric": True, "ActivationSymmetric": False} | options,
        )


@contextlib.contextmanager
def _named_failure(fp32: Path) -> Iterator[None]:
    """ONNX Runtime's errors have no common base of their own; here they get a name and a place."""
    try:
        yield
    except (CutisError, OSError):
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the network cannot be quantised to int8 ({reason})",
            where=fp32,
            expected="an ONNX file with operators that ONNX Runtime can quantise",
            fix="export without int8, or choose another architecture",
        ) from error


def _answer_nodes(graph: onnx.GraphProto) -> list[str]:
    """Names of the answer layer and of what stands between it and the logits."""
    producers = {output: node for node in graph.node for output in node.output}
    waiting, found = [OUTPUT], []
    while waiting:
        node = producers.pop(waiting.pop(), None)
        if node is not None:
            found.append(node.name)
            waiting += node.input if node.op_type not in _WEIGHTED else []
    return found


def _correct_biases(
    model: onnx.ModelProto,
    kept: list[str],
    pixels: NDArray[np.uint8],
    settings: Preprocessing,
    bar: "tqdm[Any]",
) -> None:
    """Adds to the biases what the layers lose on average when their weights are rounded."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [
        node
        for node in graph.node
        if node.op_type in _WEIGHTED
        and node.name not in kept
        and all(name in constants for name in node.input[1:])
    ]
    if not nodes:
        raise InputError(
            "the network has no layer that can be quantised",
            expected="convolutions or dense layers before the answer layer",
            fix="export without int8",
        )
    losses = _mean_losses(model, nodes, constants, pixels, settings, bar)
    for node, lost in zip(nodes, losses, strict=True):
        bias = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else 0
        name = f"{node.output[0]}/bias"
        graph.initializer.append(numpy_helper.from_array((bias + lost).astype(np.float32), name))
        del node.input[2:]
        node.input.append(name)
    used = {name for node in graph.node for name in node.input}
    for name in constants.keys() - used:
        graph.initializer.remove(constants[name])


def _mean_losses(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
    pixels: NDArray[np.uint8],
    settings: Preprocessing,
    bar: "tqdm[Any]",
) -> list[NDArray[np.float64]]:
    """By layer, what its rounded-off weights would add to each channel on average: (channels,).

    Each layer gets a twin with these weights instead of its own, in the fp32 network.
    """
    twins = onnx.ModelProto()
    twins.CopyFrom(model)
    graph = twins.graph
    means = []
    for node in nodes:
        weights = numpy_helper.to_array(constants[node.input[1]])
        lost, mean = f"{node.output[0]}/lost", f"{node.output[0]}/mean"
        rest = weights - rounded_weights(weights, _channel_axis(node))
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        del twin.input[1:], twin.output[:]
        twin.name = lost
        twin.input.append(f"{lost}/weights")
        twin.output.append(lost)
        axes = numpy_helper.from_array(
            np.array([axis for axis in range(weights.ndim) if axis != 1]), f"{lost}/axes"
        )
        graph.initializer.extend([numpy_helper.from_array(rest, twin.input[1]), axes])
        graph.node.extend(
            [twin, helper.make_node("ReduceMean", [lost, axes.name], [mean], keepdims=0)]
        )
        graph.output.append(helper.make_tensor_value_info(mean, TensorProto.FLOAT, [None]))
        means.append(mean)
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    session = ort.InferenceSession(
        twins.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    sums: list[Any] = [0.0] * len(means)
    for feed in _feeds(pixels, settings, _BATCH, bar):
        found = session.run(means, feed)
        sums = [total + len(feed[INPUT]) * mean for total, mean in zip(sums, found, strict=True)]
    return [total / len(pixels) for total in sums]


def rounded_weights(weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Weights as int8 holds them, with a scale for each channel, which lies along `axis`."""
    others = tuple(number for number in range(weights.ndim) if number != axis)
    scale = np.abs(weights).max(axis=others, keepdims=True) / np.float32(127)
    scale[scale == 0] = 1
    rounded: NDArray[np.float32] = np.round(weights / scale) * scale
    return rounded


def _channel_axis(node: onnx.NodeProto) -> int:
    """Where ONNX Runtime gives each place of a weight a scale of its own."""
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return 0 if node.op_type == "Conv" else 1


def _feeds(
    pixels: NDArray[np.uint8], settings: Preprocessing, batch: int, bar: "tqdm[Any]"
) -> Iterator[Feed]:
    for start in range(0, len(pixels), batch):
        part = pixels[start : start + batch]
        yield {INPUT: normalise(part, settings)}
        bar.update(len(part))
