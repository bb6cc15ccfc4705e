"""How many workers there is room for, and by which interface they meet."""

import os

import pytest

from cutis.errors import InputError
from cutis.scale import interface
from cutis.scale.interface import interfaces, use_interface
from cutis.scale.places import Places, Room


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """That of the process, without interfaces, and given back."""
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "")
    return os.environ  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("cpus", "count", "threads"),
    [((8,), 1, 8), ((8,), 3, 2), ((8, 8), 2, 8), ((8, 8), 3, 4), ((2, 8), 2, 2), ((0, 4), 1, 4)],
)
def test_processors_are_divided_evenly(cpus: tuple[int, ...], count: int, threads: int) -> None:
    room = Room(cpus, (0,) * len(cpus))
    assert room.wanted(count, "local") == Places(count, threads, gpu=False)


def test_a_gpu_takes_one_worker() -> None:
    room = Room((16, 8, 4), (2, 1, 0))
    assert (room.nodes, room.most) == (3, 3)
    assert room.wanted(3, "local") == Places(3, 8, gpu=True)
    assert room.places(3).resources == {"CPU": 8.0, "GPU": 1.0}


def test_one_worker_a_node_that_has_processors() -> None:
    assert Room((0, 4, 4), (0, 0, 0)).nodes == 2
    assert Room((0, 4, 4), (0, 0, 0)).most == 8


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 workers are not possible"), (9, r"9 workers are too many.*\n(.*\n)*.*up to 8")],
)
def test_too_many_or_too_few_are_refused(count: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Room((4, 4), (0, 0)).wanted(count, "10.0.0.5:6379")


def test_the_interface_of_the_nodes_address_is_found(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    assert interfaces()["lo"] == "127.0.0.1"
    known = {"lo": "127.0.0.1", "docker0": "172.17.0.1", "eno1": "10.0.0.5", "wlan0": None}
    monkeypatch.setattr(interface, "interfaces", lambda: known)
    use_interface(None, "10.0.0.5", alone=False)
    assert environment["GLOO_SOCKET_IFNAME"] == environment["NCCL_SOCKET_IFNAME"] == "eno1"
    use_interface("docker0", "10.0.0.5", alone=False)
    assert environment["GLOO_SOCKET_IFNAME"] == "docker0"
    use_interface("lo", "10.0.0.5", alone=True)
    assert environment["GLOO_SOCKET_IFNAME"] == "lo"


@pytest.mark.parametrize(
    ("named", "address", "words"),
    [
        (None, "203.0.113.7", r"was not found\n.*203.0.113.7\n.*eno1 \(10.0.0.5\)\n.*--interface"),
        ("eno2", "10.0.0.5", r"no network interface 'eno2'\n(.*\n)*.*did you mean 'eno1'"),
        ("lo", "10.0.0.5", "'lo' leads to no other node"),
    ],
)
def test_an_interface_that_will_not_do_is_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str | None, address: str,
    words: str,
) -> None:  # fmt: skip
    known = {"lo": "127.0.0.1", "eno1": "10.0.0.5"}
    monkeypatch.setattr(interface, "interfaces", lambda: known)
    with pytest.raises(InputError, match=words):
        use_interface(named, address, alone=False)
    assert environment["GLOO_SOCKET_IFNAME"] == ""
