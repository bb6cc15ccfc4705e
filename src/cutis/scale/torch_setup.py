"""How the workers of Ray Train connect with each other."""

from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch import TorchConfig, TorchTrainer

from cutis.scale.interface import use_interface

_CLEANER = "PlacementGroupCleanerCallback"


@dataclass
class TorchSetup(TorchConfig):
    """Ray's setup of PyTorch, with a network interface: a name, or None for the nodes' own."""

    interface: str | None = None

    @property
    def backend_cls(self) -> type:
        return _on_interface(super().backend_cls)


class Trainer(TorchTrainer):
    """Ray's, without its watch over placement groups.

    That asks Ray's dashboard, and where none runs each training ends 12 s later. The head itself
    takes the processors back when the command has ended.
    """

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]  # of Train V2
        return [one for one in callbacks if type(one).__name__ != _CLEANER]


def _on_interface(kind: type) -> type:
    class OnInterface(kind):  # type: ignore[misc]
        def on_start(self, worker_group: Any, backend_config: TorchSetup) -> None:
            addresses = worker_group.execute(ray.util.get_node_ip_address)
            alone = len(set(addresses)) == 1
            waiting = [
                worker_group.execute_single_async(
                    number, use_interface, backend_config.interface, address, alone
                )
                for number, address in enumerate(addresses)
            ]
            ray.get(waiting)
            super().on_start(worker_group, backend_config)

    return OnInterface
