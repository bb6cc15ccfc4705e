"""From a torch module to an int8 tflite file, through LiteRT's converter.

The converter pins packages that Cutis must not pin, so it lives in an environment of its own and
runs as a process there (`litert_worker`). Network and photos go over as files; the file comes back.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from cutis.errors import InputError
from cutis.export.bias_correction import correct_biases
from cutis.export.onnx import WithFeatures
from cutis.lesion import channels
from cutis.models.registry import Classifier
from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.runtime.network import FEATURES, INPUT, OUTPUT
from cutis.storage import write_file

ENVIRONMENT = ".venv-litert"
"""The folder of the converter's environment, as `make litert` makes it."""
VARIABLE = "CUTIS_LITERT"
"""Names that folder where it lies elsewhere."""

TIME_LIMIT = 1800.0
"""Seconds after which a conversion is given up; MobileNetV2 takes some twenty."""

_WITHOUT = "or export without tflite"
_CORRECTION_PHOTOS = 32
_BATCH = 16


def litert_environment() -> Path | None:
    """The folder of the environment with LiteRT's converter, None where there is none.

    It is what CUTIS_LITERT names, or `.venv-litert` in the working folder or beside the
    environment that Cutis runs in. Raises InputError when CUTIS_LITERT names something else.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if _python(Path(named)) is None:
            raise InputError(
                f"{VARIABLE} names no Python environment",
                where=named,
                expected="the folder that `make litert` made",
                fix=f"run `make litert`, or take {VARIABLE} away",
            )
        return Path(named)
    places = (Path.cwd() / ENVIRONMENT, Path(sys.prefix).parent / ENVIRONMENT)
    return next((place for place in places if _python(place) is not None), None)


def require_litert() -> Path:
    """The converter's environment; InputError where there is none."""
    environment = litert_environment()
    if environment is None:
        raise InputError(
            "LiteRT's converter is not installed, so no tflite file can be made",
            expected=f"its environment in {ENVIRONMENT}, or where {VARIABLE} says",
            fix=f"run `make litert`, {_WITHOUT}",
        )
    return environment


def write_tflite(
    module: nn.Module,
    pixels: NDArray[np.uint8],
    settings: Preprocessing,
    path: Path,
    *,
    time_limit: float = TIME_LIMIT,
) -> None:
    """Writes a classifier in evaluation mode as one int8 tflite file with float input and outputs.

    The file takes one photo, `pixels` (1, size, size, channels), and gives `logits` (1, diagnoses)
    and, of a Classifier, `features` (1, D). Weights have a scale per channel. Biases take up what
    rounding the weights shifts (`correct_biases`).

    Args:
        module: normalised float (batch, channels, size, size) to logits (batch, diagnoses).
        pixels: (photos, size, size, 3 or 4), the calibration photos in random order.
        time_limit: in seconds.

    Raises InputError without the converter's environment, without calibration photos, for an
    operator that LiteRT lacks, and when the conversion fails or takes longer than the limit.
    """
    environment = require_litert()
    if len(pixels) == 0:
        raise InputError(
            "there are no calibration photos: int8 ranges are measured on photos",
            expected="at least one, better some hundreds, of the training part",
            fix="give the catalog that the run was trained on",
        )
    planes = torch.from_numpy(normalise(pixels[:_CORRECTION_PHOTOS], settings))
    corrected = _ByName(correct_biases(module, planes)).eval()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _save_program(corrected, settings, folder / "program.pt2")
        _save_photos(pixels, settings, folder / "photos.npy")
        _convert(environment, folder, len(pixels), time_limit)
        write_file(path, (folder / "int8.tflite").read_bytes())


class _ByName(nn.Module):
    """Channels last, as LiteRT computes, and outputs by name."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.features = isinstance(module, Classifier)
        self.module = WithFeatures(module) if isinstance(module, Classifier) else module

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        found = self.module(pixels.permute(0, 3, 1, 2))
        return {OUTPUT: found[0], FEATURES: found[1]} if self.features else {OUTPUT: found}


def _python(environment: Path) -> Path | None:
    places = (environment / "bin" / "python", environment / "Scripts" / "python.exe")
    return next((place for place in places if place.is_file()), None)


def _save_program(module: nn.Module, settings: Preprocessing, path: Path) -> None:
    example = torch.zeros(1, settings.size, settings.size, channels(settings))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations within torch
            torch.export.save(torch.export.export(module, (), {INPUT: example}), path)
    except Exception as error:  # torch.export's errors have no common base of their own
        raise _cannot(f"torch.export: {_first_line(str(error))}") from error


def _save_photos(pixels: NDArray[np.uint8], settings: Preprocessing, path: Path) -> None:
    photos = open_memmap(path, mode="w+", dtype=np.float32, shape=pixels.shape)
    for start in range(0, len(pixels), _BATCH):
        planes = normalise(pixels[start : start + _BATCH], settings)
        photos[start : start + _BATCH] = planes.transpose(0, 2, 3, 1)
    photos.flush()


def _convert(environment: Path, folder: Path, photos: int, time_limit: float) -> None:
    """Runs the worker in its environment and shows how far it is."""
    python = _python(environment)
    # -I keeps Cutis's own modules, and PYTHONPATH, out of the other environment
    command = [str(python), "-I", str(Path(__file__).with_name("litert_worker.py")), str(folder)]
    quiet = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (
        (folder / "log.txt").open("w+", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **quiet}
        ) as process,
        tqdm(total=photos, desc="int8, tflite", unit="photo", disable=None) as bar,
    ):
        timer = threading.Timer(time_limit, process.kill)
        timer.start()
        try:
            failed = _followed(process.stdout or (), bar)
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            late = not timer.is_alive()
            timer.cancel()
        log.seek(0)
        last = _last_line(log.read())
    if process.returncode == 0:
        return
    if late:
        raise InputError(
            f"the conversion to tflite took longer than {time_limit:g} seconds",
            fix=f"give it more time or fewer calibration photos, {_WITHOUT}",
        )
    raise _failure(environment, failed, last)


def _followed(lines: Iterable[str], bar: "tqdm[Any]") -> dict[str, str]:
    """Moves the bar by what the worker says, and gives its last word if it failed."""
    failed: dict[str, str] = {}
    for line in lines:
        if not line.startswith("{"):  # what a library says while it is loaded
            continue
        said = json.loads(line)
        if "failed" in said:
            failed = said
        else:
            bar.update(said["photos"] - bar.n)
    return failed


def _failure(environment: Path, failed: dict[str, str], last: str) -> InputError:
    reason = failed.get("reason", last or "it ended without a word")
    if failed.get("failed") == "load" or reason.startswith("ModuleNotFoundError"):
        return InputError(
            f"LiteRT's converter does not work with this Cutis ({reason})",
            where=environment,
            expected=f"an environment made for it, with a torch like {torch.__version__}",
            fix=f"delete the folder and run `make litert` again, {_WITHOUT}",
        )
    return _cannot(reason)


def _cannot(reason: str) -> InputError:
    return InputError(
        f"the network cannot be written as tflite ({reason})",
        expected="operators that LiteRT's converter and quantiser know",
        fix=f"choose another architecture, {_WITHOUT}",
    )


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
