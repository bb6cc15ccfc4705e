"""What a network costs is measured in a process of its own, without torch."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from cutis.runtime.cost import measure_cost


@pytest.fixture
def without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes that are started now, nobody can import torch."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for name in ("torch", "onnx"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} was imported')")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


@pytest.mark.usefixtures("without_torch")
def test_the_cost_of_a_classifier(bundle: Path, photos: list[Path]) -> None:
    held = np.ones(400_000_000, np.uint8)  # what this process holds does not count
    cost = measure_cost(bundle, "predict", "fp32", "onnxruntime", photos)
    assert 0 < cost.milliseconds < 1000
    assert cost.photos_per_second > 1
    if sys.platform == "linux":
        assert cost.memory_mb is not None
        assert 30 < cost.memory_mb < 300 < held.nbytes / 1e6


@pytest.mark.usefixtures("without_torch")
def test_the_cost_of_a_segmenter(segmenter_bundle: Path, photos: list[Path]) -> None:
    cost = measure_cost(segmenter_bundle, "segment", "fp32", "onnxruntime", photos[:2])
    assert 0 < cost.milliseconds < 1000
