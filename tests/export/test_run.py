"""The real architecture from a run folder: size, parity, and a folder that is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cutis.errors import InputError
from cutis.export import export_run
from cutis.preprocessing import load, normalise
from cutis.records import ModelInfo, Preprocessing
from cutis.runtime import Predictor
from cutis.runtime.bundle import read_info
from cutis.training.run import classifier_for, write_run


@pytest.fixture(scope="module")
def run(info: ModelInfo, photos: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    settings = Preprocessing(size=64)
    described = info.model_copy(
        update={"architecture": "mobilenet_v2", "preprocessing": settings, "temperature": 1.0}
    )
    torch.manual_seed(0)
    model = classifier_for(described).train()
    pixels = np.stack([load(path, settings) for path in photos["path"][:16]])
    with torch.no_grad():  # running statistics that fit the weights
        for _ in range(3):
            model(torch.from_numpy(normalise(pixels, settings)))
    write_run(folder, model.eval(), described)
    return folder


def test_mobilenet_v2_becomes_a_small_bundle(
    run: Path, photos: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random weights need not answer alike in int8."""
    monkeypatch.setattr("cutis.export.photos.FINE_TUNING_PHOTOS", 0)
    out = tmp_path / "bundle"
    summary = export_run(run, out, photos, allow=True, measure=False)
    assert summary.sizes["model-int8.onnx"] <= 3_000_000
    assert summary.sizes["model.onnx"] > 3 * summary.sizes["model-int8.onnx"]
    assert summary.sizes["bundle.json"] < 20_000
    by_name = {check.name: check for check in summary.parity.networks}
    assert by_name["fp32/onnxruntime"].largest_logit_difference < 1e-4
    assert by_name["int8/onnxruntime"].mean_probability_difference < 0.05
    assert read_info(out).default_model in ("fp32", "int8")
    predictor = Predictor.load(out)
    assert np.isfinite(predictor.logits(np.zeros((1, 64, 64, 3), np.uint8))).all()


def test_a_folder_that_is_no_run_is_refused(photos: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        export_run(tmp_path, tmp_path / "b", photos)
    assert not list(tmp_path.iterdir())
