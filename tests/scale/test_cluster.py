"""A cluster is joined when it fits, and refused in clear words and soon when it does not."""

import os
import pickle
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import PIL
import pytest

from cutis.errors import InputError, MissingDependencyError
from cutis.scale import cluster
from cutis.scale.cluster import connected

from .nodes import HANG, HEAD, SECOND, TwoNodes

JOIN = """
import sys
from cutis.errors import CutisError
from cutis.scale.cluster import connected
try:
    with connected(sys.argv[1]) as cluster:
        print(*cluster.nodes, cluster.cpus)
except CutisError as error:
    print("REFUSED", error)
"""


SOON = {"RAY_NUM_REDIS_GET_RETRIES": "2"}  # a refused attempt is refused again


def test_two_nodes_are_one_cluster(two_nodes: TwoNodes) -> None:
    done = two_nodes.python(JOIN, two_nodes.address)
    assert done.stdout == f"{HEAD} {SECOND} 2\n"
    assert done.stderr == ""


ALONE = """
import logging, os
import ray.data
from cutis.scale.cluster import connected

def state():
    levels = {name: logging.getLogger(name).level for name in ("ray", "ray.data")}
    return {**os.environ, **levels, "prints": ray._private.worker.print_to_stdstream}

before = state()
with connected("local") as found:
    print(len(found.nodes), found.cpus)
after = state()
print([name for name in before | after if before.get(name) != after.get(name)])
try:
    ray.put("as a thread that was left here would")
except Exception as error:
    print("Ray.init" in str(error) or "ray.init" in str(error))
"""


def test_one_computer_is_a_cluster_and_keeps_its_token_to_itself(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    del environment["RAY_AUTH_MODE"]  # as at a user's
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"1 {os.cpu_count()}\n[]\nTrue\n", "")
    assert stat.S_IMODE((tmp_path / ".ray" / "auth_token").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "address", ["10.0.0.5", "10.0.0.5:port", "ray://10.0.0.5:10001", "a:70000"]
)
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(InputError, match="is no address of a cluster"), connected(address):
        pass


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        begun = time.monotonic()
        refused = pytest.raises(InputError, match="no cluster answers")
        with refused as caught, connected(f"127.0.0.1:{port}"):
            pass
    assert caught.value.where == f"127.0.0.1:{port}"
    assert time.monotonic() - begun < 60  # Ray itself tries for minutes


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes calls and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_take_calls, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _take_calls(server: socket.socket) -> None:
    kept = []
    try:
        while True:
            kept.append(server.accept())
    except OSError:
        for connection, _ in kept:
            connection.close()


def test_a_port_that_keeps_silent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PROBE_SECONDS", 0.2)
    refused = pytest.raises(InputError, match=r"no cluster answers \(timed out\)")
    with silent_server() as port, refused, connected(f"127.0.0.1:{port}"):
        pass


def test_another_server_is_refused() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        refused = pytest.raises(InputError, match="another server is there")
        with refused, connected(f"127.0.0.1:{server.server_port}"):
            pass


def test_another_token_is_refused(two_nodes: TwoNodes) -> None:
    done = two_nodes.python(JOIN, two_nodes.address, RAY_AUTH_TOKEN="0" * 32, **SOON)
    assert done.stdout.startswith("REFUSED the cluster refuses this computer's token"), done


def test_the_command_must_come_from_a_node(head_alone: TwoNodes) -> None:
    # The nodes' own folder is hidden: by what lies there they would know each other.
    hide = f'mount -t tmpfs none {head_alone.folder} && exec "$@"'
    script = [sys.executable, "-c", JOIN, head_alone.address]
    done = subprocess.run(
        ["ip", "netns", "exec", head_alone.second, "sh", "-c", hide, "sh", *script],
        env={**head_alone.environment, **SOON},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.startswith("REFUSED this computer is not a node of the cluster"), done
    assert f"ray start --address={head_alone.address}" in done.stdout


def other_cutis(folder: Path, code: str) -> Path:
    """A folder with another Cutis in it."""
    (folder / "cutis" / "scale").mkdir(parents=True)
    (folder / "cutis" / "__init__.py").write_text(code)
    (folder / "cutis" / "scale" / "__init__.py").write_text("")
    (folder / "cutis" / "scale" / "cluster.py").write_text(
        "from cutis import VERSIONS\ndef versions():\n    return VERSIONS\n"
    )
    return folder


def test_a_node_of_another_version_is_named(head_alone: TwoNodes, tmp_path: Path) -> None:
    versions = cluster.versions() | {"Pillow": "0.0.7"}
    stub = other_cutis(tmp_path, f"VERSIONS = {versions!r}")
    head_alone.start_second(PYTHONPATH=str(stub))
    done = head_alone.python(JOIN, head_alone.address)
    assert done.stdout.split("\n")[:3] == [
        "REFUSED a node of the cluster has another version of Pillow: 0.0.7",
        f"  where: {SECOND}",
        f"  expected: Pillow {PIL.__version__}, as on this computer",
    ], done.stderr


def test_a_node_without_cutis_is_named(head_alone: TwoNodes, tmp_path: Path) -> None:
    stub = other_cutis(tmp_path, "raise ModuleNotFoundError(\"No module named 'cutis'\")")
    head_alone.start_second(PYTHONPATH=str(stub))
    done = head_alone.python(JOIN, head_alone.address)
    assert done.stdout.startswith("REFUSED Cutis does not run on a node"), done.stderr
    assert f"where: {SECOND}" in done.stdout


# Says at its end that it ended as any process does; the command line must not wait for Ray.
STUCK = """
import atexit, sys, time
from cutis import cli
from cutis.scale import cluster

class Ray:
    @staticmethod
    def shutdown():
        time.sleep(float(sys.argv[2]))

def work(_):
    cluster._leave(Ray, "127.0.0.1:9")
    time.sleep(0.5)
    print("done")
    return 7

cluster._LEAVE_SECONDS = 0.1
atexit.register(lambda: print("at exit"))
cli.run = work
cli.main() if sys.argv[1] == "command" else sys.exit(work(()))
"""


@pytest.mark.parametrize(
    ("host", "seconds", "said"),
    [
        ("command", 1000, "done\n"),
        ("command", 0.3, "done\nat exit\n"),
        ("program", 1000, "done\nat exit\n"),
    ],
)
def test_only_the_command_ends_without_ray_and_only_while_that_is_stuck(
    host: str, seconds: float, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK, host, str(seconds)],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, said, "")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    refused = pytest.raises(MissingDependencyError, match=r"pip install 'cutis\[cluster\]'")
    with refused, connected("local"):
        pass


def test_errors_come_whole_from_other_processes() -> None:
    error = MissingDependencyError("ray", "cluster")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
