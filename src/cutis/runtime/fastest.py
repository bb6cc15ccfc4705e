"""Which network on which engine is the fastest on this machine: measured once, remembered.

Only what answers as the trained run does is compared, so that the choice is one of speed alone.
"""

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, TypeVar

from cutis.errors import InputError
from cutis.runtime.engines import ENGINE_PACKAGES
from cutis.storage import write_file

AUTO = "auto"
"""The engine's name that asks for a measurement."""

CACHE_FILE = "engines.json"

_KEPT = 64  # choices in the file, the newest
_ROUNDS = 5

T = TypeVar("T")


class Pair(NamedTuple):
    """A network of a bundle and what runs it."""

    network: str
    engine: str

    def __str__(self) -> str:
        return "/".join(self)

    @classmethod
    def of(cls, text: str) -> "Pair":
        """From "network/engine"."""
        network, _, engine = text.partition("/")
        return cls(network, engine)


def fastest(
    pairs: Sequence[Pair], opened: Callable[[Pair], T], work: Callable[[T], object], key: str
) -> T:
    """The fastest of some pairs, opened.

    Args:
        pairs: to choose from; a single one is taken as it is.
        opened: loads a pair; one for which it raises InputError is left out, as long as another
            one can be loaded.
        work: what is timed, a fraction of a second.
        key: names the files that `opened` reads and how many threads work: for another key, on
            another processor or with other versions of the engines it is measured again.
    """
    if len(pairs) == 1:
        return opened(pairs[0])
    key = _machine_key(pairs, key)
    choices = _remembered()
    known = Pair.of(choices.get(key, ""))
    if known in pairs:
        with suppress(InputError):
            return opened(known)
    chosen = _measured(pairs, opened, work)
    if chosen is None:
        return opened(pairs[0])
    _remember({**choices, key: str(chosen[0])})
    return chosen[1]


def _measured(
    pairs: Sequence[Pair], opened: Callable[[Pair], T], work: Callable[[T], object]
) -> tuple[Pair, T] | None:
    """The pair whose best round is the shortest; all take turns, since a machine's speed wavers."""
    candidates: dict[Pair, T] = {}
    for pair in pairs:
        with suppress(InputError):
            one = opened(pair)
            work(one)  # the first time also sets up memory
            candidates[pair] = one
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(_ROUNDS):
        for pair, candidate in candidates.items():
            started = time.perf_counter()
            work(candidate)
            best[pair] = min(best[pair], time.perf_counter() - started)
    chosen = min(best, key=best.__getitem__, default=None)
    return None if chosen is None else (chosen, candidates[chosen])


def _machine_key(pairs: Sequence[Pair], key: str) -> str:
    engines = sorted({pair.engine for pair in pairs})
    parts = [key, _processor(), *map(str, pairs), *map(_version, engines)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _version(engine: str) -> str:
    try:
        return version(ENGINE_PACKAGES[engine])
    except PackageNotFoundError:  # built from source
        return "unknown"


def _processor() -> str:
    with suppress(OSError):  # elsewhere than on Linux there is no such file
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor() or platform.machine()


def _cache_file() -> Path:
    """In the user's cache folder. Raises RuntimeError where the user has no home."""
    if os.environ.get("XDG_CACHE_HOME"):
        folder = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        folder = Path(os.environ["LOCALAPPDATA"])
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches"
    else:
        folder = Path.home() / ".cache"
    return folder / "cutis" / CACHE_FILE


def _remembered() -> dict[str, str]:
    """The choices by key; none where the file is missing or damaged."""
    try:
        content = json.loads(_cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)}


def _remember(choices: dict[str, str]) -> None:
    newest = dict(list(choices.items())[-_KEPT:])
    with suppress(OSError, InputError, RuntimeError):  # measured again next time
        write_file(_cache_file(), json.dumps(newest, indent=2) + "\n")
