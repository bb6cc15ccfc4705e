"""`train` on a cluster: Ray Train runs the same training on several workers at once.

Each worker takes its piece of every batch and PyTorch's DistributedDataParallel averages the
gradients, so that batches, seeds and steps are those of one machine. The run's folder is on a path
that all nodes see, and the checkpoint in it is the one that goes on.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from cutis.data.catalog import Catalog
from cutis.data.splits import load_split
from cutis.errors import CutisError, InputError
from cutis.recipes import AnyRecipe, Recipe, load_any_recipe
from cutis.scale.batch_norm import shared_statistics
from cutis.scale.cluster import Cluster, connected, variables
from cutis.scale.failures import STALL_SECONDS, clear_errors, lost_again, no_progress
from cutis.scale.places import Places, require_seen, room
from cutis.scale.waiting import waited
from cutis.training.job import TrainingJob
from cutis.training.run import HISTORY, Run, load_run
from cutis.training.segmentation import SegmenterRun
from cutis.training.segmentation.run import load_segmenter_run

T = TypeVar("T")

FAILURES = 3
"""Losses of a worker in a row, without an epoch between them, that a training survives."""

CONNECT_SECONDS = 60
STEP_SECONDS = 600  # a worker may wait so long for the others within an epoch

# Of one try to place the workers. What they need was counted before, but other work may hold it,
# or a node may be lost that is still counted; then it is counted again.
_PLACING = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20"}
_NO_PLACE = "WorkerGroupStartupTimeoutError"

_OF_CONNECTIONS = ("gloo", "nccl", "connection", "timed out", "peer")

_STATE = ".cutis-ray"  # in the run's folder while Ray Train works
_BEGUN = "begun"  # in there once a worker does


def train_on_cluster(
    recipe: str | Path | AnyRecipe,
    data: Path,
    out: Path,
    cluster: str,
    *,
    split: str = "default",
    weights: str = "imagenet",
    segmenter: Path | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    interface: str | None = None,
) -> Run | SegmenterRun:
    """What `cutis.training.train.train` does, on a cluster; the run is the same within rounding.

    A worker or a node that is lost costs the epoch under way: the training goes on from its last
    checkpoint, with fewer workers where a node does not come back.

    Args:
        data, out: on a path that all nodes see.
        cluster: HOST:PORT of the head, or "local".
        workers: how many; None: one a GPU, or where there is none, one a node.
        interface: of the network between the nodes; None: the one of the nodes' addresses.

    Raises as `train` and `cutis.scale.cluster.connected` do, and InputError for more workers than
    processors or GPUs, for a wrong interface, for folders that a node does not see, where other
    work holds the processors for STALL_SECONDS, and where workers were lost again and again.
    """
    plan = load_any_recipe(recipe, overrides) if isinstance(recipe, str | Path) else recipe
    load_split(Catalog.open(data), split)  # what is not there is said at once
    job = TrainingJob(plan, data, out, split, weights, segmenter).anywhere()
    _clear_up(job.out)  # after a kill
    try:
        with variables(_PLACING), connected(cluster) as found:
            _fit(found, job, workers, interface)
    finally:
        _clear_up(job.out)
    return load_run(out) if isinstance(plan, Recipe) else load_segmenter_run(out)


def _clear_up(out: Path) -> None:
    """Removes what Ray Train keeps in a run's folder, and the folder where nothing was begun."""
    shutil.rmtree(out / _STATE, ignore_errors=True)
    with contextlib.suppress(OSError):
        out.rmdir()


def _fit(found: Cluster, job: TrainingJob, wanted: int | None, interface: str | None) -> None:
    """Trains to the end, with what is left of the cluster after each loss."""
    from ray.train import TrainingFailedError

    now = room()
    places = now.wanted(now.nodes if wanted is None else wanted, found.address)
    lost = 0
    placed = time.monotonic()
    with _shown_epochs(job) as epochs:
        while True:
            before = epochs()
            try:
                _wait(_trainer(job, places, interface).fit, job, found.address)
                return
            except TrainingFailedError as error:
                cause = _cause(error)
            if not _is_of_places(cause):
                lost = lost + 1 if epochs() == before else 1
                placed = time.monotonic()
            stalled = time.monotonic() - placed > STALL_SECONDS
            if not _is_loss(cause) or lost > FAILURES or stalled:
                _raise_clear(cause, found.address)
            now = room()
            left = now.nodes if wanted is None else min(wanted, now.most)
            places = now.places(max(1, left))


def _trainer(job: TrainingJob, places: Places, interface: str | None) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    from cutis.scale.torch_setup import TorchSetup, Trainer

    return Trainer(
        _work,
        train_loop_config={"job": job, "threads": places.threads},
        scaling_config=ScalingConfig(
            num_workers=places.count,
            use_gpu=places.gpu,
            resources_per_worker=places.resources,
            placement_strategy="SPREAD",
        ),
        # what failed is looked at here, for a mistake in the recipe is not worth a second try
        run_config=RunConfig(
            name=_STATE,
            storage_path=str(job.out),
            failure_config=FailureConfig(
                max_failures=0,
                controller_failure_limit=0,  # type: ignore[call-arg]
            ),
        ),
        torch_config=TorchSetup(timeout_s=CONNECT_SECONDS, interface=interface),
    )


def _work(told: dict[str, Any]) -> None:
    """What each worker does."""
    job: TrainingJob = told["job"]
    require_seen(job.data)
    require_seen(job.out, _STATE)
    (job.out / _STATE / _BEGUN).touch()
    torch.set_num_threads(told["threads"])
    job.run(workers=TrainWorkers())


class TrainWorkers:
    """The workers of Ray Train, as the training loop knows them."""

    def __init__(self) -> None:
        self.number, self.count = dist.get_rank(), dist.get_world_size()
        patience = timedelta(seconds=STEP_SECONDS)
        self._gradients = dist.new_group(timeout=patience)
        self._sums = dist.new_group(timeout=patience)
        self._device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")

    @contextlib.contextmanager
    def joined(self, network: nn.Module) -> Iterator[nn.Module]:
        with shared_statistics(network, self.total):
            yield DistributedDataParallel(network, process_group=self._gradients)

    def total(self, values: Tensor) -> Tensor:
        summed = values.detach().to(self._device, copy=True)
        dist.all_reduce(summed, group=self._sums)
        return summed.to(values.device)

    def first(self, work: Callable[[], T]) -> T:
        from ray.train.collective import barrier

        # Ray's barrier waits as long as the leader works; that of PyTorch gives up
        if self.number != 0:
            barrier()
        result = work()
        if self.number == 0:
            barrier()
        barrier()
        return result

    def told(self, value: T) -> T:
        from ray.train.collective import broadcast_from_rank_zero

        leaders: T = broadcast_from_rank_zero(value)
        return leaders


def _wait(work: Callable[[], object], job: TrainingJob, address: str) -> None:
    """Runs Ray Train; InputError where no worker begins.

    Ray waits without end for one whose node is lost while it starts.
    """
    begun = job.out / _STATE / _BEGUN
    begun.unlink(missing_ok=True)
    until = time.monotonic() + STALL_SECONDS

    def look() -> None:
        if time.monotonic() > until and not begun.exists():
            raise no_progress(address)

    waited(work, address, look)


@contextlib.contextmanager
def _shown_epochs(job: TrainingJob) -> Iterator[Callable[[], int]]:
    """Shows the epochs on a bar, and gives a function that counts them."""
    done = threading.Event()

    def epochs() -> int:
        with contextlib.suppress(OSError, pd.errors.EmptyDataError):
            return len(pd.read_csv(job.out / HISTORY))
        return 0

    def watch() -> None:
        total = sum(stage.epochs for stage in job.recipe.stage)
        with tqdm(total=total, desc="training", unit="epoch", disable=None) as bar:
            while not done.wait(1.0):
                bar.update(epochs() - bar.n)
            bar.update(epochs() - bar.n)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield epochs
    finally:
        done.set()
        watcher.join()


def _cause(error: Exception) -> Exception:
    """What lies at the bottom of an error of Ray Train: a mistake before what came of it."""
    failures = getattr(error, "worker_failures", None)
    under = list(failures.values()) if failures else [getattr(error, "controller_failure", error)]
    causes = [getattr(one, "health_check_failure", getattr(one, "cause", one)) for one in under]
    return min(causes, key=_is_loss)


def _is_loss(cause: Exception) -> bool:
    """Whether a worker was lost, or has lost the others; else it made a mistake."""
    from ray.exceptions import RayError, RayTaskError

    if isinstance(cause, RayTaskError | CutisError):
        return False
    if isinstance(cause, RuntimeError):
        return any(word in str(cause).lower() for word in _OF_CONNECTIONS)
    return isinstance(cause, RayError) or _is_of_train(cause)


def _is_of_train(cause: Exception) -> bool:
    """Whether Ray Train could not start its workers, or does not hear of one."""
    return type(cause).__module__.startswith("ray.train")


def _is_of_places(cause: Exception) -> bool:
    """Whether Ray Train found no place for its workers in time."""
    return type(cause).__name__ == _NO_PLACE


def _raise_clear(cause: Exception, address: str) -> NoReturn:
    if _is_of_places(cause):
        raise no_progress(address) from cause
    if isinstance(cause, RuntimeError) and _is_loss(cause):
        raise InputError(
            "the workers do not reach each other",
            where=address,
            expected="a network interface that leads from every node to every other",
            fix="name another by --interface, and check the firewall between the nodes",
        ) from cause
    if _is_of_train(cause):
        raise lost_again(cause, address) from cause
    with clear_errors(address):
        raise cause
    raise AssertionError  # the block has raised
