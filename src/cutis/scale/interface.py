"""The network interface by which the nodes of a cluster reach each other, for gloo."""

import os
import socket
import struct
from collections.abc import Mapping

from cutis.errors import InputError, nearest

_GLOO, _NCCL = "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"
_SIOCGIFADDR = 0x8915  # Linux, netdevice(7)


def use_interface(named: str | None, address: str, alone: bool) -> None:
    """Chooses the interface of this process's collective operations.

    Args:
        named: by the user; None: the one that has the address.
        address: of this node, as the other nodes know it.
        alone: whether all workers are on this node.

    Raises InputError where there is no such interface or it cannot reach another node.
    """
    addresses = interfaces()
    found = named
    if named is None:
        found = next((name for name, own in addresses.items() if own == address), None)
        if found is None and not alone:
            raise InputError(
                "the interface by which the nodes reach each other was not found",
                where=address,
                expected=f"an interface of that address; there are {_listed(addresses)}",
                fix="name it: --interface NAME, one that leads to the other nodes",
            )
    elif named not in addresses:
        raise InputError(
            f"a node has no network interface '{named}'",
            where=address,
            expected=f"one of {_listed(addresses)}",
            fix=nearest(named, addresses) or "leave --interface out: it is found by itself",
        )
    elif not alone and (addresses[named] or "").startswith("127."):
        raise InputError(
            f"the interface '{named}' leads to no other node",
            where=address,
            expected=f"one of {_listed({n: a for n, a in addresses.items() if n != named})}",
            fix="leave --interface out: it is found by itself",
        )
    if found is not None:
        os.environ[_GLOO] = os.environ[_NCCL] = found


def interfaces() -> dict[str, str | None]:
    """The interfaces of this computer and their IPv4 addresses, None where one has none."""
    return {name: _address(name) for _, name in socket.if_nameindex()}


def _address(name: str) -> str | None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def _listed(addresses: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} ({own or 'no address'})" for name, own in addresses.items())
