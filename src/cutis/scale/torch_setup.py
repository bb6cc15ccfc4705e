"""How the workers of Ray Train connect with each other."""

from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch import TorchConfig

from cutis.scale.interface import use_interface


@dataclass
class TorchSetup(TorchConfig):
    """Ray's setup of PyTorch, with a network interface: a name, or None for the nodes' own."""

    interface: str | None = None

    @property
    def backend_cls(self) -> type:
        return _on_interface(super().backend_cls)


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
