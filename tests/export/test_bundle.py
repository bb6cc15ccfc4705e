"""A bundle is complete, tells the truth about itself, and appears whole or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.errors import CheckFailedError, InputError
from cutis.export import ClassifierPart, ExportSummary, export_parts
from cutis.export.bundle import _describe
from cutis.export.card import model_card
from cutis.export.parity import LOGIT_LIMIT
from cutis.records import NOTICE, ModelInfo
from cutis.runtime.bundle import BundleInfo, read_info
from cutis.storage import sha256_file

NETWORKS_AND_PAPERS = ["MODEL_CARD.md", "model-int8.onnx", "model.onnx", "parity.json"]


@pytest.fixture
def recorded(exported: ExportSummary) -> BundleInfo:
    return read_info(exported.folder)


def test_every_file_stands_in_the_record(exported: ExportSummary, recorded: BundleInfo) -> None:
    names = sorted(path.name for path in exported.folder.iterdir())
    assert names == sorted([*NETWORKS_AND_PAPERS, "bundle.json"])
    assert sorted(recorded.files) == NETWORKS_AND_PAPERS
    for name, digest in recorded.files.items():
        assert sha256_file(exported.folder / name) == digest
        assert exported.sizes[name] == (exported.folder / name).stat().st_size


def test_the_record_carries_model_notice_and_counts(
    recorded: BundleInfo, info: ModelInfo, calibration: NDArray[np.uint8]
) -> None:
    assert recorded.model == info
    assert recorded.notice == NOTICE
    assert recorded.calibration_photos == len(calibration)


def test_diagnoses_have_names_and_grades(recorded: BundleInfo, info: ModelInfo) -> None:
    assert tuple(d.id for d in recorded.diagnoses) == info.diagnoses
    melanoma = recorded.diagnoses[0]
    assert melanoma.name == {"en": "Melanoma", "fa": "ملانوم"}
    assert (melanoma.malignancy, melanoma.urgency) == ("malignant", "weeks")


def test_a_class_of_a_view_gets_the_views_names() -> None:
    benign = _describe("benign")
    assert benign.name == {"en": "Benign", "fa": "خوش‌خیم"}
    assert (benign.malignancy, benign.urgency) == ("benign", None)
    assert _describe("own_class").name == {"en": "Own class"}


def test_parity_is_written_as_it_was_found(exported: ExportSummary) -> None:
    written = json.loads((exported.folder / "parity.json").read_text())
    assert written == exported.parity.model_dump()
    assert written["segmenter"] is None
    assert written["model"]["photos"] == 30
    assert 0 <= written["model"]["fp32"]["largest_logit_difference"] <= LOGIT_LIMIT


@pytest.mark.parametrize(
    ("agreement", "difference", "default"),
    [(0.97, 0.01, "int8"), (0.969, 0.0, "fp32"), (1.0, 0.011, "fp32")],
)
def test_int8_runs_only_where_it_answers_as_the_run(
    exported: ExportSummary, agreement: float, difference: float, default: str
) -> None:
    update = {"agreement": agreement, "mean_probability_difference": difference}
    found = exported.parity.model
    assert found is not None
    int8 = found.int8.model_copy(update=update)
    assert found.model_copy(update={"int8": int8}).default_model == default


def test_the_record_names_the_default(exported: ExportSummary, recorded: BundleInfo) -> None:
    assert exported.parity.model is not None
    assert recorded.default_model == exported.parity.model.default_model


def test_the_card_says_what_the_model_is(exported: ExportSummary) -> None:
    card = (exported.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert NOTICE in card
    assert "| Melanoma | `melanoma` | malignant | weeks | 11 |" in card
    assert "- photos: 76 of 40 groups" in card
    assert "CC0, CC BY-NC 4.0" in card
    assert "seed 7" in card
    assert "None were given at the export" in card
    assert "UNSAFE" not in card


def test_the_card_shows_figures_and_the_unsafe_mark(
    exported: ExportSummary, recorded: BundleInfo, info: ModelInfo
) -> None:
    provenance = info.provenance.model_copy(update={"unsafe": True})
    unsafe = info.model_copy(update={"provenance": provenance})
    scores = {
        "balanced_accuracy": {"value": 0.75, "low": 0.7, "high": 0.8, "reason": None},
        "brier": {"value": 0.2, "low": None, "high": None, "reason": "one group"},
        "auroc_macro": {"value": None, "low": None, "high": None, "reason": "no photo"},
    }
    card = model_card(recorded.model_copy(update={"model": unsafe}), exported.parity, scores)
    assert card.index("**UNSAFE.**") < card.index(NOTICE)
    assert "| balanced accuracy | 0.750 (0.700 to 0.800) |" in card
    assert "| brier | 0.200 |" in card
    assert "| auroc macro | not defined |" in card


class _Drifting(nn.Module):
    """Answers otherwise when it is exported."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)
        return logits + 2 * LOGIT_LIMIT if torch.compiler.is_compiling() else logits


class _NotANumber(_Drifting):
    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)
        return logits * torch.nan


@pytest.mark.parametrize("kind", [_Drifting, _NotANumber])
def test_another_network_is_refused_and_the_old_bundle_stays(
    kind: type[_Drifting],
    network: nn.Module,
    info: ModelInfo,
    calibration: NDArray[np.uint8],
    check: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "bundle.json").write_text("old")
    with pytest.raises(CheckFailedError, match="the exported network differs from the run"):
        export_parts(out, classifier=ClassifierPart(kind(network).eval(), info, calibration, check))
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (out / "bundle.json").read_text() == "old"


@pytest.mark.parametrize("empty", ["calibration", "check"])
def test_an_export_without_photos_is_refused(
    network: nn.Module,
    info: ModelInfo,
    calibration: NDArray[np.uint8],
    check: NDArray[np.uint8],
    tmp_path: Path,
    empty: str,
) -> None:
    photos = {"calibration": calibration, "check": check}
    photos[empty] = photos[empty][:0]
    with pytest.raises(InputError, match=f"there are no {empty} photos"):
        export_parts(
            tmp_path / "bundle",
            classifier=ClassifierPart(network, info, photos["calibration"], photos["check"]),
        )
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_content_is_left_alone(
    network: nn.Module,
    info: ModelInfo,
    calibration: NDArray[np.uint8],
    check: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something else"):
        export_parts(tmp_path, classifier=ClassifierPart(network, info, calibration, check))
    assert (tmp_path / "diary.txt").read_text() == "mine"
