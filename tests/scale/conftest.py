"""Ray clusters to test on.

`local_cluster` is the address of one node with two processors, for tests in this process:
`with connected(local_cluster)`. `two_nodes` is a head and a second node with one processor each, in
network namespaces of their own that a cable of two ends joins. Their driver must run beside the
head, so it is a process: `two_nodes.run("predict", photos, "--cluster", two_nodes.address)`
runs a command line of Cutis and waits, `two_nodes.start(…)` does not wait; `python` and
`start_python` do so with a script. While it runs, `kill_worker`, `kill_second` and `cut` do their
harm; the next test finds both nodes whole again. `head_alone` is the same cluster for a test that
starts the second node in a way of its own: `head_alone.start_second(VARIABLE="value")`. All
processes die at the end, and no others.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# Read when Ray is imported. A cluster that has a token anyway gets it below; without this line Ray
# would write one into the home folder.
os.environ["RAY_AUTH_MODE"] = "disabled"

pytest.importorskip("ray")

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
PORT = 6399
HEAD, SECOND = "10.211.0.1", "10.211.0.2"
MARK = "CUTIS_TEST_CLUSTER"
_RESTS = re.compile("IDLE|Agent")  # a node dies with its agents
STORE = "--object-store-memory=100000000"

# A lost node is noticed in seconds, and a busy machine is not yet a lost node.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "OMP_NUM_THREADS": "1",
}


@dataclass
class TwoNodes:
    """Two nodes of a cluster in two network namespaces."""

    folder: Path
    name: str = field(default_factory=lambda: f"ct{os.getpid()}")
    environment: dict[str, str] = field(
        default_factory=lambda: {
            **os.environ,
            **_ENVIRONMENT,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
        }
    )
    address: str = f"{HEAD}:{PORT}"
    whole: bool = False  # both nodes run as the fixture started them

    @property
    def head(self) -> str:
        return f"{self.name}a"

    @property
    def second(self) -> str:
        return f"{self.name}b"

    def set_up(self) -> None:
        """Makes the namespaces and the cable; CalledProcessError where that is not allowed."""
        for space in (self.head, self.second):
            _ip("netns", "add", space)
        _ip("link", "add", f"v{self.head}", "type", "veth", "peer", "name", f"v{self.second}")
        for space, address in ((self.head, HEAD), (self.second, SECOND)):
            _ip("link", "set", f"v{space}", "netns", space)
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", f"v{space}")
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "link", "set", f"v{space}", "up")

    def start_head(self) -> None:
        self._ray_start(
            self.head,
            "--head",
            f"--port={PORT}",
            f"--node-ip-address={HEAD}",
            f"--temp-dir={self.folder}",
            "--include-dashboard=false",
        )

    def start_second(self, *, full: Path | None = None, **environment: str) -> None:
        """Starts the second node with variables of its own.

        Args:
            full: a folder on a disk that only this node sees, of 64 kB.
        """
        mount = [] if full is None else ["mount", "-t", "tmpfs", "-o", "size=64k", "none", full]
        self._ray_start(
            self.second,
            f"--address={self.address}",
            f"--node-ip-address={SECOND}",
            first=[str(word) for word in mount],
            **environment,
        )

    def _ray_start(self, space: str, *options: str, first: list[str] = [], **more: str) -> None:  # noqa: B006
        command = ["ip", "netns", "exec", space]
        if first:
            command += ["sh", "-c", f'{" ".join(first)} && exec "$@"', "sh"]
        command += [*RAY, "start", "--num-cpus=1", STORE, "--disable-usage-stats", *options]
        subprocess.run(
            command,
            env={**self.environment, **more},
            check=True,
            capture_output=True,
            timeout=60,
        )

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """A command line of Cutis beside the head, under way."""
        return self._popen(["-m", "cutis", *map(str, arguments)], environment)

    def run(
        self, *arguments: object, timeout: float = 100, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A command line of Cutis beside the head; TimeoutExpired if it hangs."""
        return finish(self.start(*arguments, **environment), timeout)

    def python(
        self, code: str, *arguments: object, timeout: float = 100, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A script beside the head; TimeoutExpired if it hangs."""
        return finish(self.start_python(code, *arguments, **environment), timeout)

    def start_python(
        self, code: str, *arguments: object, **environment: str
    ) -> subprocess.Popen[str]:
        """A script beside the head, under way."""
        return self._popen(["-c", code, *map(str, arguments)], environment)

    def _popen(self, arguments: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ip", "netns", "exec", self.head, sys.executable, *arguments],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def workers(self, space: str) -> list[int]:
        """Processes of a node that do work now."""
        return [
            pid
            for pid in _processes(space)
            if (name := _command(pid)).startswith("ray::") and not _RESTS.search(name)
        ]

    def kill_worker(self, timeout: float = 60) -> None:
        """kill -9 for a process of the second node that works, once there is one."""
        wait_for(lambda: self.workers(self.second), timeout)
        for pid in self.workers(self.second):
            kill(pid)

    def kill_second(self) -> None:
        """kill -9 for the whole second node."""
        self.whole = False
        for pid in _processes(self.second):
            kill(pid)

    def cut(self) -> None:
        """Pulls the cable."""
        self.whole = False
        _ip("-n", self.second, "link", "set", f"v{self.second}", "down")

    def make_whole(self) -> None:
        """Both nodes as at the start, whatever a test has done to the second."""
        if not self.whole:
            self.kill_second()
            _ip("-n", self.second, "link", "set", f"v{self.second}", "up")
            self.start_second()
            self.whole = True

    def tear_down(self) -> None:
        for space in (self.head, self.second):
            for pid in _processes(space):
                kill(pid)
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", space)


def finish(process: subprocess.Popen[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Waits for a process; kills it and raises TimeoutExpired if it hangs."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(ready: Callable[[], object], timeout: float) -> None:
    """Waits until something holds; AssertionError if it never does."""
    until = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def _processes(space: str) -> list[int]:
    try:
        return [int(pid) for pid in _ip("netns", "pids", space).split()]
    except subprocess.CalledProcessError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short name, as Ray's sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="cutis-ray-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _two_nodes() -> Iterator[TwoNodes]:
    with short_folder() as folder:
        nodes = TwoNodes(folder)
        try:
            try:
                nodes.set_up()
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("network namespaces are not allowed here")
            nodes.start_head()
            yield nodes
        finally:
            nodes.tear_down()


@pytest.fixture
def two_nodes(_two_nodes: TwoNodes) -> TwoNodes:
    """A cluster of two nodes, both whole."""
    _two_nodes.make_whole()
    return _two_nodes


@pytest.fixture
def head_alone(_two_nodes: TwoNodes) -> TwoNodes:
    """The cluster without its second node, which the test starts in a way of its own."""
    _two_nodes.kill_second()
    return _two_nodes


_DENYING = """
from fsspec.implementations.local import LocalFileSystem

class Denying(LocalFileSystem):
    protocol = "denying"

    def unstrip_protocol(self, name):
        return "denying://" + name

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("denying://")

    def cat_file(self, path, **_):
        raise PermissionError(13, "Access Denied", path)
"""


@pytest.fixture(scope="session")
def storages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Python with a storage that lists photos and gives none."""
    folder = tmp_path_factory.mktemp("storages")
    (folder / "denying.py").write_text(_DENYING)
    package = folder / "denying-1.dist-info"
    package.mkdir()
    (package / "entry_points.txt").write_text("[fsspec.specs]\ndenying = denying:Denying\n")
    (package / "METADATA").write_text("Name: denying\nVersion: 1\n")
    return folder


@pytest.fixture
def denying(storages: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The protocol of that storage, which `local_cluster` and this process know."""
    import fsspec

    monkeypatch.syspath_prepend(str(storages))
    fsspec.register_implementation("denying", "denying.Denying", clobber=True)
    return "denying"


@pytest.fixture(scope="session")
def local_cluster(storages: Path) -> Iterator[str]:
    """The address of a cluster of one node with two processors."""
    mark = secrets.token_hex(8)
    with short_folder() as folder:
        port = _free_port()
        command = [*RAY, "start", "--head", f"--port={port}", "--num-cpus=2", STORE,
                   f"--temp-dir={folder}", "--include-dashboard=false",
                   "--disable-usage-stats"]  # fmt: skip
        environment = {**os.environ, **_ENVIRONMENT, MARK: mark, "PYTHONPATH": str(storages)}
        try:
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True, timeout=60
            )
            node = re.search(r"Local node IP: ([\d.]+)", done.stdout + done.stderr)
            assert node is not None
            yield f"{node[1]}:{port}"
        finally:
            for pid in _marked(mark):
                kill(pid)


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _marked(mark: str) -> list[int]:
    """Processes that inherited a mark."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in place.read_bytes():
                found.append(int(place.parent.name))
    return found
