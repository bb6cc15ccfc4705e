"""The report of a segmenter: figures, page and overlays."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.errors import InputError
from cutis.evaluation.context import ReportContext
from cutis.evaluation.segmentation import SegmentationReport, evaluate_masks, write_report
from cutis.evaluation.segmentation.overlays import PREDICTED, TRUTH, overlay
from cutis.evaluation.segmentation.scoring import score_pairs
from cutis.metrics import Resampling
from cutis.metrics.segmentation import score_masks
from cutis.records import NOTICE

Judged = Any  # of conftest.py, which cannot be imported

FEW = Resampling(resamples=40)


@pytest.fixture(scope="module")
def written(judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> SegmentationReport:
    """A report that is made once, without a context."""
    out = tmp_path_factory.mktemp("written") / "report"
    return evaluate_masks(judged.rows, judged.pairs(), out, resampling=FEW)


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn to files, which takes most of a report's time."""
    monkeypatch.setattr("cutis.evaluation.style.save", lambda *_: b"<svg/>")


def test_the_folder_holds_everything(written: SegmentationReport) -> None:
    assert {path.name for path in written.folder.iterdir()} == {
        "report.html",
        "metrics.json",
        "scores.parquet",
        *("jaccard.png", "jaccard.svg", "jaccard_by_size.png", "jaccard_by_size.svg"),
    }
    assert json.loads((written.folder / "metrics.json").read_text("utf-8")) == written.metrics
    assert len(pd.read_parquet(written.folder / "scores.parquet")) == 30


def test_the_figures_are_those_of_the_metrics(written: SegmentationReport, judged: Judged) -> None:
    scores = score_masks(judged.pairs())
    groups = np.unique(judged.rows["group"], return_inverse=True)[1]
    expected = scores.estimates(groups, FEW)
    for name, found in written.metrics["scores"].items():
        assert found["value"] == pytest.approx(float(expected[name].value)), name
        assert found["low"] == pytest.approx(float(expected[name].low)), name
    pooled = written.metrics["pooled"]
    assert set(pooled) == {"jaccard", "dice", "sensitivity", "specificity", "accuracy"}
    assert pooled["jaccard"]["high"] == pytest.approx(float(expected["pooled_jaccard"].high))
    failed = (scores.by_image()["jaccard"] < 0.65).sum()
    failures = written.metrics["failures"]
    assert failures["photos"] == failed
    assert failures["share"]["value"] == pytest.approx(failed / 30)
    assert failures["share"]["low"] < failed / 30 < failures["share"]["high"]
    assert (failures["empty_predictions"], failures["whole_predictions"]) == (1, 1)
    assert failures["empty_truths"] == 0


def test_subgroups_are_scored_by_themselves(written: SegmentationReport, judged: Judged) -> None:
    metrics = written.metrics
    named = [(entry["diagnosis"], entry["photos"]) for entry in metrics["per_diagnosis"]]
    assert named == [("melanocytic_nevus", 24), ("melanoma", 5), (None, 1)]
    assert [entry["source"] for entry in metrics["per_source"]] == ["set", "another"]
    assert sum(entry["photos"] for entry in metrics["per_size"]) == 30
    melanoma = metrics["per_diagnosis"][1]
    own = score_masks(list(judged.pairs())[:5]).by_image()["jaccard"]
    assert melanoma["scores"]["jaccard"]["value"] == pytest.approx(own.mean())
    assert melanoma["failures"]["empty_predictions"] == 1
    assert melanoma["small"]
    assert metrics["per_diagnosis"][2]["scores"]["jaccard"]["low"] is None  # a single group


def test_the_summary_is_the_headline(written: SegmentationReport) -> None:
    summary = written.summary()
    assert [name for name, *_ in summary][:2] == ["Jaccard", "Jaccard, 0 below 0.65 (ISIC 2018)"]
    assert summary[-1][:2] == (
        "Share of failed photos",
        written.metrics["failures"]["share"]["value"],
    )
    assert all(low <= value <= high for _, value, low, high in summary)


def test_the_page_tells_what_a_reader_must_know(
    judged: Judged, context: ReportContext, tmp_path: Path
) -> None:
    pairs = [InputError("the mask is <inverted>"), *list(judged.pairs())[1:]]
    scored = score_pairs(judged.rows, pairs)
    report = write_report(scored, tmp_path / "r", context=context, resampling=FEW, without_mask=11)
    page = (report.folder / "report.html").read_text("utf-8")
    for text in (
        "Segmentation: cutis-segmenter on the test part",
        "29 photos of 15 groups",
        NOTICE,
        "ca" * 32,
        "unet, input 128 pixels",
        "140 photos of 90 groups",
        "evaluated 3 times",
        "name = &#34;&lt;plain&gt;&#34;",
        "set/0: the mask is &lt;inverted&gt;",
        "11 photos of this part have no mask",
        "nothing found",
        "true outline",
        "Melanocytic nevus",
        "Small: up to",
        "2 epochs",
    ):
        assert text in page, text
    assert "UNSAFE" not in page
    assert "http://" not in re.sub(r'src="data:[^"]*"', "", page)
    assert (report.folder / "training.svg").is_file()
    assert page.count("data:image/jpeg;base64,") == 12 + 6


def test_a_single_collection_is_a_limit_of_which_no_more_is_said(
    judged: Judged, unrendered: None, tmp_path: Path
) -> None:
    pages = {}
    for name, rows in (("one", judged.rows.assign(source="clinic")), ("two", judged.rows)):
        evaluate_masks(rows, judged.pairs(), tmp_path / name, resampling=FEW)
        pages[name] = (tmp_path / name / "report.html").read_text("utf-8")
    said = "All photos come from one collection, clinic. Other cameras, clinics and populations"
    assert said in pages["one"]
    assert "come from one collection" not in pages["two"]
    assert "centred" not in pages["one"]


def test_an_unsafe_split_is_marked_everywhere(
    judged: Judged, context: ReportContext, unrendered: None, tmp_path: Path
) -> None:
    marked = replace(context, unsafe=True)
    report = evaluate_masks(
        judged.rows, judged.pairs(), tmp_path / "r", context=marked, resampling=FEW
    )
    assert report.metrics["unsafe"]
    assert "UNSAFE." in (tmp_path / "r" / "report.html").read_text("utf-8")


def test_figures_of_an_unsafe_split_carry_the_stamp(judged: Judged, tmp_path: Path) -> None:
    stamped = {}
    for folder, unsafe in (("r", True), ("plain", False)):
        evaluate_masks(
            judged.rows,
            judged.pairs(),
            tmp_path / folder,
            context=ReportContext(unsafe=unsafe),
            resampling=FEW,
        )
        with Image.open(tmp_path / folder / "jaccard.png") as image:
            red = np.asarray(image.convert("RGB"))[:60].astype(int)
        stamped[unsafe] = int(((red[..., 0] > 150) & (red[..., 1] < 90)).sum())
    assert stamped[True] > 200
    assert stamped[False] == 0


def test_photos_that_are_gone_leave_their_tile(
    judged: Judged, unrendered: None, tmp_path: Path
) -> None:
    context = ReportContext(locate=lambda stored: tmp_path / stored)
    evaluate_masks(judged.rows, judged.pairs(), tmp_path / "r", context=context, resampling=FEW)
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert page.count("the photo is missing") == 18
    assert "data:image/jpeg" not in page


def test_empty_masks_make_a_report(judged: Judged, tmp_path: Path) -> None:
    nothing = [np.zeros_like(mask) for mask in judged.truth]
    report = evaluate_masks(
        judged.rows, zip(nothing, nothing, strict=True), tmp_path / "r", resampling=FEW
    )
    assert report.metrics["scores"]["jaccard"]["value"] == 1
    assert report.metrics["scores"]["sensitivity"] == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "every true mask is empty",
    }
    assert report.metrics["per_size"] == []
    assert report.metrics["failures"]["empty_truths"] == 30
    assert ("Sensitivity of the pixels", None, None, None) in report.summary()


def test_one_photo_makes_a_report(judged: Judged, tmp_path: Path) -> None:
    one = judged.rows[["image_id", "path"]].iloc[9:10]
    report = evaluate_masks(
        one, [(judged.predicted[9], judged.truth[9])], tmp_path / "r", resampling=FEW
    )
    assert report.metrics["groups"] == 1
    assert report.metrics["scores"]["jaccard"]["low"] is None
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert "each photo counts as its own group" in page


def test_nothing_is_written_where_masks_differ_and_other_content_stays(
    judged: Judged, tmp_path: Path
) -> None:
    pairs = [(mask[1:], mask) for mask in judged.truth]
    with pytest.raises(InputError, match="differ in size"):
        evaluate_masks(judged.rows, pairs, tmp_path / "r")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        evaluate_masks(judged.rows, judged.pairs(), tmp_path / "mine", resampling=FEW)


def test_the_same_input_gives_the_same_bytes(
    written: SegmentationReport, judged: Judged, tmp_path: Path
) -> None:
    again = evaluate_masks(judged.rows, judged.pairs(), tmp_path / "r", resampling=FEW)
    for file in written.folder.iterdir():
        if file.suffix in (".json", ".html", ".svg"):
            assert file.read_bytes() == (again.folder / file.name).read_bytes(), file.name


def test_outlines_have_their_colours_where_they_belong() -> None:
    truth, predicted = np.zeros((2, 60, 80), np.bool_)
    truth[10:30, 10:30] = True
    predicted[35:55, 50:70] = True
    drawn = overlay(np.full((60, 80, 3), 128, np.uint8), predicted, truth)
    for mask, colour, others in ((truth, TRUTH, predicted), (predicted, PREDICTED, truth)):
        near = np.abs(drawn.astype(int) - colour).sum(axis=2) < 30
        rows, _ = np.nonzero(near)
        assert len(rows) > 20
        box = np.nonzero(mask)
        assert rows.min() >= box[0].min() - 2
        assert rows.max() <= box[0].max() + 2
        assert not (near & others).any()
        # the truth is dashed: about half of its outline; the prediction is whole
        edge = near[box[0].min(), box[1].min() : box[1].max()]
        assert (edge.mean() > 0.95) == (colour == PREDICTED)
        assert edge.any()


def test_overlays_take_masks_of_their_photo(
    judged: Judged, context: ReportContext, unrendered: None, tmp_path: Path
) -> None:
    evaluate_masks(judged.rows, judged.pairs(), tmp_path / "r", context=context, resampling=FEW)
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    first = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)[0]
    with Image.open(io.BytesIO(base64.b64decode(first))) as image:
        assert image.size == (48, 36)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # the worst is the one in which nothing was found: there is a true outline and no other
    assert (np.abs(pixels - TRUTH).sum(axis=2) < 90).sum() > 10
    assert (np.abs(pixels - PREDICTED).sum(axis=2) < 90).sum() == 0
