"""One drawn collection goes the whole way once; the tests look at what came out."""

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cutis.cli import run
from cutis.runtime.cost import Cost

QUICK = ("stage.1.epochs=1", "input.size=32")


@dataclass(frozen=True)
class Done:
    """How a command line ended."""

    code: int
    out: str
    err: str


Cutis = Callable[..., Done]
Refused = Callable[..., str]


@dataclass(frozen=True)
class World:
    """The folders of the whole way, and what each verb printed."""

    photos: Path
    catalog: Path
    run: Path
    report: Path
    bundle: Path
    done: dict[str, Done]


def _cutis(*arguments: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def cutis() -> Cutis:
    """Runs a command line in this process."""
    return _cutis


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Photos, catalog, split and certificate."""
    folder = tmp_path_factory.mktemp("world")
    names = ("photos", "catalog", "run", "report", "bundle")
    world = World(*(folder / name for name in names), done={})
    world.done["draw"] = _cutis("draw", world.photos, "--photos", 140)
    world.done["import"] = _cutis("import", world.photos, "--into", world.catalog)
    world.done["split"] = _cutis("split", world.catalog)
    certificate = folder / "certificate.json"
    world.done["audit"] = _cutis("audit", world.catalog, "--json", certificate)
    return world


@pytest.fixture(scope="session")
def trained(drawn: World) -> World:
    """The same with a run of one epoch."""
    arguments = ("--data", drawn.catalog, "--out", drawn.run, "--weights", "none")
    drawn.done["train"] = _cutis("train", "demo", *arguments, *QUICK)
    return drawn


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`--engine auto` remembers its choice in the user's cache folder, which is not the tests'."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session", autouse=True)
def no_costs() -> Iterator[None]:
    """Exports in this process do not measure milliseconds, which takes seconds by network."""
    with pytest.MonkeyPatch.context() as patch:
        cost = Cost(milliseconds=1.5, photos_per_second=700, memory_mb=None)
        patch.setattr("cutis.export.parity.measure_cost", lambda *_: cost)
        yield


@pytest.fixture(scope="session")
def world(trained: World) -> World:
    """The whole way: report, bundle and predictions too."""
    trained.done["evaluate"] = _cutis("evaluate", trained.run, "--out", trained.report)
    trained.done["export"] = _cutis("export", trained.run, "--out", trained.bundle)
    photos = trained.photos / "HAM10000_images_part_1"
    table = trained.photos.parent / "predictions.csv"
    trained.done["predict"] = _cutis("predict", photos, "--model", trained.bundle, "--out", table)
    return trained


@pytest.fixture
def own_catalog(drawn: World, tmp_path: Path) -> Path:
    """A copy of the catalog that a test may spoil; photos stay where they are."""
    copy = tmp_path / "catalog"
    shutil.copytree(drawn.catalog, copy)
    return copy


@pytest.fixture
def refused(cutis: Cutis) -> Refused:
    """Runs a command line that must fail, and returns its message."""

    def check(*arguments: object) -> str:
        done = cutis(*arguments)
        assert done.code == 2, done.out
        assert done.err.startswith("error: ")
        assert "Traceback" not in done.err
        message: str = done.err
        return message

    return check
