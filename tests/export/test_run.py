"""The real architecture from a run folder: size, parity and the checks of the photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cutis.errors import InputError, PhotoError
from cutis.export import export_run
from cutis.records import ModelInfo, Preprocessing
from cutis.runtime import Predictor
from cutis.training.run import classifier_for, write_run

from .conftest import some_photos


@pytest.fixture(scope="module")
def run(info: ModelInfo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    update = {"architecture": "mobilenet_v2", "preprocessing": Preprocessing(size=64)}
    described = info.model_copy(update=update)
    torch.manual_seed(0)
    model = classifier_for(described).train()
    with torch.no_grad():  # running statistics that fit the weights
        for _ in range(3):
            model(torch.randn(8, 3, 64, 64))
    write_run(folder, model.eval(), described)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{index}.png" for index in range(24)]
    for path, pixels in zip(paths, some_photos(24, seed=3), strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def test_mobilenet_v2_becomes_a_small_bundle(run: Path, photos: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    summary = export_run(run, out, calibration_photos=photos[:16], check_photos=photos[16:])
    assert summary.sizes["model-int8.onnx"] <= 3_000_000
    assert summary.sizes["model.onnx"] > 3 * summary.sizes["model-int8.onnx"]
    parity = summary.parity.model
    assert parity is not None
    assert parity.fp32.largest_logit_difference < 1e-4
    assert parity.int8.mean_probability_difference < 0.05
    predictor = Predictor.load(out)
    assert predictor.info.calibration_photos == 16
    assert np.isfinite(predictor.logits(np.zeros((1, 64, 64, 3), np.uint8))).all()


def test_photos_that_served_for_calibration_do_not_check(
    run: Path, photos: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="1 photos serve for calibration and for the check"):
        export_run(run, tmp_path / "b", calibration_photos=photos[:5], check_photos=photos[4:9])


def test_an_unreadable_photo_is_named(run: Path, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("a text")
    with pytest.raises(PhotoError, match="not a photo") as caught:
        export_run(run, tmp_path / "b", calibration_photos=[bad], check_photos=photos)
    assert caught.value.where == str(bad)


def test_a_folder_that_is_no_run_is_refused(photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        export_run(tmp_path, tmp_path / "b", calibration_photos=photos[:1], check_photos=photos[1:])
