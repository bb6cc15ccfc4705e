"""What `cutis predict` prints of each photo."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from cutis.cli.predict import show
from cutis.metrics.answer_policy import REASON_TEXTS
from cutis.records import NOTICE
from cutis.runtime import PredictionSummary

BASE = {
    "path": "arm.jpg",
    "logit_melanoma": 0.0,
    "logit_melanocytic_nevus": 1.0,
    "melanoma": 0.27,
    "melanocytic_nevus": 0.73,
    "error": None,
}


def printed(capsys: pytest.CaptureFixture[str], **cells: object) -> list[str]:
    """The lines about one photo; the notice stands below."""
    row: Mapping[str, object] = {**BASE, **cells}
    assert show(pd.DataFrame([row])) == 0
    *lines, notice = capsys.readouterr().out.splitlines()
    assert notice == NOTICE
    assert lines[0] == "arm.jpg"
    return [line.removeprefix("  ") for line in lines[1:]]


def test_a_plain_answer_is_one_diagnosis(capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(capsys, verdict="answer", reasons=None, prediction_set="melanocytic_nevus")
    assert said == ["answer", "possible: Melanocytic nevus 0.73"]


def test_a_possible_melanoma_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(
        capsys,
        verdict="answer with caution",
        reasons="malignant_possible,several_diagnoses",
        prediction_set="melanocytic_nevus;melanoma",
    )
    assert said == [
        "answer with caution: malignant_possible, several_diagnoses",
        "possible: Melanocytic nevus 0.73, Melanoma 0.27",
        REASON_TEXTS["malignant_possible"],
        REASON_TEXTS["several_diagnoses"],
    ]


@pytest.mark.parametrize(
    ("possible", "malignant"),
    [("melanoma", True), ("melanocytic_nevus", False), (None, False)],
)
def test_no_answer_is_no_reassurance(
    capsys: pytest.CaptureFixture[str], possible: str | None, malignant: bool
) -> None:
    said = printed(capsys, verdict="cannot tell", reasons="blurred", prediction_set=possible)
    assert said[0] == "cannot tell: blurred"
    assert REASON_TEXTS["blurred"] in said
    assert (REASON_TEXTS["malignant_possible"] in said) == malignant
    assert said[-1] == "This is no sign that the spot is harmless."


def test_an_unreadable_photo_has_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {"melanoma": float("nan"), "melanocytic_nevus": float("nan"), "error": "no photo"}
    said = printed(capsys, verdict="cannot tell", reasons="unreadable", prediction_set=None,
                   **nothing)  # fmt: skip
    assert said[:2] == ["cannot tell: unreadable", "error: no photo"]
    assert printed(capsys, **nothing) == ["unreadable: no photo"]


def test_a_bundle_without_a_policy_gives_its_first_answers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys) == ["Melanocytic nevus 0.73, Melanoma 0.27"]


def test_of_a_table_the_verdicts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"answer": 4, "cannot tell": 1}
    assert show(PredictionSummary(Path("out.csv"), 5, 1, 0, verdicts=counts)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["out.csv: 5 photos, 1 unreadable", "verdicts: 4 answer, 1 cannot tell", NOTICE]
