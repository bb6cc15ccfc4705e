"""Makes a tflite file in LiteRT's own environment; `cutis.export.litert` starts it there.

Nothing of Cutis is imported: this file runs beside other versions of everything. Its folder holds
`program.pt2`, the network as torch.export wrote it, from (1, height, width, channels) to named
outputs, and `photos.npy`, normalised calibration photos (photos, height, width, channels). It
writes `int8.tflite`, and to standard output a line of JSON for every step: {"photos": done} or
{"failed": what was done, "reason": why}.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 8
"""Photos whose smallest and largest activation make one sample of the range."""

Ranges = dict[str, dict[str, NDArray[np.float32]]]  # by tensor: "min" and "max"


def main() -> None:
    """Converts, calibrates and quantises what lies in the folder that the argument names."""
    folder = Path(sys.argv[1])
    say = _channel()
    doing = "load"
    try:
        import torch

        module = torch.export.load(folder / "program.pt2").module()
        photos = np.load(folder / "photos.npy", mmap_mode="r")
        doing = "convert"
        fp32 = _converted(module, photos[:1], folder / "fp32.tflite")
        doing = "quantise"
        ranges = _calibrated(fp32, _counted(photos, say))
        int8 = _quantised(fp32, ranges)
        (folder / "int8.tflite").write_bytes(_with_float_outputs(int8))
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        say({"failed": doing, "reason": f"{type(error).__name__}: {(lines or [''])[0]}"})
        raise


def _channel() -> Callable[[Mapping[str, object]], None]:
    """What writes to standard output, kept for this alone: the converter's reports go elsewhere."""
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(message: Mapping[str, object]) -> None:
        print(json.dumps(message), file=kept, flush=True)

    return say


def _counted(
    photos: NDArray[np.float32], say: Callable[[Mapping[str, object]], None]
) -> Iterator[NDArray[np.float32]]:
    for row in range(len(photos)):
        yield np.array(photos[row : row + 1])
        say({"photos": row + 1})


def _converted(module: Any, example: NDArray[np.float32], path: Path) -> Path:
    """Writes the float network."""
    import litert_torch
    import torch

    module.training = False  # a loaded program is in evaluation mode but does not say so
    pixels = {"pixels": torch.from_numpy(np.array(example))}
    litert_torch.convert(module, sample_kwargs=pixels).export(str(path))
    return path


def _quantizer(fp32: Path) -> Any:
    """Weights and activations of 8 bits, weights with a scale per channel; the input is float.

    The outputs are made float afterwards: the quantiser breaks a graph of which one output, the
    features, is also the input of a layer.
    """
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    made = quantizer.Quantizer(str(fp32), recipe.static_wi8_ai8())
    made.update_quantization_recipe(
        ".*", TFLOperationName.INPUT, algorithm_key=AlgorithmName.NO_QUANTIZE
    )
    return made


def _calibrated(fp32: Path, photos: Iterator[NDArray[np.float32]]) -> Ranges:
    """The range of every tensor.

    It is the mean over batches of the smallest and the largest value, since the range of all
    photos together follows the oddest one. The outputs have the whole range: what is cut off there
    is missing in the answer.
    """
    from ai_edge_litert.interpreter import Interpreter

    signature = next(iter(Interpreter(str(fp32)).get_signature_list()))
    each = [
        _quantizer(fp32).calibrate({signature: [{"pixels": photo}]}, num_threads=1)
        for photo in photos
    ]
    batches = [_whole(each[start : start + BATCH]) for start in range(0, len(each), BATCH)]
    ranges: Ranges = {
        name: {
            end: np.asarray(np.mean([batch[name][end] for batch in batches], axis=0))
            for end in batches[0][name]
        }
        for name in batches[0]
    }
    whole = _whole(batches)
    for output in Interpreter(str(fp32)).get_output_details():
        ranges[output["name"]] = whole[output["name"]]
    return ranges


def _whole(ranges: Sequence[Ranges]) -> Ranges:
    """The smallest of the smallest and the largest of the largest values; constants have none."""
    ends = {"min": np.min, "max": np.max}
    return {
        name: {end: take([one[name][end] for one in ranges], axis=0) for end, take in ends.items()}
        if ranges[0][name]
        else {}
        for name in ranges[0]
    }


def _quantised(fp32: Path, ranges: Ranges) -> Any:
    result = _quantizer(fp32).quantize(ranges, enable_progress_report=False)
    return result.quantized_model


def _with_float_outputs(int8: Any) -> bytes:
    """Adds what makes the int8 outputs float, and numbers the tensors.

    The converter names tensors after the source that they come from, a twentieth of the file.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(int8)
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    for number, tensor in enumerate(graph.tensors):
        tensor.name = str(number).encode()
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 2  # the first that takes signed values
    model.operatorCodes.append(code)
    places = {int(place): number for number, place in enumerate(graph.outputs)}
    for output in signature.outputs:
        place = int(output.tensorIndex)
        if graph.tensors[place].type != schema.TensorType.INT8:
            continue
        tensor = schema.TensorT()
        tensor.name = output.name
        tensor.type = schema.TensorType.FLOAT32
        tensor.shape = graph.tensors[place].shape
        tensor.hasRank = True
        operator = schema.OperatorT()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = [place], [len(graph.tensors)]
        operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = schema.DequantizeOptionsT()
        output.tensorIndex = graph.outputs[places[place]] = len(graph.tensors)
        graph.tensors.append(tensor)
        graph.operators.append(operator)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


if __name__ == "__main__":
    main()
