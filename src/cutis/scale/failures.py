"""What goes wrong on a cluster, in clear words."""

import contextlib
import copy
import errno
import re
from collections.abc import Iterator

from cutis.errors import CutisError, InputError
from cutis.scale.waiting import answers, head_lost

STALL_SECONDS = 300.0
"""Without any progress for so long the work ends."""

_NODE = re.compile(r"\b(?:IP: |ip=)([0-9a-fA-F.:]+[0-9a-fA-F])")


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


def no_progress(address: str) -> InputError:
    """Where other work holds the processors, or nothing answers."""
    return InputError(
        "the cluster makes no progress",
        where=address,
        expected="nodes with free processors, or GPUs, that answer",
        fix="look at `ray status`: other work may hold them, or nodes were lost; then run the same "
        "command again",
    )


def lost_again(error: Exception, where: str) -> InputError:
    """Where workers die more often than by chance."""
    return InputError(
        f"workers of the cluster were lost again and again ({_first_line(error)})",
        where=where,
        fix="look at `ray status` and at the nodes' logs, then run the same command again",
    )


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
    if not answers(address):
        return head_lost(address)
    if _any(kinds, ExecutionTimeoutError, failures.GetTimeoutError):
        return no_progress(address)
    return lost_again(error, node)


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
