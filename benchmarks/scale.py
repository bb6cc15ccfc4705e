"""What a cluster costs and gives: one and two nodes in network namespaces of this computer.

    python benchmarks/scale.py --photos 1000 --rows 0 --json scale.json
    python benchmarks/scale.py --real COLLECTION --rows 0 --json real.json
    python benchmarks/scale.py --photos 0 --rows 1000000 --json rows.json

`--photos`: `import` and `predict` of drawn photos, or with `--real` those of a collection, without
a cluster and on one of one node and of two, and then what a lost worker, a lost node and a cut
cable cost. Both nodes share the processors of this computer, so that two of them show what the
overhead is and not what two computers give. Rates are of the last three quarters of the photos;
what comes before the first (Ray, the processes, the model) and after the last (links and files)
stands beside. The processor time of a photo is that of all processes of the cluster, sampled: on a
busy machine it means more than the rate.

`--rows`: what the driver does beside the photos, for 1,000, 10,000, ... rows: of an import all but
decoding, for which generated scans stand in, with files that are empty, and beyond 10,000 rows all
but duplicates; the index of duplicates alone, in which 2,048 photos ask; of `predict` all but
decoding and answering, on one node.

Each measurement has a process of its own, whose peak memory stands beside its seconds. What the
file of --json holds already is not measured again, and --only names what is. Needs root for the
namespaces.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cutis.data.synthetic import SyntheticSpec, generate

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "scale"))
from nodes import TwoNodes, afterwards, finish, short_folder, wait_for  # noqa: E402

DRIVER = Path(__file__).with_name("scale_driver.py")
HERE = "here"
PLACES = {
    "no cluster, one processor": (),
    "no cluster": (),
    "one node of one worker": (1,),
    "one node of two workers": (2,),
    "two nodes of one worker": (1, 1),
}
"""Workers of each node."""

LEAST = 400  # photos: five blocks
BLOCKS = 30  # in which something is lost
PATIENCE = 1800  # seconds
SAMPLED = 0.5  # seconds between two looks at what processes have used
HARMS: dict[str, Callable[[TwoNodes], None]] = {
    "nothing lost": lambda nodes: None,
    "worker killed": lambda nodes: nodes.kill_worker(),
    "node killed": lambda nodes: nodes.kill_second(),
    "cable cut": lambda nodes: nodes.cut(),
}

Figures = dict[str, Any]


class TaskFailedError(Exception):
    """With what the driver has said."""


class Sampler(threading.Thread):
    """The processor seconds of some processes; those that end count as they were last seen."""

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._over = threading.Event()
        self._last: dict[int, float] = {}
        self._samples: list[tuple[float, float]] = []

    def run(self) -> None:
        """Looks every so often."""
        while not self._over.wait(SAMPLED):
            for pid in self._pids():
                self._last[pid] = max(processor_seconds(pid), self._last.get(pid, 0.0))
            self._samples.append((time.time(), sum(self._last.values())))

    def stop(self) -> None:
        """Looks no more."""
        self._over.set()
        self.join()

    def between(self, start: float, end: float) -> float:
        """Processor seconds between two times."""
        times, seconds = zip(*self._samples, strict=True)
        return float(np.subtract(*np.interp([end, start], times, seconds)))


def processor_seconds(pid: int) -> float:
    """Of a process with all its threads; 0 where it has ended."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def driven(
    start: Callable[[list[str]], subprocess.Popen[str]],
    pids: Callable[[], Sequence[int]] | None,
    *words: object,
) -> Figures:
    """The figures of a task of the driver's.

    Args:
        start: of a process with these arguments for Python.
        pids: whose processor time counts; None: the task's own.
        words: the task and its arguments.

    Raises TaskFailedError.
    """
    print(*words, file=sys.stderr)
    process = start([str(DRIVER), *map(str, words)])
    sampler = Sampler(pids or (lambda: [process.pid]))
    sampler.start()
    try:
        done = finish(process, PATIENCE)
    finally:
        sampler.stop()
    if done.returncode != 0:
        raise TaskFailedError(done.stderr)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    if "rows" in figures:
        times = figures.pop("from"), figures.pop("to")
        figures["per_second"] = figures["rows"] / (times[1] - times[0])
        figures["cpu_ms"] = 1000 * sampler.between(*times) / figures.pop("rows")
    return figures


def start_here(words: list[str], first: Sequence[str] = ()) -> subprocess.Popen[str]:
    """A script in no namespace, with one thread for a product of matrices, as Ray's workers have.

    More of them wait for each other by spinning, which doubles the processor time of `predict`.
    """
    return subprocess.Popen(
        [*first, sys.executable, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# ---------------------------------------------------------------- clusters


@contextlib.contextmanager
def cluster(workers: tuple[int, ...]) -> Iterator[TwoNodes]:
    """One node or two, as patient with lost nodes as Ray is by itself."""
    with short_folder() as folder:
        nodes = TwoNodes(folder, cpus=workers[0])
        for name in list(nodes.environment):
            if name.startswith("RAY_health_check"):
                del nodes.environment[name]
        nodes.environment["RAY_worker_niceness"] = "0"  # else others on this computer come first
        with afterwards(nodes.clearing):
            nodes.set_up()
            nodes.start_head()
            if len(workers) > 1:
                nodes.start_second()
            yield nodes


def at(place: str, source: Path, folder: Path) -> Figures:
    """Both verbs at one of PLACES."""
    workers = PLACES[place]
    tasks = {"import_photos": "catalog", "predict": "answers.csv"}
    figures = {}
    with contextlib.ExitStack() as stack:
        if workers:
            nodes = stack.enter_context(cluster(workers))
            start, pids, address = nodes.start_process, nodes.pids, nodes.address
        else:
            one = ("taskset", "--cpu-list", "0") if "one" in place else ()
            start, pids, address = partial(start_here, first=one), None, HERE
        for task, out in tasks.items():
            figures[task] = driven(start, pids, task, source, folder / out, address)
    return figures


def lost(harm: str, folder: Path) -> Figures:
    """Blocks of a second each on two nodes, and one of HARMS in the midst of them."""
    notes = folder / f"{harm}.jsonl"
    then: Figures = {}
    with cluster((1, 1)) as nodes:

        def harmed(words: list[str]) -> subprocess.Popen[str]:
            process = nodes.start_process(words)
            wait_for(lambda: len(done_blocks(notes)) > 3, PATIENCE)
            wait_for(lambda: nodes.workers(nodes.second), PATIENCE)
            then["pids"], then["time"] = nodes.workers(nodes.second), time.time()
            HARMS[harm](nodes)
            return process

        try:
            figures = driven(harmed, nodes.pids, "blocks", BLOCKS, notes, nodes.address)
        except TaskFailedError as error:  # a figure too: the cluster does not survive it
            figures = {"failed": str(error)}
    return figures | redone(read_notes(notes), then["pids"], then["time"])


def read_notes(notes: Path) -> list[Figures]:
    """What the workers have noted."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [json.loads(line) for line in lines]


def done_blocks(notes: Path) -> set[str]:
    """The blocks that are done."""
    return {note["block"] for note in read_notes(notes) if note["what"] == "done"}


def redone(notes: list[Figures], pids: list[int], then: float) -> Figures:
    """The blocks that processes had in hand, and when others have done the last of them."""
    done = {note["block"]: note for note in reversed(notes) if note["what"] == "done"}
    theirs = [note for note in notes if note["pid"] in pids and note["time"] < then]
    begun = {note["block"] for note in theirs if note["what"] == "begun"}
    in_hand = begun - {note["block"] for note in theirs if note["what"] == "done"}
    again = [
        note["time"] - then
        for note in notes
        if note["what"] == "done" and note["block"] in in_hand and note["pid"] not in pids
    ]
    twice = sum(note["what"] == "begun" for note in notes) - len(done)
    return {"in_hand": len(in_hand), "again_after": max(again, default=None), "done_twice": twice}


# ---------------------------------------------------------------- rows


def rows(count: int, folder: Path) -> Figures:
    """The driver's part of an import of so many rows, and of `predict` on their catalog."""
    place = folder / str(count)
    place.mkdir()
    imported = driven(start_here, None, "catalog", count, place)
    answers = place / "answers.parquet"
    planned = driven(start_here, None, "plan", place / "catalog", answers)
    return {"catalog": imported, "plan": planned}


# ---------------------------------------------------------------- tables


def photo_table(figures: Mapping[str, Figures]) -> Iterator[str]:
    """Lines of a table: each verb at each place."""
    yield "| verb | where | photos a second | CPU ms a photo | to the first, s | after, s | MB |"
    yield "|---|---|---|---|---|---|---|"
    for task in ("import_photos", "predict"):
        for place in PLACES:
            if place in figures:
                row = figures[place][task]
                names = ("per_second", "cpu_ms", "until_first", "after_last", "peak_mb")
                cells = [task.split("_")[0], place, *(f"{row[name]:.1f}" for name in names)]
                yield "| " + " | ".join(cells) + " |"


def same_tables(figures: Mapping[str, Figures]) -> bool:
    """Whether all places that were measured gave the same catalog and the same answers."""
    found = [figures[place] for place in PLACES if place in figures]
    hashes = {tuple(tasks[task]["sha256"] for task in sorted(tasks)) for tasks in found}
    return len(hashes) <= 1


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--real", type=Path, metavar="COLLECTION")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", nargs="+", help="names of measurements, as the JSON has them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if 0 < options.photos < LEAST:
        parser.error(f"--photos {options.photos} are too few for a rate: 0, or {LEAST} or more")
    figures = begun(options)

    def measure(name: str, work: Callable[[], Figures]) -> None:
        if name not in figures and (options.only is None or name in options.only):
            figures[name] = work()
            print(json.dumps({name: figures[name]}), flush=True)
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in [10**power for power in range(3, 9) if 10**power <= options.rows]:
            measure(f"{count} rows", partial(rows, count, folder))
            measure(
                f"{count} indexed", lambda count=count: driven(start_here, None, "index", count)
            )
        if options.photos:
            source = options.real or generate(folder / "drawn", drawn(options.photos))
            for place in PLACES:
                (folder / place).mkdir()
                measure(place, partial(at, place, source, folder / place))
            for harm in HARMS:
                measure(harm, partial(lost, harm, folder))
    print("\n".join(photo_table(figures)))
    print("all tables are the same" if same_tables(figures) else "THE TABLES DIFFER")


def drawn(photos: int) -> SyntheticSpec:
    """Photos of the size of HAM10000's, none of them planted."""
    return SyntheticSpec(
        photos=photos, width=600, height=450,
        identical_share=0, near_share=0, wrong_label_share=0, corrupt_share=0,
    )  # fmt: skip


def begun(options: argparse.Namespace) -> Figures:
    """The figures that the JSON file holds; it belongs to one set of photos."""
    settings = {"photos": options.photos, "real": str(options.real)}
    if options.json is None or not options.json.is_file():
        return {"settings": settings}
    figures: Figures = json.loads(options.json.read_text())
    if figures["settings"] != settings:
        sys.exit(f"{options.json} was measured with {figures['settings']}: choose another file")
    return figures


if __name__ == "__main__":
    main()
