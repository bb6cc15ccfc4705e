"""How each peer of benchmarks/inference.py is timed; needs nothing but Python."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

WARMING = 8


def pin(threads: int) -> None:
    """Keeps the process to so many processors, also those threads that libraries start."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def report(
    photos: list[Path],
    singles: int,
    one: Callable[[Path], object],
    many: Callable[[list[Path]], int],
) -> None:
    """Prints photos a second of many, milliseconds of one, and the peak of memory, as JSON.

    Beside them stands the processor's time for each of the many, on all threads together: it
    tells most of what it should where other work runs on the machine.

    Args:
        one: from a file to probabilities.
        many: the same of all photos; gives back how many were answered.
    """
    for photo in photos[:WARMING]:
        one(photo)
    many(photos[:WARMING])
    started, begun = time.perf_counter(), time.process_time()
    answered = many(photos)
    seconds, busy = time.perf_counter() - started, time.process_time() - begun
    if answered != len(photos):
        raise RuntimeError(f"{answered} of {len(photos)} photos were answered")
    taken = []
    for number in range(singles):
        started = time.perf_counter()
        one(photos[number % len(photos)])
        taken.append(1000 * (time.perf_counter() - started))
    figures = {
        "photos_per_second": answered / seconds,
        "cpu_ms": 1000 * busy / answered,
        "peak_mb": peak_mb(),
    }
    if singles:
        cuts = quantiles(taken, n=100, method="inclusive")
        figures |= {"p50_ms": cuts[49], "p99_ms": cuts[98]}
    print(json.dumps(figures))


def peak_mb() -> float:
    """The largest resident memory of this process so far; Linux alone tells it."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("nan")
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))
