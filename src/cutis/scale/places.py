"""How many workers or trials a cluster has room for, and what each gets and sees."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutis.errors import InputError


@dataclass(frozen=True)
class Places:
    """So many, with `threads` processors each, and a GPU where `gpu` is set."""

    count: int
    threads: int
    gpu: bool

    @property
    def resources(self) -> dict[str, float]:
        """Of each, as Ray names them."""
        return {"CPU": float(self.threads)} | ({"GPU": 1.0} if self.gpu else {})


@dataclass(frozen=True)
class Room:
    """The processors and GPUs of each node that is alive."""

    cpus: tuple[int, ...]
    gpus: tuple[int, ...]

    @property
    def most(self) -> int:
        """One a GPU, or else one a processor."""
        return sum(self.gpus) or sum(self.cpus)

    @property
    def nodes(self) -> int:
        """One a GPU, or else one a node that has processors."""
        return sum(self.gpus) or sum(count > 0 for count in self.cpus)

    def places(self, count: int) -> Places:
        """The same number of processors for each, as many as there are."""
        gpu = sum(self.gpus) > 0
        on_node = self.gpus if gpu else [min(1, processors) for processors in self.cpus]
        each = [cpus // n for cpus, n in zip(self.cpus, on_node, strict=True) if n]
        threads = max(1, min(each, default=1))
        while threads > 1 and sum(cpus // threads for cpus in self.cpus) < count:
            threads -= 1
        return Places(count, threads, gpu)

    def wanted(self, count: int, address: str) -> Places:
        """Places for what the user wants; InputError where there is no room for them."""
        if count < 1:
            raise InputError(f"{count} workers are not possible", expected="1 or more")
        if count > self.most:
            raise InputError(
                f"{count} workers are too many for this cluster",
                where=address,
                expected=f"up to {self.most}, one a {'GPU' if sum(self.gpus) else 'processor'}",
                fix="give fewer --workers, or leave the option out",
            )
        return self.places(count)


def room() -> Room:
    """What the cluster has now."""
    import ray

    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in known if node["Alive"]]
    cpus, gpus = ([int(node.get(kind, 0)) for node in nodes] for kind in ("CPU", "GPU"))
    return Room(tuple(cpus), tuple(gpus))


def require_seen(folder: Path, holding: str = ".") -> None:
    """Raises InputError where this node does not see a folder, and in it what the others see."""
    from ray.util import get_node_ip_address

    if not (folder / holding).is_dir():
        node: str = get_node_ip_address()  # type: ignore[no-untyped-call]
        raise InputError(
            f"the node {node} does not see the folder",
            where=folder,
            expected="a folder that all nodes see at the same place",
            fix="mount it there, or use a shared folder for the catalog and the run",
        )
