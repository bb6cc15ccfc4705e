"""Fixtures that every test module shares."""

import os
from pathlib import Path
from typing import Any

import pytest

# Two busy-waiting OpenMP pools on few cores slow each other down by more than an order.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


OF_RAY = "tests/scale/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of Ray first: they are the longest part, and wait more than they compute."""
    items.sort(key=lambda item: not item.nodeid.startswith(OF_RAY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process for each file, and one for all tests of Ray, which share their clusters."""
    from xdist.scheduler import LoadFileScheduling

    class OneForRay(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return OF_RAY if nodeid.startswith(OF_RAY) else super()._split_scope(nodeid)

    return OneForRay(config, log)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real collections; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CUTIS_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "ham10000").is_dir():
        pytest.skip("the real collections are not on this machine")
    return folder
