"""`cutis export` from the command line: its options, its table and its exit codes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cutis.export import bundle as exporting
from cutis.export.bundle import write_candidates
from cutis.export.parity import Parity
from cutis.runtime.bundle import read_info


def test_the_table_shows_what_was_compared_and_written(world: Any) -> None:
    done = world.done["export"]
    assert (done.code, done.err) == (0, "")
    parity = Parity.model_validate_json((world.bundle / "parity.json").read_text("utf-8"))
    lines = done.out.splitlines()
    for check in parity.networks:
        (row,) = (line for line in lines if line.strip().startswith(check.name))
        assert "passed" in row
        assert f"{check.agreement:.2%}" in row
        assert f"{check.mean_probability_difference:.4f}" in row
        assert row.rstrip().endswith("1.5")
    for name in ("model.onnx", "model-int8.onnx", "bundle.json", "parity.html"):
        size = (world.bundle / name).stat().st_size
        assert any(line.split() == [name, str(round(size / 1000))] for line in lines)
    assert lines[-1] == str(world.bundle)
    assert "left out" not in done.out
    assert "ms a photo" in (world.bundle / "MODEL_CARD.md").read_text("utf-8")


def test_the_photos_are_those_of_the_runs_split(world: Any) -> None:
    """All of them but the calibration photos; none of it is named by where it lies."""
    parity = Parity.model_validate_json((world.bundle / "parity.json").read_text("utf-8"))
    split = json.loads((world.catalog / "splits" / "default" / "split.json").read_text("utf-8"))
    photos = {part: sum(counts.values()) for part, counts in split["counts"].items()}
    assert parity.calibration_photos == photos["train"] // 2
    for check in parity.networks:
        assert check.photos == sum(photos.values()) - parity.calibration_photos
        assert check.accuracy is not None
    for file in ("parity.json", "parity.html", "MODEL_CARD.md", "bundle.json"):
        assert str(world.photos.parent) not in (world.bundle / file).read_text("utf-8")


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The int8 candidate is another network."""

    def write(part: Any, photos: Any, networks: Any, folder: Path, making: Any) -> None:
        write_candidates(part, photos, ["fp32"], folder, making)
        kept = part.module.head.answer.bias.detach().clone()
        part.module.head.answer.bias.data[0] += 50
        (folder / "model.onnx").rename(folder / "kept")
        write_candidates(part, photos, ["fp32"], folder, making)
        (folder / "model.onnx").rename(folder / "model-int8.onnx")
        (folder / "kept").rename(folder / "model.onnx")
        part.module.head.answer.bias.data.copy_(kept)

    monkeypatch.setattr(exporting, "write_candidates", write)


@pytest.mark.usefixtures("spoiled")
def test_a_network_that_fails_is_shown_and_left_out(world: Any, cutis: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = cutis("export", world.run, "--out", out)
    assert (done.code, done.err) == (1, "")
    (row,) = (line for line in done.out.splitlines() if "int8/onnxruntime" in line)
    assert "failed" in row
    said = " ".join(done.out.split())
    assert "left out, since it does not answer as the run does: model-int8.onnx (" in said
    assert "the first answer is the same on" in said
    assert not (out / "model-int8.onnx").exists()
    assert read_info(out).default_model == "fp32"


@pytest.mark.usefixtures("spoiled")
def test_allow_keeps_it(world: Any, cutis: Any, tmp_path: Path) -> None:
    done = cutis("export", world.run, "--out", tmp_path / "bundle", "--allow")
    assert (done.code, done.err) == (0, "")
    assert "failed" in done.out
    recorded = read_info(tmp_path / "bundle")
    assert "int8/onnxruntime" in recorded.allowed
    assert "model-int8.onnx" in recorded.files


@pytest.mark.usefixtures("spoiled")
def test_where_nothing_is_left_nothing_is_written(world: Any, cutis: Any, tmp_path: Path) -> None:
    done = cutis("export", world.run, "--out", tmp_path / "bundle", "--networks", "int8")
    assert done.code == 1
    assert done.err.startswith("error: no exported network answers as the run does")
    assert "model-int8.onnx: " in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())


def test_networks_and_figures_as_asked_for(world: Any, cutis: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    notes = tmp_path / "notes.md"
    notes.write_text("Trained by hand.")
    arguments = ("--networks", "fp32", "--report", world.report, "--notes", notes)
    done = cutis("export", world.run, "--out", out, *arguments)
    assert (done.code, done.err) == (0, "")
    assert "int8" not in done.out
    assert set(read_info(out).files) >= {"model.onnx", "features.npz"}
    assert not (out / "model-int8.onnx").exists()
    card = (out / "MODEL_CARD.md").read_text("utf-8")
    scores = json.loads((world.report / "metrics.json").read_text("utf-8"))["scores"]
    figure = scores["balanced_accuracy"]
    assert "Trained by hand." in card
    assert f"| balanced accuracy | {figure['value']:.3f} ({figure['low']:.3f} to " in card


def test_what_export_refuses(world: Any, refused: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    said = refused("export", world.run, "--out", out, "--networks", "fp32,int4")
    assert "there is no kind of network 'int4'" in said
    assert "fp32, int8, tflite" in said
    said = refused("export", world.run, "--out", out, "--report", world.run)
    assert "this is not a report" in said
    said = refused("export", world.run, "--out", out, "--notes", world.run)
    assert "the notes cannot be read" in said
    said = refused("export", world.run, "--out", world.photos)
    assert "already holds something else" in said
    assert not out.exists()


def test_a_run_without_validation_photos(
    world: Any, refused: Any, own_catalog: Path, tmp_path: Path
) -> None:
    """The split is the run's, and its photos have gone from the disk."""
    run = tmp_path / "run"
    shutil.copytree(world.run, run)
    moved = world.photos.rename(world.photos.with_name("moved"))
    try:
        said = refused("export", run, "--data", own_catalog, "--out", tmp_path / "bundle")
    finally:
        moved.rename(world.photos)
    assert "photo" in said
    assert not (tmp_path / "bundle").exists()
