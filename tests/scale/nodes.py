"""Two nodes of Ray in network namespaces of this computer, for tests and benchmarks."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
PORT = 6399
HEAD, SECOND = "10.211.0.1", "10.211.0.2"
_WORKS = re.compile("ray::(MapWorker|RayTrainWorker|ImplicitFunc)")  # of Ray Data, Train, Tune
STORE = "--object-store-memory=100000000"
NO_LOGS = "--include-log-monitor=false"  # which nobody reads
HEAD_OPTIONS = ["--include-dashboard=false", "--no-monitor"]  # nothing is scaled

# A lost node is noticed in seconds, and a busy machine is not yet a lost node. Workers are as
# nice as the tests beside them: by Ray's niceness of 15 they get a thirtieth of a processor that
# one other process wants.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_worker_niceness": "0",
    "OMP_NUM_THREADS": "1",
}

HANG = 240.0
"""Seconds after which something never ends, fewer than a test has; no measure of time."""


_PAUSING = """
import os, sys, time
from pathlib import Path
from cutis.cli import run
from cutis.training.job import TrainingJob

folder, anywhere = Path(sys.argv[1]), TrainingJob.anywhere

class Pausing(TrainingJob):
    def run(self, watch=None, **more):
        def pause(history):
            if watch is not None:
                watch(history)
            (folder / f"began-{os.getpid()}").touch()
            while not (folder / "go on").exists():
                time.sleep(0.05)
        return super().run(pause, **more)

TrainingJob.anywhere = lambda self: Pausing(**vars(anywhere(self)))
sys.exit(run(sys.argv[2:]))
"""


@dataclass
class TwoNodes:
    """Two nodes of a cluster in two network namespaces."""

    folder: Path
    name: str = field(default_factory=lambda: f"ct{os.getpid()}")
    environment: dict[str, str] = field(
        default_factory=lambda: {
            **os.environ,
            **ENVIRONMENT,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
        }
    )
    address: str = f"{HEAD}:{PORT}"
    cpus: int = 1  # of each node
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
            *HEAD_OPTIONS,
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
        command += [
            *RAY,
            "start",
            f"--num-cpus={self.cpus}",
            STORE,
            NO_LOGS,
            "--disable-usage-stats",
            *options,
        ]
        subprocess.run(
            command,
            env={**self.environment, **more},
            check=True,
            capture_output=True,
            timeout=60,
        )

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """A command line of Cutis beside the head, under way."""
        return self.start_process(["-m", "cutis", *map(str, arguments)], environment)

    def run(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command line of Cutis beside the head; TimeoutExpired if it hangs."""
        return finish(self.start(*arguments, **environment))

    def python(
        self, code: str, *arguments: object, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A script beside the head; TimeoutExpired if it hangs."""
        return finish(self.start_python(code, *arguments, **environment))

    def start_python(
        self, code: str, *arguments: object, **environment: str
    ) -> subprocess.Popen[str]:
        """A script beside the head, under way."""
        return self.start_process(["-c", code, *map(str, arguments)], environment)

    def start_process(
        self, words: list[str], environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[str]:
        """Python beside the head with these words, under way."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.head, sys.executable, *words],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pids(self) -> list[int]:
        """All processes of both nodes."""
        return [pid for space in (self.head, self.second) for pid in _processes(space)]

    def workers(self, space: str) -> list[int]:
        """Processes of a node that work for Cutis; Ray has others of its own beside them."""
        return [pid for pid in _processes(space) if _WORKS.match(_command(pid))]

    def kill_worker(self) -> None:
        """kill -9 for a process of the second node that works, once there is one."""
        found: list[int] = []
        wait_for(lambda: found.extend(self.workers(self.second)) or found)
        for pid in found:
            kill(pid)

    def kill_second(self) -> None:
        """kill -9 for the whole second node."""
        self.whole = False
        for pid in _processes(self.second):
            kill(pid)

    def kill_head(self) -> None:
        """kill -9 for the head's own process; its node and its workers live on."""
        for pid in _processes(self.head):
            if "gcs_server" in _command(pid):
                kill(pid)

    def cut(self) -> None:
        """Pulls the cable."""
        self.whole = False
        _ip("-n", self.second, "link", "set", f"v{self.second}", "down")

    def run_while_killing(
        self, folder: Path, pausing: int, *arguments: object
    ) -> subprocess.CompletedProcess[str]:
        """A command line that trains; the worker of the second node is killed in its first epoch.

        Args:
            folder: where workers say that they have begun, and wait until it is done.
            pausing: how many do; of a training the leader alone, for which the others wait.
        """
        process = self.start_python(_PAUSING, folder, *arguments)
        wait_for(lambda: len([*folder.glob("began-*")]) == pausing or process.poll() is not None)
        if process.poll() is None:
            self.kill_worker()
            (folder / "go on").touch()
        return finish(process)

    def make_whole(self) -> None:
        """Both nodes as at the start, whatever a test has done to the second."""
        if not (self.whole and self._second_lives):
            self.kill_second()
            _ip("-n", self.second, "link", "set", f"v{self.second}", "up")
            self.start_second()
            self.whole = True

    @property
    def _second_lives(self) -> bool:
        """Whether it runs; on a machine that stands still for seconds the head gives it up."""
        return any("raylet" in _command(pid) for pid in _processes(self.second))

    @property
    def clearing(self) -> str:
        """Shell commands that leave nothing behind."""
        spaces = f"{self.head} {self.second}"
        return (
            f"for s in {spaces}; do ip netns pids $s | xargs -r kill -9; ip netns del $s; done; "
            f"rm -rf {self.folder}"
        )


def finish(
    process: subprocess.Popen[str], timeout: float = HANG
) -> subprocess.CompletedProcess[str]:
    """Waits for a process; kills it and raises TimeoutExpired if it hangs."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(ready: Callable[[], object], timeout: float = HANG) -> None:
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


def hold_processors(count: int) -> Any:
    """Another's work on the cluster that this process has joined, to be ended by `ray.kill`."""
    import ray

    @ray.remote(num_cpus=count)
    class Other:
        def works(self) -> bool:
            return True

    other = Other.remote()
    assert ray.get(other.works.remote(), timeout=HANG)
    return other


@contextlib.contextmanager
def afterwards(commands: str) -> Iterator[None]:
    """Runs shell commands when the block ends, or this process, in whatever way."""
    # It waits for the end of its input, of which this process alone holds the other end.
    shell = subprocess.Popen(
        ["sh", "-c", f"read _; {commands}"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert shell.stdin is not None
        shell.stdin.close()
        shell.wait(30)


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short name, as Ray's sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="cutis-ray-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
