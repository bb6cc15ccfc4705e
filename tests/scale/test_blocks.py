"""Blocks of photos come back whole, once and in order, whatever happens to who works on them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from cutis.errors import InputError
from cutis.scale import blocks
from cutis.scale.blocks import BLOCK, Work, map_blocks, refuse_unread
from cutis.scale.cluster import Cluster, connected

from .nodes import SECOND, TwoNodes, finish, hold_processors

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own parts

# 24 blocks of 0.3 s each on two processors.
SLOW = """
import sys, time
import pyarrow as pa
from cutis.errors import CutisError
from cutis.scale.blocks import BLOCK, map_blocks
from cutis.scale.cluster import connected

def opened():
    def work(photos):
        time.sleep(0.3)
        return pa.table({"length": [len(photo) for photo in photos]})
    return work

photos = [f"{n}" * (n % 7) for n in range(24 * BLOCK)]
nodes, lengths = set(), []
try:
    with connected(sys.argv[1]) as cluster:
        for table, node in map_blocks(cluster, photos, opened):
            nodes.add(node)
            lengths += table.column("length").to_pylist()
            print(len(lengths), flush=True)
    print(lengths == [len(photo) for photo in photos], *sorted(nodes))
except CutisError as error:
    print("FAILED", error)
"""


def harmed(two_nodes: TwoNodes, harm: Callable[[], None]) -> list[str]:
    """What SLOW prints when harm is done after a few blocks."""
    process = two_nodes.start_python(SLOW, two_nodes.address)
    assert process.stdout is not None
    line = ""
    for line in process.stdout:
        if line.strip() == str(4 * BLOCK):
            harm()
            break
    done = finish(process)
    assert done.returncode == 0, (line, done.stderr)
    lines: list[str] = done.stdout.splitlines()
    return lines


HUNGRY = """
import sys, time
import numpy as np
from cutis.errors import CutisError
from cutis.scale import blocks
from cutis.scale.blocks import map_blocks
from cutis.scale.cluster import connected

blocks._TRIES = 1

def opened():
    def work(photos):
        from ray.util import get_node_ip_address
        if get_node_ip_address() == sys_second:
            held = np.ones(250_000_000)
            time.sleep(30)
        time.sleep(2)
        import pyarrow as pa
        return pa.table({"n": photos})
    return work

sys_second = sys.argv[2]
try:
    with connected(sys.argv[1]) as cluster:
        for table, node in map_blocks(cluster, [str(n) for n in range(1000)], opened):
            print(node)
except CutisError as error:
    print("FAILED", error)
"""


def test_memory_that_ends_is_named(head_alone: TwoNodes) -> None:
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(memory[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    if free < 4_000_000:
        pytest.skip("there is no memory to waste")
    head_alone.start_second(
        RAY_memory_usage_threshold=f"{(total - free + 1_000_000) / total:.3f}",
        RAY_memory_monitor_refresh_ms="100",
    )
    done = head_alone.python(HUNGRY, head_alone.address, SECOND)
    assert "FAILED a node ran out of memory" in done.stdout, done


def test_a_cut_network_is_a_lost_node(two_nodes: TwoNodes) -> None:
    assert harmed(two_nodes, two_nodes.cut)[-1].startswith("True")


@pytest.fixture(scope="module")
def cluster(local_cluster: str) -> Iterator[Cluster]:
    with connected(local_cluster) as joined:
        yield joined


def opened(work: Work) -> Callable[[], Work]:
    return lambda: work


def run(cluster: Cluster, work: Work, photos: int = 3 * BLOCK) -> list[pa.Table]:
    names = [str(n) for n in range(photos)]
    return [table for table, _ in map_blocks(cluster, names, opened(work))]


def test_ray_that_the_program_has_started_is_left_alone(
    cluster: Cluster, local_cluster: str
) -> None:
    import ray

    refused = pytest.raises(InputError, match="Ray is already in use in this process")
    with refused, connected(local_cluster):
        pass
    assert ray.is_initialized()


def test_rows_come_in_order_in_waves(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_WAVE", 2 * BLOCK)
    tables = run(cluster, lambda photos: pa.table({"own": photos}), photos=4 * BLOCK + 5)
    assert [len(table) for table in tables] == [BLOCK] * 4 + [5]
    assert pa.concat_tables(tables).to_pydict() == {"own": [str(n) for n in range(4 * BLOCK + 5)]}


def raising(error: Exception) -> Work:
    def work(_: list[str]) -> pa.Table:
        raise error

    return work


def test_an_error_of_cutis_comes_out_as_it_was(cluster: Cluster) -> None:
    error = InputError("wrong", where="here", expected="right", fix="mend it")
    with pytest.raises(InputError) as caught:
        run(cluster, raising(error))
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def test_a_bug_comes_out_with_its_traceback(cluster: Cluster) -> None:
    with pytest.raises(ZeroDivisionError, match="in work"):
        run(cluster, raising(ZeroDivisionError("a bug")))


def test_the_node_whose_memory_ends_is_named(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="a node ran out of memory") as caught:
        run(cluster, raising(MemoryError()))
    assert caught.value.where == cluster.nodes[0]


def dies(photos: list[str]) -> pa.Table:
    import os

    os._exit(1)


def test_a_worker_that_always_dies_ends_the_work(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_TRIES", 1)
    with pytest.raises(InputError, match="lost again and again"):
        run(cluster, dies)


def test_a_cluster_without_a_free_processor_is_not_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(blocks, "STALL_SECONDS", 3.0)
    other = hold_processors(2)
    try:
        with pytest.raises(InputError, match="the cluster makes no progress"):
            run(cluster, raising(ZeroDivisionError()))
    finally:
        ray.kill(other)


def test_what_this_computer_reads_a_node_must_read_too() -> None:
    gone, stale = "the photo is missing", "damaged (Stale file handle)"
    good = {"there"}
    refuse_unread(["there", "gone"], [None, gone], "10.0.0.7", good.__contains__)
    with pytest.raises(InputError, match=r"the node 10.0.0.7 does not see .*Stale") as caught:
        refuse_unread(["gone", "there"], [gone, stale], "10.0.0.7", good.__contains__)
    assert caught.value.where == "there"
