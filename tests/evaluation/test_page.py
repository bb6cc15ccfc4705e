"""What the page of a report says, and that it stands alone."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cutis.evaluation import EvaluationContext, evaluate_predictions
from cutis.metrics import Resampling
from cutis.records import NOTICE, ModelInfo

Made = Any  # of conftest.py, which cannot be imported

FEW = Resampling(resamples=40)


def test_the_page_tells_what_was_trained_on_what(
    made: Made, model: ModelInfo, photo_folder: Path
) -> None:
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "stage": [1, 1, 2],
            "train_loss": [1.0, 0.8, 0.7],
            "validation_loss": [1.1, 0.9, 0.85],
            "train_accuracy": [0.4, 0.6, 0.7],
            "validation_accuracy": [0.4, 0.5, 0.6],
            "validation_balanced_accuracy": [0.3, 0.4, 0.5],
        }
    )
    context = EvaluationContext(
        model=model,
        split_name="default",
        part="test",
        test_uses=3,
        history=history,
        recipe_text='name = "<plain>"',
        locate=lambda stored: photo_folder / stored,
    )
    out = photo_folder / "r"
    evaluate_predictions(made.predictions, made.truth, out, context=context, resampling=FEW)
    page = (out / "report.html").read_text("utf-8")
    for text in (
        "plain on the test part",
        NOTICE,
        "ca" * 32,
        "140 photos of 90 groups",
        "evaluated 3 times",
        "name = &#34;&lt;plain&gt;&#34;",
        "Melanocytic nevus",
        "All photos are dermoscopic",
        "All photos come from one collection, set",
        "data:image/jpeg;base64,",
        "this is not a photo",
    ):
        assert text in page, text
    assert "UNSAFE" not in page
    assert (out / "training.png").exists()
    wrong = (made.probabilities.argmax(axis=1) != made.truth_index).sum()
    assert page.count('class="tile"') == min(24, wrong)


def test_the_page_stands_alone(folder: Path) -> None:
    page = (folder / "report.html").read_text("utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) >= 5
    assert all(source.startswith("data:") for source in sources)
    assert "<script" not in page


def test_unsafe_is_written_everywhere(made: Made, model: ModelInfo, tmp_path: Path) -> None:
    leaky = model.provenance.model_copy(update={"unsafe": True})
    context = EvaluationContext(model=model.model_copy(update={"provenance": leaky}))
    out = tmp_path / "r"
    report = evaluate_predictions(
        made.predictions, made.truth, out, context=context, resampling=FEW
    )
    page = (out / "report.html").read_text("utf-8")
    assert "<strong>UNSAFE. </strong>" in page
    assert "a leak until shown otherwise" in page
    assert report.metrics["unsafe"] is True
    safe = tmp_path / "s"
    evaluate_predictions(made.predictions, made.truth, safe, resampling=FEW)
    for picture in ("confusion", "confusion_rows", "roc", "precision_recall", "reliability"):
        stamped = (out / f"{picture}.svg").read_text("utf-8")
        assert "<!-- UNSAFE" in stamped, picture
        assert "<!-- UNSAFE" not in (safe / f"{picture}.svg").read_text("utf-8")


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(("source", "alarmed"), [("ham10000", True), ("set", False)])
def test_too_good_on_ham10000_raises_the_alarm(
    made: Made, tmp_path: Path, source: str, alarmed: bool
) -> None:
    perfect = made.truth[["image_id"]].assign(predicted=made.truth["diagnosis"])
    truth = made.truth.assign(source=source)
    report = evaluate_predictions(perfect, truth, tmp_path / "r", resampling=FEW)
    assert (report.metrics["alarm"] is not None) == alarmed
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert ("a leak until shown otherwise" in page) == alarmed
    assert "UNSAFE" not in page


@pytest.mark.usefixtures("unrendered")
def test_text_from_tables_is_escaped(made: Made, tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>"
    names = [f"{nasty}{number}" for number in range(120)]
    evaluate_predictions(
        made.predictions.assign(image_id=names),
        made.truth.assign(image_id=names, source=nasty, path=nasty),
        tmp_path / "r",
        resampling=FEW,
    )
    assert "<script" not in (tmp_path / "r" / "report.html").read_text("utf-8")
