"""The workers that train one network together, each in a process that runs the same loop.

A batch is the same however many they are: its photos are divided among them, and what they find
is put together before a step is taken. On one machine there is one worker, and all of this does
nothing.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

from torch import Tensor, nn

T = TypeVar("T")


class Workers(Protocol):
    """This worker among all of a training.

    Every worker calls these methods in the same order, for each waits for the others.

    Attributes:
        number: of this worker, from 0. Worker 0 leads: it alone writes the run.
        count: of all workers.
    """

    @property
    def number(self) -> int: ...

    @property
    def count(self) -> int: ...

    def joined(self, network: nn.Module) -> AbstractContextManager[nn.Module]:
        """The network as all train it, in place, with equal weights and batch statistics.

        Its gradients come out as the mean of those of the workers.
        """

    def total(self, values: Tensor) -> Tensor:
        """The sum of the workers' tensors, the same on every worker."""

    def first(self, work: Callable[[], T]) -> T:
        """The result of work that writes or reads files.

        The leader does it before the others do, and nobody goes on before all have done it.
        """

    def told(self, value: T) -> T:
        """The leader's value: a folder that all see may look older from another computer."""


class OneWorker:
    """All of it alone."""

    number = 0
    count = 1

    def joined(self, network: nn.Module) -> AbstractContextManager[nn.Module]:
        return nullcontext(network)

    def total(self, values: Tensor) -> Tensor:
        return values

    def first(self, work: Callable[[], T]) -> T:
        return work()

    def told(self, value: T) -> T:
        return value


ALONE = OneWorker()


def share(workers: Workers, weight: Tensor) -> Tensor:
    """What a worker's mean loss counts in that of the whole batch; all shares add up to 1.

    Args:
        weight: of the worker's photos, a single number; their count, where all count the same.
    """
    return weight / workers.total(weight)


def is_divided(workers: Workers, batch: slice) -> bool:
    """Whether a batch has a photo for every worker."""
    photos: int = batch.stop - batch.start
    return photos >= workers.count


def piece(workers: Workers, batch: slice) -> slice:
    """The photos of a batch that this worker computes: consecutive ones, as even as may be.

    A batch of fewer photos than workers is computed as a whole by each of them.
    """
    if not is_divided(workers, batch):
        return batch
    photos, number = batch.stop - batch.start, workers.number
    first, end = photos * number // workers.count, photos * (number + 1) // workers.count
    return slice(batch.start + first, batch.start + end)


def portion(workers: Workers, parts: Sequence[slice]) -> Sequence[slice]:
    """The parts of a work that fall to this worker."""
    return parts[workers.number :: workers.count]
