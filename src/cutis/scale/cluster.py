"""A Ray cluster to work on: joined or started, and checked."""

import atexit
import contextlib
import logging
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cutis import __version__
from cutis.errors import InputError, MissingDependencyError
from cutis.scale.failures import clear_errors
from cutis.scale.waiting import LOCAL, answers, still_working

EXTRA = "cluster"

# Pixels, hashes and answers may differ by a digit from one version of these to another.
_DECODERS = {
    "Pillow": "pillow",
    "NumPy": "numpy",
    "OpenCV": "opencv-python-headless",
    "ONNX Runtime": "onnxruntime",
    "PyTorch": "torch",
}

_PROBE_SECONDS = 5.0
_ANSWER_SECONDS = 60.0  # the first process of a node starts in a few seconds

_ADDRESS = re.compile(r"(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")

_JOIN_SECONDS = 40.0
_LEAVE_SECONDS = 5.0
_END_SECONDS = 15.0  # for work that nobody waits for any more
_REHEARSAL = """
import ray, sys
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="CRITICAL")
except Exception as error:
    while error.__cause__:
        error = error.__cause__
    print(error)
    sys.exit(3)
"""
_UNABLE = 3  # how it ends with an error of Python's

# The client's part of RFC 9113, section 3.4: the preface and a frame of no settings.
_SETTINGS_FRAME = 4
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS_FRAME, 0, 0, 0, 0, 0])

# Nothing goes to anybody but the nodes; Ray's own lines are for its logs, and what the user needs
# of them is raised. The two of attempts are read once in a process, when Ray is imported; the
# others whenever it starts.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_py_gcs_connect_timeout_s": "5",
    "RAY_NUM_REDIS_GET_RETRIES": "10",  # tries to reach the head, a second apart
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_OF_RAY = ("RAY_", "TUNE_", "PYTHONBREAKPOINT")

_leaving: list[threading.Thread] = []  # clusters whose head was lost


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process has joined; `address` is as the user named it."""

    address: str
    nodes: tuple[str, ...]  # addresses of the nodes, this one among them
    cpus: int


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Joins a cluster for the time of the block, or starts one node on this computer.

    Args:
        address: HOST:PORT of the head, or "local". This computer must be a node of the cluster.

    All nodes must have this computer's versions of Python, Ray and Cutis. Raises
    MissingDependencyError without Ray and InputError for an address that is none, where no cluster
    answers or this computer is no node, for nodes that do not fit or do not answer, and where this
    process uses Ray already. What goes wrong on the cluster within the block is raised in clear
    words, by `clear_errors`.

    From then on only `ray.init` joins a cluster in this process; by itself Ray would join any that
    it finds, for a thread that works on when its cluster is left.
    """
    with variables(_SETTINGS):
        if address != LOCAL:
            _probe(address)
        ray = _import_ray()
        if ray.is_initialized():
            raise InputError(
                "Ray is already in use in this process",
                where=address,
                fix="call ray.shutdown() first; after the loss of a head start the program again",
            )
        if address != LOCAL:
            _rehearse(address)
        with _quiet(ray):
            try:
                _join(ray, address)
                with clear_errors(address):
                    yield _checked(ray, address)
            finally:
                _leave(ray, address)


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables that the user has not set, and takes them back after the block.

    So it does with those that Ray sets itself. One of them is RAY_AUTH_MODE, which would decide for
    the next cluster too.
    """
    before = set(os.environ)
    for name, value in values.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name in set(os.environ) - before:
            if name.startswith(_OF_RAY):
                del os.environ[name]


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
        from ray._private import auto_init_hook
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ray":
            raise MissingDependencyError("ray", EXTRA) from error
        raise
    auto_init_hook.enable_auto_connect = False
    return ray


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Without Ray's own lines.

    Its news of lost workers, which are replaced, would stand among the answers on stdout.
    """
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    worker = ray._private.worker
    prints = worker.print_to_stdstream
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        worker.print_to_stdstream = _say_nothing
        yield
    finally:
        worker.print_to_stdstream = prints
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _say_nothing(*_: object, **__: object) -> None:
    """In place of what prints for Ray."""


def _probe(address: str) -> None:
    """Looks who answers at the port before Ray does, which tries for minutes and says little."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > 65_535:
        raise InputError(
            f"'{address}' is no address of a cluster",
            expected="HOST:PORT of the head, such as 10.0.0.5:6379, or local",
            fix="take the address that `ray start --head` has printed",
        )
    try:
        host = found["host"].strip("[]")
        with socket.create_connection((host, int(found["port"])), _PROBE_SECONDS) as head:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                head.sendall(_HELLO)
                _expect_settings(head)
    except OSError as error:
        raise InputError(
            f"no cluster answers ({error.strerror or error})",
            where=address,
            expected="the head of a Ray cluster",
            fix="check address and firewall, and that `ray start --head` runs there",
        ) from error


def _expect_settings(head: socket.socket) -> None:
    """What Ray speaks, gRPC, is HTTP/2, where the server begins with a frame of settings."""
    frame = b""
    while len(frame) < 9:
        received = head.recv(9 - len(frame))
        if not received:
            raise OSError("another server is there")
        frame += received
    if frame[3] != _SETTINGS_FRAME:
        raise OSError("another server is there")


def _rehearse(address: str) -> None:
    """Joins in a process of its own first.

    Ray may wait for minutes, and ends the process on a computer that is not a node.
    """
    command = [sys.executable, "-c", _REHEARSAL, address]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_JOIN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(address, f"no answer within {_JOIN_SECONDS:.0f} s") from error
    if done.returncode == _UNABLE:
        raise _refused(address, done.stdout)
    if done.returncode != 0:
        raise InputError(
            "this computer is not a node of the cluster",
            where=address,
            expected="a command that is given on one of the nodes",
            fix=f"run `ray start --address={address} --num-cpus=0` here first",
        )


def _refused(address: str, said: str) -> InputError:
    said = " ".join(said.split())
    if "ersion mismatch" in said:
        return InputError(
            "this computer and the cluster have different versions of Ray or Python",
            where=address,
            expected=said,
            fix="install the same versions on all computers",
        )
    if "token" in said:
        return InputError(
            "the cluster refuses this computer's token, or the lack of one",
            where=address,
            fix="set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what the head has in "
            "~/.ray/auth_token",
        )
    return InputError(
        f"the cluster cannot be joined ({said})",
        where=address,
        expected="the head of a Ray cluster",
        fix="check the address, and look at `ray status` there",
    )


def _join(ray: Any, address: str) -> None:
    here = {"include_dashboard": False} if address == LOCAL else {}
    try:
        with _silenced():
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **here)
        _keep_token_private()
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _refused(address, str(error)) from error


def _leave(ray: Any, address: str) -> None:
    lost = not answers(address)
    if not lost and not still_working(_END_SECONDS):
        ray.shutdown()
        return
    atexit.unregister(ray.shutdown)
    if lost:
        # Ray may wait for its head for ever, here and again at the end of the process.
        leaving = threading.Thread(target=ray.shutdown, daemon=True)
        _leaving.append(leaving)
        leaving.start()
        leaving.join(_LEAVE_SECONDS)
    # Work that goes on would crash within a Ray that is shut down; the cluster ends it when this
    # process ends.


def is_stuck() -> bool:
    """Whether Ray still works, or waits for a lost head; it may crash as the process ends."""
    return still_working(0) or any(leaving.is_alive() for leaving in _leaving)


def _keep_token_private() -> None:
    """Ray writes a new token for all of this computer to read."""
    token = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):
        if token.stat().st_mode & 0o077:
            token.chmod(0o600)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Without stderr: below Python Ray's attempts speak for themselves there, line by line."""
    kept = os.dup(2)
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def versions() -> dict[str, str]:
    """The versions that all nodes must share, by name."""
    import ray

    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "Ray": str(ray.__version__),
        "Cutis": __version__,
        **{name: _version(package) for name, package in _DECODERS.items()},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _checked(ray: Any, address: str) -> Cluster:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    own, ask = versions(), ray.remote(num_cpus=0, max_retries=1)(versions)
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    asked = {
        node: ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        for node in nodes
    }
    waiting = {nodes[node]: answer.remote() for node, answer in asked.items()}
    until = time.monotonic() + _ANSWER_SECONDS
    for node, answer in waiting.items():
        try:
            found = ray.get(answer, timeout=max(0.0, until - time.monotonic()))
        except ray.exceptions.GetTimeoutError as error:
            raise InputError(
                "a node of the cluster does not answer",
                where=node,
                expected=f"an answer within {_ANSWER_SECONDS:.0f} s",
                fix="check the node and its network, or take it out of the cluster",
            ) from error
        except ray.exceptions.RayTaskError as error:
            raise InputError(
                "Cutis does not run on a node of the cluster",
                where=node,
                expected=f"Cutis {__version__} on every node",
                fix=f"pip install 'cutis[{EXTRA}]=={__version__}' there and start the node again",
            ) from error
        for name, version in own.items():
            if found[name] != version:
                raise InputError(
                    f"a node of the cluster has another version of {name}: {found[name]}",
                    where=node,
                    expected=f"{name} {version}, as on this computer",
                    fix="install the same version on all nodes and start them again",
                )
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < 1:
        raise InputError(
            "the cluster has no processor to work on",
            where=address,
            fix="start its nodes with --num-cpus of 1 or more",
        )
    return Cluster(address, tuple(sorted(nodes.values())), cpus)
