"""Work on photos in blocks by Ray Data: in parallel, in order, in bounded memory."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from cutis.data.remote import is_url
from cutis.errors import InputError
from cutis.scale.cluster import Cluster
from cutis.scale.failures import STALL_SECONDS, clear_errors
from cutis.scale.waiting import waited

Work = Callable[[list[str]], pa.Table]
"""Some photos, paths or URLs, to a table of one row each in their order."""

BLOCK = 80
"""Photos of a block, which is what a lost worker costs; it takes seconds."""

_WAVE = 500_000  # photos whose paths lie in the cluster's memory at a time
_TRIES = 4  # times that a process is started anew
_PHOTO, _NODE = "photo", "node"


def map_blocks(
    cluster: Cluster, photos: Sequence[str], open_work: Callable[[], Work]
) -> Iterator[tuple[pa.Table, str]]:
    """The rows of each block of photos in order, and the node that made them.

    Args:
        photos: paths that all nodes see, or URLs.
        open_work: called once in each process of the cluster, one for a processor.

    What a lost process or node had in hand is done again by another. As many blocks are ahead of
    the caller as Ray Data's back-pressure allows. Raises what `open_work` and the work raise, and
    InputError as `clear_errors` does.
    """
    for start in range(0, len(photos), _WAVE):
        yield from _wave(cluster, photos[start : start + _WAVE], open_work)


def _wave(
    cluster: Cluster, photos: Sequence[str], open_work: Callable[[], Work]
) -> Iterator[tuple[pa.Table, str]]:
    import ray.data

    _set_up(ray.data.DataContext.get_current())
    blocks = [photos[start : start + BLOCK] for start in range(0, len(photos), BLOCK)]
    # Unlike from_arrow, this asks no processor of the cluster, which may have none free.
    given = ray.data.from_blocks([pa.table({_PHOTO: list(block)}) for block in blocks])
    with warnings.catch_warnings():
        # Deprecated without another way: by default a process that always dies is always replaced.
        warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
        rows = given.map_batches(
            _Worker,
            fn_constructor_args=(open_work,),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=cluster.cpus, initial_size=cluster.cpus
            ),
            max_restarts=_TRIES,
            # While a dead node is not yet given up each retry fails at once; restarts bound them.
            max_task_retries=-1,
        )
    with clear_errors(cluster.address):
        made = iter(rows.iter_batches(batch_size=None, batch_format="pyarrow"))
        for block in blocks:
            table = waited(partial(next, made), cluster.address)
            if table.column(_PHOTO).to_pylist() != list(block):
                raise RuntimeError("the cluster gave other rows than those asked for")
            node = table.column(_NODE)[0].as_py()
            yield table.drop_columns([_PHOTO, _NODE]), node


def _set_up(context: Any) -> None:
    context.execution_options.preserve_order = True
    context.execution_no_progress_timeout_s = STALL_SECONDS
    context.raise_original_map_exception = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False


class _Worker:
    """A process of the cluster; it opens its work with the first block."""

    def __init__(self, open_work: Callable[[], Work]) -> None:
        self._open_work = open_work
        self._work: Work | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        from ray.util import get_node_ip_address

        # Not in __init__, where Ray would tell of its errors in words alone.
        if self._work is None:
            self._work = self._open_work()
        photos = block.column(_PHOTO).to_pylist()
        rows = self._work(photos)
        own = get_node_ip_address()  # type: ignore[no-untyped-call]
        node = pa.array([own] * len(photos))
        return rows.append_column(_PHOTO, block.column(_PHOTO)).append_column(_NODE, node)


def refuse_unread(
    photos: Sequence[str],
    problems: Sequence[str | None],
    node: str,
    reads: Callable[[str], bool],
) -> None:
    """Raises InputError where a node could not read a photo that this computer reads.

    A node's rights, or its mount, must not set a good photo aside.

    Args:
        problems: of the photos on the node; None for one that it has read.
        reads: whether this computer reads a photo.
    """
    for photo, problem in zip(photos, problems, strict=True):
        if problem is not None and reads(photo):
            stored = is_url(photo)
            raise InputError(
                f"the node {node} does not see the photo as this computer does ({problem})",
                where=photo,
                expected="the same storage, endpoint and credentials on every node"
                if stored
                else "a folder that all nodes see, and may read, at the same place",
                fix="set there what is set here, and start the node again"
                if stored
                else "mount it there, or copy the photos to a shared folder or a bucket",
            )
