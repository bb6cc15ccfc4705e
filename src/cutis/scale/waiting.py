"""Waits for Ray, which by itself waits without end, or ends the process, when its head is lost."""

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from cutis.errors import InputError

T = TypeVar("T")

LOCAL = "local"

_EVERY = 5.0
_RAYS_LIMIT = "RAY_gcs_rpc_server_reconnect_timeout_s"
_ANSWER_SECONDS = 2.0


_begun: list[threading.Thread] = []


def waited(work: Callable[[], T], address: str, look: Callable[[], None] = lambda: None) -> T:
    """What work with Ray gives, done in another thread, so that Ray cannot take Ctrl-C for itself.

    Args:
        address: of the cluster, HOST:PORT or "local".
        look: called some times a second; what it raises ends the wait.

    Raises InputError where the head is lost: where it does not answer 5 times in a row, 5 s apart.
    For a head that may start again RAY_gcs_rpc_server_reconnect_timeout_s, by default 60, can be
    raised: at 600 it is 41 times.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    _begun.append(thread)
    # After so many seconds without its head Ray would end this process.
    limit = int(os.environ.get(_RAYS_LIMIT, "60"))
    looked, missed = time.monotonic(), 0
    while thread.is_alive():
        thread.join(0.2)
        look()
        if time.monotonic() - looked < _EVERY:
            continue
        missed = 0 if answers(address) else missed + 1
        if missed > limit // 15:
            raise head_lost(address)
        looked = time.monotonic()
    if failed:
        raise failed[0]
    return found[0]


def still_working(seconds: float) -> bool:
    """Whether work that nobody waits for any more goes on, after some seconds to end in."""
    until = time.monotonic() + seconds
    for thread in _begun:
        thread.join(max(0.0, until - time.monotonic()))
    _begun[:] = [thread for thread in _begun if thread.is_alive()]
    return bool(_begun)


def answers(address: str) -> bool:
    """Whether somebody listens where the head does; on this computer it is a child of this one."""
    if address == LOCAL:
        return True
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


def head_lost(address: str) -> InputError:
    """Without its head a cluster is gone."""
    return InputError(
        "the head of the cluster does not answer any more",
        where=address,
        fix="look at that computer and the network, start the cluster again where it is gone, then "
        "run the same command again",
    )
