"""The fastest pair is chosen by measuring once, and nothing that happens to the cache matters."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cutis.errors import InputError
from cutis.runtime import fastest as module
from cutis.runtime.fastest import CACHE_FILE, Pair, fastest

SLOW, QUICK, BROKEN = Pair("fp32", "onnxruntime"), Pair("int8", "openvino"), Pair("int8", "litert")
SECONDS = {SLOW: 0.02, QUICK: 0.002}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cutis" / CACHE_FILE


class Machine:
    """Opens pairs and works as slowly as SECONDS say; keeps what it was asked for."""

    def __init__(self) -> None:
        self.opened: list[Pair] = []
        self.worked: list[Pair] = []

    def open(self, pair: Pair) -> Pair:
        if pair == BROKEN:
            raise InputError("litert cannot run this network")
        self.opened.append(pair)
        return pair

    def work(self, pair: Pair) -> None:
        self.worked.append(pair)
        time.sleep(SECONDS[pair])

    def choose(self, *pairs: Pair, key: str = "files") -> Pair:
        return fastest(pairs, self.open, self.work, key)


def test_a_pair_is_written_as_in_the_bundle() -> None:
    assert str(QUICK) == "int8/openvino"
    assert Pair.of("int8/openvino") == QUICK


def test_the_faster_is_chosen_and_remembered(cache: Path) -> None:
    first, second = Machine(), Machine()
    assert first.choose(SLOW, QUICK) == QUICK
    assert set(first.worked) == {SLOW, QUICK}
    assert second.choose(SLOW, QUICK) == QUICK
    assert (second.opened, second.worked) == ([QUICK], [])
    assert list(json.loads(cache.read_text()).values()) == ["int8/openvino"]


def test_a_single_pair_is_not_measured(cache: Path) -> None:
    machine = Machine()
    assert machine.choose(SLOW) == SLOW
    assert machine.worked == []
    assert not cache.exists()
    with pytest.raises(InputError, match="litert cannot run"):
        machine.choose(BROKEN)


@pytest.mark.usefixtures("cache")
def test_what_cannot_be_loaded_is_left_out() -> None:
    assert Machine().choose(BROKEN, SLOW, QUICK) == QUICK
    with pytest.raises(InputError, match="litert cannot run"):
        Machine().choose(BROKEN, BROKEN)


@pytest.mark.usefixtures("cache")
def test_what_was_chosen_and_no_longer_loads_is_measured_again() -> None:
    def without_quick(pair: Pair) -> Pair:
        if pair == QUICK:
            raise InputError("gone")
        return pair

    machine = Machine()
    machine.choose(SLOW, QUICK)
    assert fastest([SLOW, QUICK], without_quick, machine.work, "files") == SLOW


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "version": lambda patch: patch.setattr(module, "_version", lambda engine: "later"),
    "processor": lambda patch: patch.setattr(module, "_processor", lambda: "another"),
    "nothing": lambda patch: None,
}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("changed", CHANGES)
def test_it_is_measured_again_on_a_changed_machine(
    monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    Machine().choose(SLOW, QUICK)
    CHANGES[changed](monkeypatch)
    machine = Machine()
    assert machine.choose(SLOW, QUICK) == QUICK
    assert bool(machine.worked) == (changed != "nothing")


@pytest.mark.usefixtures("cache")
def test_other_files_and_other_pairs_are_measured_for_themselves() -> None:
    Machine().choose(SLOW, QUICK)
    for pairs, key in (((SLOW, QUICK), "other files"), ((QUICK, SLOW, BROKEN), "files")):
        machine = Machine()
        machine.choose(*pairs, key=key)
        assert machine.worked


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', "null", "\xff\x00"])
def test_a_damaged_cache_is_made_anew(cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content.encode("latin-1"))
    assert Machine().choose(SLOW, QUICK) == QUICK
    machine = Machine()
    assert machine.choose(SLOW, QUICK) == QUICK
    assert machine.worked == []


def test_a_remembered_pair_that_nobody_offers_is_not_taken(cache: Path) -> None:
    Machine().choose(SLOW, QUICK)
    (key,) = json.loads(cache.read_text())
    for strange in ("int8/litert", "", "a/b/c"):
        cache.write_text(json.dumps({key: strange}))
        assert Machine().choose(SLOW, QUICK) == QUICK


@pytest.mark.parametrize("kind", ["a file in the way", "a folder in the way"])
def test_a_cache_that_cannot_be_written_is_done_without(cache: Path, kind: str) -> None:
    if kind == "a file in the way":
        cache.parents[1].write_text("")
    else:
        cache.mkdir(parents=True)
    for _ in range(2):
        machine = Machine()
        assert machine.choose(SLOW, QUICK) == QUICK
        assert machine.worked


def test_a_user_without_a_home_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert Machine().choose(SLOW, QUICK) == QUICK


@pytest.mark.parametrize(
    ("system", "folder"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "local")],
)
def test_the_cache_lies_where_the_system_keeps_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, folder: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(module.sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    Machine().choose(SLOW, QUICK)
    assert (tmp_path / folder / "cutis" / CACHE_FILE).is_file()


def test_the_cache_does_not_grow_without_end(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECONDS, SLOW, 0.0)
    monkeypatch.setitem(SECONDS, QUICK, 0.0)
    for number in range(module._KEPT + 3):
        Machine().choose(SLOW, QUICK, key=str(number))
    assert len(json.loads(cache.read_text())) == module._KEPT
    machine = Machine()
    machine.choose(SLOW, QUICK, key=str(module._KEPT + 2))
    assert machine.worked == []
