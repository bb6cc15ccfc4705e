"""Fixtures that every test module shares."""

import os
from pathlib import Path

import pytest

# Two busy-waiting OpenMP pools on few cores slow each other down by more than an order.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process for each file, and one for all tests of Ray, which share their clusters.

    These come first: they are the longest part, and wait more than they compute.
    """
    of_ray = Path(__file__).parent / "scale"
    for item in items:
        group = of_ray if item.path.is_relative_to(of_ray) else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))
    items.sort(key=lambda item: not item.path.is_relative_to(of_ray))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real collections; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CUTIS_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "ham10000").is_dir():
        pytest.skip("the real collections are not on this machine")
    return folder
