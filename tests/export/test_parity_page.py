"""The page of the comparison shows every figure, what failed, and which photos flipped."""

import re
from html import unescape

import pytest

from cutis.export import ExportSummary
from cutis.export.parity import Parity
from cutis.export.parity_page import parity_page
from cutis.records import NOTICE, ModelInfo
from cutis.runtime.bundle import BundleInfo, read_info
from cutis.runtime.cost import Cost


@pytest.fixture
def recorded(exported: ExportSummary) -> BundleInfo:
    return read_info(exported.folder)


def cells(page: str, section: str) -> list[list[str]]:
    """The rows of the first table of a section, as plain text."""
    body = unescape(page).split(f"<h2>{section}</h2>")[1].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in rows
    ]


def with_check(parity: Parity, name: str, **update: object) -> Parity:
    rows = [c.model_copy(update=update) if c.name == name else c for c in parity.networks]
    return parity.model_copy(update={"networks": tuple(rows)})


def test_every_file_has_a_row(exported: ExportSummary, recorded: BundleInfo) -> None:
    cost = Cost(milliseconds=12.34, photos_per_second=567.8, memory_mb=None)
    parity = with_check(exported.parity, "int8/onnxruntime", cost=cost)
    page = parity_page(recorded, parity)
    assert NOTICE in page
    rows = cells(page, "Classifier")
    assert len(rows) == 2 + len(parity.networks)
    first = parity.networks[0]
    assert first.accuracy is not None
    assert first.held_out_accuracy is not None
    accuracy, held_out = f"{first.accuracy.run:.2%}", f"{first.held_out_accuracy.run:.2%}"
    assert rows[1][:2] == ["the run", "PyTorch"]
    assert [text.replace(" ", "") for text in rows[1][4:6]] == [accuracy, held_out]
    (row,) = (r for r in rows if r[0].startswith("model-int8.onnx") and r[1] == "onnxruntime")
    assert "runs unless told" in row[0]
    assert row[2] == "passed"
    assert row[6:] == ["12.3", "568", "–"]
    others = [r for r in rows[2:] if r is not row]
    assert others
    assert all("unless told" not in r[0] and r[6:] == ["–"] * 3 for r in others)


def test_the_differences_have_a_row_each(exported: ExportSummary, recorded: BundleInfo) -> None:
    page = parity_page(recorded, exported.parity)
    rows = cells(page, "Answers against the run's, photo by photo")
    assert len(rows) == 1 + len(exported.parity.networks)
    for row, check in zip(rows[1:], exported.parity.networks, strict=True):
        assert row[1] == check.engine
        assert row[2].replace(" ", "") == f"{check.agreement:.2%}"
        assert row[4] == f"{check.mean_probability_difference:.4f}"
        assert row[6] == f"{check.largest_logit_difference:.2g}"


def test_what_fails_is_said(exported: ExportSummary, recorded: BundleInfo) -> None:
    parity = with_check(
        exported.parity, "int8/onnxruntime", failures=("accuracy <falls>", "so does recall")
    )
    allowed = {"int8/onnxruntime": ("accuracy <falls>",)}
    page = parity_page(recorded.model_copy(update={"allowed": allowed}), parity)
    (row,) = (
        r for r in cells(page, "Classifier") if r[0][:10] == "model-int8" and r[1] == "onnxruntime"
    )
    assert row[2] == "failed, let in"
    assert "<li>int8/onnxruntime: accuracy &lt;falls&gt;</li>" in page
    assert "<li>int8/onnxruntime: so does recall</li>" in page
    assert "Let in although it fails." in page
    assert "Let in although it fails." not in parity_page(recorded, parity)
    gone = {name: sha for name, sha in recorded.files.items() if name != "model-int8.onnx"}
    left_out = parity_page(recorded.model_copy(update={"files": gone}), parity)
    assert "failed, left out" in left_out


def test_flipped_photos_are_named(exported: ExportSummary, recorded: BundleInfo) -> None:
    names = tuple(f"drawn/{number}" for number in range(23))
    flipped = {"melanoma": names, "dermatofibroma": ()}
    parity = with_check(exported.parity, "int8/onnxruntime", flipped=flipped)
    page = parity_page(recorded, parity)
    assert "<li>int8/onnxruntime, melanoma, 23: drawn/0, drawn/1, " in page
    assert "drawn/19 and 3 more in parity.json</li>" in page
    assert "drawn/20" not in page
    assert "int8/onnxruntime, dermatofibroma" not in page
    none = with_check(exported.parity, "int8/onnxruntime", flipped={"melanoma": ()})
    frequent = [check.model_copy(update={"flipped": {}}) for check in parity.networks]
    without = exported.parity.model_copy(update={"networks": tuple(frequent)})
    assert "Photos of rarer diagnoses" in parity_page(recorded, none)
    assert "Photos of rarer diagnoses" not in parity_page(recorded, without)
    rows = cells(page, "By diagnosis")
    assert rows[0][1:] == [check.name for check in parity.networks]
    assert [row[0] for row in rows[1:]] == ["melanocytic_nevus"]


def test_photos_without_diagnosis(exported: ExportSummary, recorded: BundleInfo) -> None:
    update = {"accuracy": None, "held_out_accuracy": None, "recall_loss": {}, "flipped": {}}
    rows = [check.model_copy(update=update) for check in exported.parity.networks]
    page = parity_page(recorded, exported.parity.model_copy(update={"networks": tuple(rows)}))
    assert "the run" not in [row[0] for row in cells(page, "Classifier")]
    assert "<h2>By diagnosis</h2>" not in page


def test_the_method_is_told(exported: ExportSummary, recorded: BundleInfo) -> None:
    tuned = exported.parity.model_copy(update={"fine_tuned": ("model-int8.onnx",)})
    page = parity_page(recorded, tuned)
    method = exported.parity.methods["model-int8.onnx"]
    assert f"model-int8.onnx: ranges by {method}" in page
    assert "model-int8.onnx: weights adapted to int8 on training photos" in page
    assert "the 20 training photos on which" in page


def test_a_split_that_leaks_is_marked(
    exported: ExportSummary, recorded: BundleInfo, info: ModelInfo
) -> None:
    provenance = info.provenance.model_copy(update={"unsafe": True})
    unsafe = info.model_copy(update={"provenance": provenance})
    page = parity_page(recorded.model_copy(update={"model": unsafe}), exported.parity)
    assert "UNSAFE." in page
    assert "UNSAFE." not in parity_page(recorded, exported.parity)
