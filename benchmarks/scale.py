"""What a cluster costs and gives: one and two nodes in network namespaces of this computer.

    python benchmarks/scale.py --photos 1000 --rows 0 --json scale.json
    python benchmarks/scale.py --real COLLECTION --rows 0 --json real.json
    python benchmarks/scale.py --photos 0 --rows 1000000 --json rows.json

`--photos`: `import` and `predict` of drawn photos, or with `--real` those of a collection, without
a cluster and on one of one node and of two, and then what a lost worker, a lost node and a cut
cable cost. Both nodes share the processors of this computer, so that two of them show what the
overhead is and not what two computers give. Rates are taken from the first block of photos to the
last; what comes before (Ray, the processes, the model) and after (links and files) stands beside.

`--rows`: what the driver does beside the photos, for 1,000, 10,000, ... rows: of an import all but
decoding, for which generated scans stand in, with files that are empty; the index of duplicates
alone, in which 2,048 photos ask; of `predict` all but decoding and answering, on one node.

Each measurement has a process of its own, whose peak memory stands beside its seconds. What the
file of --json holds already is not measured again. Needs root for the namespaces.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cutis.data.synthetic import SyntheticSpec, generate

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "scale"))
from nodes import TwoNodes, finish, short_folder, wait_for  # noqa: E402

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

LOST_BLOCKS = 30
HARMS: dict[str, Callable[[TwoNodes], None]] = {
    "nothing lost": lambda nodes: None,
    "worker killed": lambda nodes: nodes.kill_worker(),
    "node killed": lambda nodes: nodes.kill_second(),
    "cable cut": lambda nodes: nodes.cut(),
}

Figures = dict[str, Any]


def driven(task: str, *arguments: object, first: tuple[str, ...] = ()) -> Figures:
    """The figures of one task in a process of its own, with all its seconds."""
    print(task, *arguments, file=sys.stderr)
    start = time.perf_counter()
    command = [*first, sys.executable, str(DRIVER), task, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return read_figures(done, start)


def read_figures(done: subprocess.CompletedProcess[str], start: float) -> Figures:
    """The last line of a task's output."""
    if done.returncode != 0:
        sys.exit(f"{done.args} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures | {"seconds": time.perf_counter() - start}


# ---------------------------------------------------------------- clusters


@contextlib.contextmanager
def cluster(workers: tuple[int, ...]) -> Iterator[TwoNodes]:
    """One node or two, as patient with lost nodes as Ray is by itself."""
    with short_folder() as folder:
        nodes = TwoNodes(folder, cpus=workers[0])
        nodes.environment = {
            name: value
            for name, value in nodes.environment.items()
            if not name.startswith("RAY_health_check")
        }
        try:
            nodes.set_up()
            nodes.start_head()
            if len(workers) > 1:
                nodes.start_second()
            yield nodes
        finally:
            nodes.tear_down()


def at(place: str, source: Path, folder: Path) -> Figures:
    """Both verbs at one of PLACES."""
    workers = PLACES[place]
    tasks = {"import_photos": "catalog", "predict": "answers.csv"}
    if not workers:
        first = ("taskset", "--cpu-list", "0") if "one" in place else ()
        return {
            task: driven(task, source, folder / out, HERE, first=first)
            for task, out in tasks.items()
        }
    figures = {}
    with cluster(workers) as nodes:
        for task, out in tasks.items():
            print(place, task, file=sys.stderr)
            start = time.perf_counter()
            command = ("exec(open(__import__('sys').argv.pop(1)).read())", DRIVER)
            process = nodes.start_python(*command, task, source, folder / out, nodes.address)
            figures[task] = read_figures(finish(process, 600), start)
    return figures
