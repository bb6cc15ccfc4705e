"""What does not answer as the run does stays out of the bundle, or the bundle says so."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from cutis.errors import CheckFailedError
from cutis.export import ClassifierPart, ExportSummary, export_parts
from cutis.export.parity import LOGIT_LIMIT
from cutis.records import ModelInfo
from cutis.runtime import Predictor
from cutis.runtime.bundle import read_info
from cutis.runtime.engines import installed_engines

from .conftest import Given, held, with_bias

PAPERS = {"MODEL_CARD.md", "features.npz", "parity.html", "parity.json", "bundle.json"}

ALWAYS_NEVUS = (0.0, 50.0, 0.0)
NOT_A_NUMBER = (np.nan, 0.0, 0.0)


@pytest.fixture
def spoiled(exported: ExportSummary, files: dict[str, bytes], given: Given) -> dict[str, bytes]:
    """Candidates of which int8 answers nevus, come what may."""
    spoiled = {**files, "int8": with_bias(exported.folder / "model.onnx", ALWAYS_NEVUS)}
    given(spoiled)
    return spoiled


def test_a_network_that_fails_is_left_out(
    spoiled: dict[str, bytes], part: ClassifierPart, photos: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    summary = export_parts(out, photos, classifier=part, measure=False)
    assert held(out) == {*PAPERS, "model.onnx"}
    assert summary.refused.keys() == {"model-int8.onnx"}
    said = "; ".join(summary.refused["model-int8.onnx"])
    assert "the first answer is the same on" in said
    assert "probabilities differ by" in said
    assert "accuracy may fall by" in said
    recorded = read_info(out)
    assert recorded.default_model == "fp32"
    assert recorded.allowed == {}
    assert {name.split("/")[0] for name in recorded.passed} == {"fp32"}
    assert set(recorded.policies) == {"fp32"}
    rows = [check for check in summary.parity.networks if check.network == "int8"]
    assert rows
    assert all(check.failures for check in rows)
    assert "model-int8.onnx" in (out / "parity.html").read_text(encoding="utf-8")


def test_allow_keeps_it_and_the_bundle_says_so(
    spoiled: dict[str, bytes], part: ClassifierPart, photos: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    summary = export_parts(out, photos, classifier=part, allow=True, measure=False)
    assert {"model.onnx", "model-int8.onnx"} <= held(out)
    assert summary.refused == {}
    recorded = read_info(out)
    assert recorded.default_model == "fp32"  # what passed runs, unless told
    engines = [name for name in ("onnxruntime", "openvino") if name in installed_engines()]
    assert set(recorded.allowed) == {f"int8/{engine}" for engine in engines}
    assert all("accuracy may fall by" in "; ".join(why) for why in recorded.allowed.values())
    assert recorded.passed == tuple(f"fp32/{engine}" for engine in engines)
    assert Predictor.load(out, model="int8").model == "int8"
    for page in ("MODEL_CARD.md", "parity.html"):
        text = (out / page).read_text(encoding="utf-8")
        assert "Let in although it fails." in text
        assert "int8/onnxruntime: " in text


def test_allow_runs_what_fails_where_there_is_nothing_else(
    spoiled: dict[str, bytes], part: ClassifierPart, photos: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    export_parts(out, photos, classifier=part, networks=["int8"], allow=True, measure=False)
    assert read_info(out).default_model == "int8"
    assert read_info(out).passed == ()


@pytest.mark.parametrize("bias", [ALWAYS_NEVUS, NOT_A_NUMBER])
@pytest.mark.parametrize("network", ["fp32", "int8"])
def test_nothing_is_written_where_no_network_is_left(
    exported: ExportSummary,
    files: dict[str, bytes],
    given: Given,
    part: ClassifierPart,
    photos: pd.DataFrame,
    tmp_path: Path,
    network: str,
    bias: tuple[float, ...],
) -> None:
    given({**files, network: with_bias(exported.folder / "model.onnx", bias)})
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "bundle.json").write_text("old")
    with pytest.raises(CheckFailedError, match="no exported network answers as the run") as caught:
        export_parts(out, photos, classifier=part, networks=[network], measure=False)
    file = {"fp32": "model.onnx", "int8": "model-int8.onnx"}[network]
    assert f"{file}: " in caught.value.problem
    assert "probabilities differ by" in caught.value.problem
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (out / "bundle.json").read_text() == "old"


@pytest.mark.parametrize("network", ["fp32", "int8"])
def test_what_is_no_number_is_let_in_by_allow_alone(
    exported: ExportSummary,
    files: dict[str, bytes],
    given: Given,
    part: ClassifierPart,
    photos: pd.DataFrame,
    tmp_path: Path,
    network: str,
) -> None:
    given({**files, network: with_bias(exported.folder / "model.onnx", NOT_A_NUMBER)})
    out = tmp_path / "bundle"
    summary = export_parts(out, photos, classifier=part, measure=False)
    assert len(summary.refused) == 1
    assert set(read_info(out).policies) == {"fp32", "int8"} - {network}
    export_parts(out, photos, classifier=part, allow=True, measure=False)
    assert network not in read_info(out).policies
    assert f"{network}/onnxruntime" in read_info(out).allowed
    json.loads((out / "parity.json").read_bytes())


class _Drifting(nn.Module):
    """Answers otherwise when it is exported."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)
        shift = torch.tensor([2 * LOGIT_LIMIT, 0, 0])
        return logits + shift if torch.compiler.is_compiling() else logits


def test_an_export_that_is_another_network_is_refused(
    network: nn.Module, info: ModelInfo, photos: pd.DataFrame, tmp_path: Path
) -> None:
    part = ClassifierPart(_Drifting(network).eval(), info)
    with pytest.raises(CheckFailedError, match=r"model.onnx: a logit differs by 0.002, limit"):
        export_parts(tmp_path / "b", photos, classifier=part, networks=["fp32"], measure=False)
    assert not list(tmp_path.iterdir())


def test_no_page_names_a_place_of_this_machine(
    spoiled: dict[str, bytes], part: ClassifierPart, photos: pd.DataFrame, tmp_path: Path
) -> None:
    """Photos are named as their source names them; where they lie is nobody's business."""
    out = tmp_path / "bundle"
    export_parts(out, photos, classifier=part, allow=True, measure=False)
    places = [str(photos["path"][0].parent), str(tmp_path), "file-", "mask-", str(Path.home())]
    for name in ("parity.json", "parity.html", "MODEL_CARD.md", "bundle.json"):
        text = (out / name).read_text(encoding="utf-8")
        assert not [place for place in places if place in text]
    for name in ("parity.json", "parity.html"):
        assert "drawn/photo_" in (out / name).read_text(encoding="utf-8")
