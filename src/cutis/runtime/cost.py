"""What a network of a bundle costs, from a photo's file to its answer.

Run as a module it measures in a process of its own, so that the memory is that of the runtime.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from cutis.records import Record
from cutis.runtime.ahead import map_ahead
from cutis.runtime.network import available_cores
from cutis.runtime.predictor import Predictor
from cutis.runtime.segmenter import Segmenter

_SINGLE = 40
_MANY = 256
_WARMING = 5


class Cost(Record):
    """Milliseconds, photos a second and memory, photos read and decoded included."""

    milliseconds: float  # one photo, one thread, median
    photos_per_second: float  # on all cores
    memory_mb: float | None  # largest resident memory of the process; None where unknown


def measure_cost(
    bundle: Path, verb: str, network: str, engine: str, photos: Sequence[Path]
) -> Cost | None:
    """The cost of one network on one engine, measured in a new process; None where that fails.

    Args:
        verb: "predict" for a classifier, "segment" for a segmenter.
        photos: files; a few hundred are enough.
    """
    asked = json.dumps([str(bundle), verb, network, engine, [str(p) for p in photos[:_MANY]]])
    done = subprocess.run(
        [sys.executable, "-m", "cutis.runtime.cost"],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    return Cost.model_validate_json(lines[-1]) if done.returncode == 0 and lines else None


def _measured(bundle: Path, verb: str, network: str, engine: str, photos: Sequence[Path]) -> Cost:
    one = _opened(bundle, verb, network, engine, threads=1)
    single = [photos[k % len(photos)] for k in range(_WARMING + _SINGLE)]
    taken = []
    for photo in single:
        begun = time.perf_counter()
        one(photo)
        taken.append(time.perf_counter() - begun)
    cores = available_cores()
    many = _opened(bundle, verb, network, engine, threads=cores)
    begun = time.perf_counter()
    answered = sum(1 for _ in map_ahead(many, photos, cores))
    seconds = time.perf_counter() - begun
    return Cost(
        milliseconds=1000 * median(taken[_WARMING:]),
        photos_per_second=answered / seconds,
        memory_mb=_peak_memory(),
    )


def _opened(
    bundle: Path, verb: str, network: str, engine: str, *, threads: int
) -> Callable[[Path], object]:
    """What answers one photo."""
    if verb == "segment":
        return Segmenter.load(bundle, network=network, engine=engine, threads=threads).segment
    predictor = Predictor.load(bundle, model=network, engine=engine, threads=threads)

    def answer(photo: Path) -> object:
        pixels, _ = predictor.read(photo)
        return predictor.probabilities(predictor.logits(pixels[None]))

    return answer


def _peak_memory() -> float | None:
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux hands the parent's peak down through getrusage, and the parent holds torch.
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:"))
    try:
        import resource
    except ImportError:  # Windows does not count it
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # macOS counts bytes, Linux kB


if __name__ == "__main__":
    bundle_, verb_, network_, engine_, photos_ = json.load(sys.stdin)
    found = _measured(Path(bundle_), verb_, network_, engine_, [Path(p) for p in photos_])
    print(found.model_dump_json())
