"""Fixtures that every test module shares."""

import os
from pathlib import Path

import pytest

# Two busy-waiting OpenMP pools on few cores slow each other down by more than an order.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real collections; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CUTIS_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "ham10000").is_dir():
        pytest.skip("the real collections are not on this machine")
    return folder
