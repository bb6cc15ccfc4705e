"""A run at several shares of its multiply-adds: runs, record and page."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from torch import nn

import cutis
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, make_split, part_rows
from cutis.errors import InputError
from cutis.records import Part
from cutis.runtime.network import INPUT, OUTPUT
from cutis.studies.pruning_page import change_text, headline
from cutis.studies.pruning_record import Change, Pruning
from cutis.training.run import Run, load_run

SHARES = "0.4,0.8"
SETTINGS = ("precision=float32", "model.backbone=mobilenet_v2_035")


@pytest.fixture(scope="module")
def run(drawn: Catalog, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("pruning")
    shutil.copytree(drawn.folder, place / "catalog")
    make_split(Catalog.open(place / "catalog"), shares=(60, 20, 20))
    made = cutis.train(
        str(recipe), place / "catalog", place / "run", settings=list(SETTINGS), weights="none"
    )
    assert isinstance(made, Run)
    return made


def write_stand_in(module: nn.Module, size: int, path: Path, *, channels: int) -> None:
    """A file that answers at once, as large as the weights: torch's exporter takes seconds."""
    weights = np.zeros(sum(p.numel() for p in module.parameters()), np.float32)
    matrix = np.ones((channels, 2), np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMean", [INPUT, "sides"], ["mean"], keepdims=0),
            onnx.helper.make_node("MatMul", ["mean", "matrix"], [OUTPUT]),
        ],
        "stand-in",
        [onnx.helper.make_tensor_value_info(INPUT, 1, ["batch", channels, size, size])],
        [onnx.helper.make_tensor_value_info(OUTPUT, 1, ["batch", 2])],
        [
            onnx.numpy_helper.from_array(value, name)
            for name, value in (
                ("sides", np.array([2, 3])), ("matrix", matrix), ("weights", weights)
            )
        ],
    )  # fmt: skip
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10), path)


@pytest.fixture(scope="module", autouse=True)
def _quick_onnx() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cutis.export.onnx.write_onnx", write_stand_in)
        yield


@pytest.fixture(scope="module")
def made(run: Run) -> Pruning:
    found = cutis.prune(run.folder, run.folder.parent / "curve", SHARES)
    assert isinstance(found, Pruning)
    return found


def test_the_run_stands_first_then_the_shares_as_they_fall(run: Run, made: Pruning) -> None:
    networks = made.networks
    assert [network.share for network in networks] == [None, 0.8, 0.4]
    assert [network.folder for network in networks] == ["run", "0.8", "0.4"]
    costs = [network.cost for network in networks]
    for name in ("multiply_adds", "parameters", "onnx_bytes"):
        values = [getattr(cost, name) for cost in costs]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 3
    assert costs[1].multiply_adds <= 0.8 * costs[0].multiply_adds
    assert costs[2].multiply_adds <= 0.4 * costs[0].multiply_adds
    assert all(cost.milliseconds > 0 for cost in costs)
    assert networks[0].change is None
    for network in networks[1:]:
        assert network.change is not None
        difference = network.balanced_accuracy - networks[0].balanced_accuracy
        assert network.change.value == pytest.approx(difference)
    for network in networks[1:]:
        folder = run.folder.parent / "curve" / network.folder
        assert load_run(folder).info.widths is not None


def test_the_figures_are_those_of_validation(run: Run, made: Pruning) -> None:
    history = pd.read_csv(run.folder / "history.csv")
    first = made.networks[0]
    assert first.accuracy == pytest.approx(history["validation_accuracy"].iloc[-1], abs=1e-5)
    assert first.balanced_accuracy == pytest.approx(
        history["validation_balanced_accuracy"].iloc[-1], abs=1e-5
    )
    catalog = Catalog.open(run.folder.parent / "catalog")
    rows = part_rows(catalog, load_split(catalog), Part.VALIDATION)
    assert (made.photos, made.groups) == (len(rows), rows["group"].nunique())


def test_record_and_page_say_the_same(run: Run, made: Pruning) -> None:
    folder = run.folder.parent / "curve"
    assert Pruning.model_validate_json((folder / "pruning.json").read_text()) == made
    page = (folder / "pruning.html").read_text()
    assert headline(made) in page.replace("&#43;", "+")
    for network in made.networks:
        assert f"{network.cost.milliseconds:.2f}" in page
        assert change_text(network) in page.replace("&#43;", "+")
    assert {"pruning.png", "pruning.svg"} <= {p.name for p in folder.iterdir()}


def test_the_same_call_trains_nothing_again(run: Run, made: Pruning) -> None:
    folder = run.folder.parent / "curve"
    before = {p: p.stat().st_mtime_ns for p in folder.glob("0.*/*")}
    again = cutis.prune(run.folder, folder, SHARES)
    assert {p: p.stat().st_mtime_ns for p in folder.glob("0.*/*")} == before
    assert isinstance(again, Pruning)
    assert [n.balanced_accuracy for n in again.networks] == [
        n.balanced_accuracy for n in made.networks
    ]


def test_the_folder_of_another_run_is_refused(run: Run, made: Pruning) -> None:
    folder = run.folder.parent / "curve"
    with pytest.raises(InputError, match="the curve of another run, or by another importance"):
        cutis.prune(run.folder, folder, SHARES, importance="magnitude")
    with pytest.raises(InputError, match="the curve of another run"):
        cutis.prune(folder / "0.8", folder, SHARES)


def test_a_folder_with_something_else_is_refused_before_any_training(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something else"):
        cutis.prune(run.folder, tmp_path, SHARES)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_change_without_an_interval_is_told_without_one(made: Pruning) -> None:
    last = made.networks[-1]
    bare = last.model_copy(update={"change": Change(value=-0.0123, low=None, high=None)})
    assert change_text(bare) == "-1.2"
    whole = last.model_copy(update={"change": Change(value=-0.0123, low=-0.03, high=0.01)})
    assert change_text(whole) == "-1.2 (-3.0 to +1.0)"
