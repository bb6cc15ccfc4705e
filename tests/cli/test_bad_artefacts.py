"""Runs, bundles and catalogs that do not hold what they should end with code 2 and one message."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Refused = Callable[..., str]


def test_missing_run(refused: Refused, tmp_path: Path) -> None:
    message = refused("evaluate", tmp_path / "run", "--out", tmp_path / "report")
    assert "there is no such run, bundle or table" in message
    assert "there is no such run" in refused("export", tmp_path / "run", "--out", tmp_path / "b")


@pytest.fixture
def own_run(trained: Any, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    copy = tmp_path / "copy"
    shutil.copytree(trained.run, copy)
    return copy


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_unfinished_run(refused: Refused, own_run: Path, tmp_path: Path, verb: str) -> None:
    (own_run / "model.json").unlink()
    message = refused(verb, own_run, "--out", tmp_path / "out")
    assert "the run has not ended" in message
    assert "give the same `cutis train` command again" in message


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_run_of_a_later_version(refused: Refused, own_run: Path, tmp_path: Path, verb: str) -> None:
    description = own_run / "model.json"
    later = json.loads(description.read_text("utf-8")) | {"format_version": 99}
    description.write_text(json.dumps(later), "utf-8")
    message = refused(verb, own_run, "--out", tmp_path / "out")
    assert "written by a later Cutis (format 99, known 1)" in message
    assert "pip install --upgrade cutis" in message


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format_version": "x"}', "\x00"])
def test_damaged_description(refused: Refused, own_run: Path, tmp_path: Path, content: str) -> None:
    (own_run / "model.json").write_text(content)
    message = refused("evaluate", own_run, "--out", tmp_path / "out")
    assert "the model description is damaged" in message


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damaged_weights_of_a_run(
    refused: Refused, own_run: Path, tmp_path: Path, damage: str
) -> None:
    weights = own_run / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:5000])
    else:
        weights.unlink()
    message = refused("evaluate", own_run, "--out", tmp_path / "out")
    assert "the weights of the run are missing or do not fit its description" in message


# what is evaluated on what


def test_part_misspelt(refused: Refused, trained: Any, tmp_path: Path) -> None:
    message = refused("evaluate", trained.run, "--part", "vaildation", "--out", tmp_path / "r")
    assert "there is no part 'vaildation'" in message
    assert "did you mean 'validation'?" in message


def test_another_split_of_the_same_catalog(
    refused: Refused, cutis: Any, trained: Any, own_catalog: Path, tmp_path: Path
) -> None:
    assert cutis("split", own_catalog, "--name", "other", "--seed", 5).code == 0
    message = refused("evaluate", trained.run, "--data", own_catalog, "--split", "other",
                      "--out", tmp_path / "report")  # fmt: skip
    assert "may have been trained on" in message
    assert "give --split default" in message
    assert not (own_catalog / "splits" / "other" / "uses.json").exists()


def test_all_photos_of_the_training_catalog(refused: Refused, trained: Any, tmp_path: Path) -> None:
    message = refused("evaluate", trained.run, "--part", "all", "--out", tmp_path / "report")
    assert "all photos of this catalog hold those that the model was trained on" in message


@pytest.mark.parametrize("shares", ["70/30/0", "70/0/30"])
def test_part_without_photos(
    refused: Refused, cutis: Any, trained: Any, tmp_path: Path, shares: str
) -> None:
    """Another catalog whose split has no test part: refused; no validation part: no scaling."""
    catalog = tmp_path / "catalog"
    others = tmp_path / "others"
    assert cutis("draw", others, "--photos", 80, "--seed", 9).code == 0
    photos = sorted((others / "HAM10000_images_part_1").iterdir())
    for number, photo in enumerate(photos):
        folder = tmp_path / "photos" / ("melanoma", "nevus")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, folder)
    assert cutis("import", tmp_path / "photos", "--into", catalog).code == 0
    assert cutis("split", catalog, "--shares", shares).code == 0
    arguments = ("evaluate", trained.run, "--data", catalog, "--out", tmp_path / "report")
    if shares.endswith("/0"):
        assert "the part 'test' holds no photo" in refused(*arguments)
    else:
        assert cutis(*arguments).code == 0


def test_answer_prior_of_a_table(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("image_id,truth,melanoma\na,melanoma,1\n")
    message = refused("evaluate", tmp_path / "mine.csv", "--answer", "prior", "--out", "r")
    assert "--answer prior needs a run" in message


def test_a_refused_table_costs_no_use_of_the_test_part(
    refused: Refused, own_catalog: Path, tmp_path: Path
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("image_id,melanoma,nevus\nnobody,0.7,0.9\n")
    uses = own_catalog / "splits" / "default" / "uses.json"
    before = uses.read_bytes() if uses.is_file() else None
    refused("evaluate", table, "--data", own_catalog, "--out", tmp_path / "report")
    assert (uses.read_bytes() if uses.is_file() else None) == before


# bundles


@pytest.fixture
def own_bundle(world: Any, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may spoil."""
    copy = tmp_path / "bundle"
    shutil.copytree(world.bundle, copy)
    return copy


@pytest.mark.parametrize("name", ["model.onnx", "model-int8.onnx", "bundle.json"])
def test_bundle_with_a_changed_byte(
    refused: Refused, world: Any, own_bundle: Path, name: str
) -> None:
    info = json.loads((own_bundle / "bundle.json").read_text("utf-8"))
    if name != "bundle.json":  # the network that runs
        name = {"fp32": "model.onnx", "int8": "model-int8.onnx"}[info["default_model"]]
    content = bytearray((own_bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (own_bundle / name).write_bytes(content)
    message = refused("predict", world.photos, "--model", own_bundle)
    assert f"{name} of the bundle was changed or damaged after the export" in message


def test_run_given_as_a_bundle(refused: Refused, world: Any) -> None:
    message = refused("predict", world.photos, "--model", world.run)
    assert "this folder is not a bundle" in message


def test_bundle_evaluated_without_photos(refused: Refused, world: Any, tmp_path: Path) -> None:
    message = refused("evaluate", world.bundle, "--out", tmp_path / "report")
    assert "give --data CATALOG" in message


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_misspelt_engine(refused: Refused, world: Any, tmp_path: Path, verb: str) -> None:
    places = {
        "predict": [world.photos, "--model", world.bundle],
        "evaluate": [world.bundle, "--data", world.catalog, "--out", tmp_path / "report"],
    }
    message = refused(verb, *places[verb], "--engine", "openwino")
    assert "there is no engine 'openwino'" in message
    assert "did you mean 'openvino'?" in message


def test_a_run_is_not_evaluated_on_an_engine(refused: Refused, world: Any, tmp_path: Path) -> None:
    message = refused("evaluate", world.run, "--engine", "auto", "--out", tmp_path / "report")
    assert "--engine is for bundles" in message


def test_export_with_another_catalog(
    refused: Refused, cutis: Any, trained: Any, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog"
    assert cutis("import", trained.photos, "--into", catalog, "--view", "ham7").code == 0
    message = refused("export", trained.run, "--data", catalog, "--out", tmp_path / "bundle")
    assert "the run was trained on another catalog" in message


def test_missing_photo(refused: Refused, world: Any) -> None:
    photo = world.photos / "HAM10000_images_part_1" / "ISIC_900000.jpg"
    assert "there is no such photo or folder" in refused("predict", photo, "--model", world.bundle)


def test_predictions_as_an_unknown_kind_of_file(
    refused: Refused, world: Any, tmp_path: Path
) -> None:
    message = refused("predict", world.photos, "--model", world.bundle, "--out", tmp_path / "a.xls")
    assert "predictions are not written as '.xls'" in message
