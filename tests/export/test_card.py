"""The model card says what the bundle is, how it was made, and where it falls short."""

import pytest

from cutis.export import ExportSummary
from cutis.export.card import Scores, model_card
from cutis.export.parity import Parity
from cutis.records import NOTICE, ModelInfo, QualityFlag
from cutis.runtime.bundle import BundleInfo, read_info
from cutis.runtime.cost import Cost


@pytest.fixture
def recorded(exported: ExportSummary) -> BundleInfo:
    return read_info(exported.folder)


def table_rows(card: str, section: str) -> list[list[str]]:
    """The cells of the table in a section, without its head."""
    text = card.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_card_says_what_the_model_is(exported: ExportSummary) -> None:
    card = (exported.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert NOTICE in card
    assert "| Melanoma | `melanoma` | malignant | weeks | 11 |" in card
    assert "- photos: 76 of 40 groups" in card
    assert "CC0, CC BY-NC 4.0" in card
    assert "seed 7" in card
    assert "None were given at the export" in card
    assert "UNSAFE" not in card
    assert "Let in although it fails" not in card


def test_the_card_shows_figures_and_the_unsafe_mark(
    exported: ExportSummary, recorded: BundleInfo, info: ModelInfo
) -> None:
    provenance = info.provenance.model_copy(update={"unsafe": True})
    unsafe = info.model_copy(update={"provenance": provenance})
    scores: Scores = {
        "balanced_accuracy": {"value": 0.75, "low": 0.7, "high": 0.8, "reason": None},
        "brier": {"value": 0.2, "low": None, "high": None, "reason": "one group"},
        "auroc_macro": {"value": None, "low": None, "high": None, "reason": "no photo"},
    }
    card = model_card(recorded.model_copy(update={"model": unsafe}), exported.parity, scores)
    assert card.index("**UNSAFE.**") < card.index(NOTICE)
    assert "| balanced accuracy | 0.750 (0.700 to 0.800) |" in card
    assert "| brier | 0.200 |" in card
    assert "| auroc macro | not defined |" in card


def test_the_card_shows_every_file_on_every_engine(
    exported: ExportSummary, recorded: BundleInfo
) -> None:
    costs = [
        Cost(milliseconds=10 + number, photos_per_second=100, memory_mb=90)
        for number, _ in enumerate(exported.parity.networks)
    ]
    rows = [
        check.model_copy(update={"cost": cost})
        for check, cost in zip(exported.parity.networks, costs, strict=True)
    ]
    parity = exported.parity.model_copy(update={"networks": tuple(rows)})
    card = model_card(recorded, parity, None)
    shown = table_rows(card, "Export")
    assert [row[:3] for row in shown] == [
        [{"fp32": "model.onnx", "int8": "model-int8.onnx"}[c.network], c.engine, "passed"]
        for c in rows
    ]
    for number, (row, check) in enumerate(zip(shown, rows, strict=True)):
        assert row[3] == f"{check.bytes / 1e6:.2f}"
        assert row[4] == f"{check.agreement:.2%}"
        assert row[5] == f"{check.mean_probability_difference:.4f}"
        assert row[7] == f"{10 + number:.1f}"
    assert "On 120 photos" in card
    assert "Runs unless told: int8." in card
    method = exported.parity.methods["model-int8.onnx"]
    assert f"Ranges of int8: 20 training photos, by {method}. Runs" in card
    without = parity.model_copy(update={"methods": {}})
    assert "Ranges of int8" not in model_card(recorded, without, None)


def changed(parity: Parity, network: str, failures: tuple[str, ...]) -> Parity:
    rows = [
        check.model_copy(update={"failures": failures}) if check.network == network else check
        for check in parity.networks
    ]
    return parity.model_copy(update={"networks": tuple(rows)})


def test_verdicts_say_what_became_of_a_file(exported: ExportSummary, recorded: BundleInfo) -> None:
    parity = changed(exported.parity, "int8", ("accuracy may fall",))
    files = {name: sha for name, sha in recorded.files.items() if name != "model-int8.onnx"}

    def verdicts(info: BundleInfo) -> dict[str, str]:
        rows = table_rows(model_card(info, parity, None), "Export")
        return {row[0]: row[2] for row in rows if row[1] == "onnxruntime"}

    assert verdicts(recorded)["model-int8.onnx"] == "failed, not run"
    left_out = recorded.model_copy(update={"files": files})
    assert verdicts(left_out) == {"model.onnx": "passed", "model-int8.onnx": "failed, left out"}
    let_in = recorded.model_copy(update={"allowed": {"int8/onnxruntime": ("accuracy may fall",)}})
    assert verdicts(let_in)["model-int8.onnx"] == "failed, let in"
    card = model_card(let_in, parity, None)
    said = "Let in although it fails.** Networks do not answer as the run does (int8/onnxruntime: "
    assert card.index(said) < card.index(NOTICE)
    only_int8 = {name: sha for name, sha in recorded.files.items() if name != "model.onnx"}
    unasked = recorded.model_copy(update={"files": only_int8})
    assert verdicts(unasked)["model.onnx"] == "passed, not in the bundle"


def test_the_card_says_when_the_model_cannot_tell(
    exported: ExportSummary, recorded: BundleInfo
) -> None:
    rows = table_rows(model_card(recorded, exported.parity, None), "Knowing when not to answer")
    assert [row[0] for row in rows] == ["fp32", "int8"]
    assert rows[0][1:4] == ["95%", "3", "97.5%"]
    assert QualityFlag.BLURRED.value in rows[0][4]
    none = recorded.model_copy(update={"policies": {}})
    card = model_card(none, exported.parity, None)
    assert "too few to say when the model cannot tell: it answers every photo" in card


def test_fine_tuning_is_told(exported: ExportSummary, recorded: BundleInfo) -> None:
    tuned = exported.parity.model_copy(update={"fine_tuned": ("model-int8.onnx",)})
    assert "weights adapted to int8" in model_card(recorded, tuned, None)
    assert "weights adapted to int8" not in model_card(recorded, exported.parity, None)


def test_notes_are_taken_over(exported: ExportSummary, recorded: BundleInfo) -> None:
    notes = "Trained by `cutis train cutis-small`."
    assert notes in model_card(recorded, exported.parity, None, notes)
