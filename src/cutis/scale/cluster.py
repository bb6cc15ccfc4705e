"""A Ray cluster to work on: joined or started, checked, and its failures in clear words."""

import contextlib
import copy
import errno
import logging
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cutis import __version__
from cutis.errors import CutisError, InputError, MissingDependencyError

LOCAL = "local"

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
_NODE = re.compile(r"\b(?:IP: |ip=)([0-9a-fA-F.:]+[0-9a-fA-F])")

_JOIN_SECONDS = 40.0
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

# Before Ray is imported. Nothing goes to anybody but the nodes; Ray's own lines are for its logs,
# and what the user needs of them is raised.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_py_gcs_connect_timeout_s": "5",
    "RAY_NUM_REDIS_GET_RETRIES": "10",  # tries to reach the head, a second apart
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


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
    answers or this computer is no node, and for nodes that do not fit or do not answer. What goes
    wrong on the cluster within the block is raised in clear words, see `clear_errors`.
    """
    if address != LOCAL:
        _probe(address)
    ray = _import_ray()
    if address != LOCAL:
        _rehearse(address)
    try:
        _join(ray, address)
        with clear_errors(address):
            yield _checked(ray, address)
    finally:
        ray.shutdown()


@contextlib.contextmanager
def clear_errors(address: str) -> Iterator[None]:
    """Turns what Ray raises into Cutis's errors; those of Cutis on a node come out as they are.

    A full disk, exhausted memory, lost workers and a lost connection become InputErrors that name
    the node where it is known. Other errors of a node are bugs and come out as Ray tells them.
    """
    import ray.exceptions as failures
    from ray.data.exceptions import ExecutionTimeoutError, SystemException

    try:
        yield
    except (failures.RayError, ExecutionTimeoutError, SystemException) as error:
        raise _clear(error, address) from error


def _import_ray() -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ray":
            raise MissingDependencyError("ray", EXTRA) from error
        raise
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Its news of lost workers, which are replaced, would stand among the answers on stdout.
    ray._private.worker.print_to_stdstream = _say_nothing
    return ray


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
    answers = {
        node: ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        for node in nodes
    }
    waiting = {nodes[node]: answer.remote() for node, answer in answers.items()}
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


def _clear(error: Exception, address: str) -> CutisError:
    """What to raise for an error of Ray; itself where it is a bug's."""
    import ray.exceptions as failures
    from ray.data.exceptions import ExecutionTimeoutError

    cause = getattr(error, "cause", None)
    if isinstance(cause, CutisError):
        return _restored(cause)
    node = _node_of(error, address)
    kinds = (error, cause)
    if _any(kinds, failures.OutOfDiskError) or _is_full_disk(cause):
        return InputError(
            "the disk of a node is full",
            where=node,
            fix="free some space there, then run the same command again",
        )
    memory = _any(kinds, failures.OutOfMemoryError, failures.ObjectStoreFullError, MemoryError)
    if memory or "OutOfMemory" in str(error) or "low on memory" in str(error):
        return InputError(
            "a node ran out of memory",
            where=node,
            fix="start the nodes with a smaller --num-cpus, which is the number of workers, or "
            "give them more memory; then run the same command again",
        )
    if isinstance(error, failures.RayTaskError):
        raise error  # neither the input nor the cluster: its traceback is wanted
    if _any(kinds, ExecutionTimeoutError, failures.GetTimeoutError):
        return InputError(
            "the cluster makes no progress",
            where=address,
            expected="a node with a free processor that answers",
            fix="look at `ray status`: other work may hold all processors, or nodes were lost",
        )
    return InputError(
        f"workers of the cluster were lost again and again ({_first_line(error)})",
        where=node,
        fix="look at `ray status` and at the nodes' logs, then run the same command again",
    )


def _restored(error: CutisError) -> CutisError:
    """An error as it was raised: Ray adds words of its own to the message."""
    fresh = copy.copy(error)
    CutisError.__init__(
        fresh, error.problem, where=error.where, expected=error.expected, fix=error.fix
    )
    return fresh


def _any(errors: tuple[object, ...], *kinds: type[BaseException]) -> bool:
    return any(isinstance(error, kinds) for error in errors)


def _is_full_disk(error: object) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def _node_of(error: Exception, address: str) -> str:
    named = _NODE.search(str(error))
    return named[1] if named else address


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).strip()
