"""The whole way from predictions to a report folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from cutis.errors import InputError
from cutis.evaluation import EvaluationContext, Side, evaluate_predictions, read_predictions
from cutis.metrics import Resampling, softmax
from cutis.metrics.calibration import fit_temperature
from cutis.records import ModelInfo
from cutis.taxonomy import Malignancy

Made = Any  # of conftest.py, which cannot be imported

FEW = Resampling(resamples=40)


def _metrics(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "metrics.json").read_text("utf-8"))
    return read


def _figures(node: object) -> list[dict[str, Any]]:
    """All figures anywhere in the metrics."""
    if isinstance(node, dict):
        if {"value", "low", "high", "reason"} <= set(node):
            return [node]
        return [found for child in node.values() for found in _figures(child)]
    return [found for child in node for found in _figures(child)] if isinstance(node, list) else []


def test_scores_equal_scikit_learn(made: Made, folder: Path) -> None:
    found = {name: figure["value"] for name, figure in _metrics(folder)["scores"].items()}
    truth, probabilities = made.truth_index, made.probabilities
    predicted = probabilities.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(truth, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, predicted),
        "f1_macro": reference.f1_score(truth, predicted, average="macro"),
        "precision_weighted": reference.precision_score(truth, predicted, average="weighted"),
        "auroc_macro": reference.roc_auc_score(truth, probabilities, multi_class="ovr"),
        "average_precision_macro": reference.average_precision_score(
            np.eye(4)[truth], probabilities
        ),
        "log_loss": reference.log_loss(truth, probabilities),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_malignant_score_sums_the_malignant_diagnoses(made: Made, folder: Path) -> None:
    found = _metrics(folder)["malignant"]
    positive = made.truth_index < 2
    scores = made.probabilities[:, :2].sum(axis=1)
    assert found["malignant"] == ["basal_cell_carcinoma", "melanoma"]
    assert found["malignant_photos"] == positive.sum()
    assert found["auroc"]["value"] == pytest.approx(reference.roc_auc_score(positive, scores))
    false, true, _ = reference.roc_curve(positive, scores, drop_intermediate=False)
    points = {point["at"]: point for point in found["points"]}
    assert len(points) == 6
    best = true[1 - false >= 0.9].max()
    assert points["sensitivity_at_0.9"]["reached"]["value"] == pytest.approx(best)
    answered = made.probabilities.argmax(axis=1) < 2
    sensitivity = found["as_answered"]["sensitivity"]["value"]
    assert sensitivity == pytest.approx(answered[positive].mean())


def test_subgroups_equal_the_scores_of_their_photos(made: Made, folder: Path) -> None:
    found = {(g["kind"], g["name"]): g for g in _metrics(folder)["subgroups"]}
    histology = (made.truth["confirmed_by"] == "histology").to_numpy()
    entry = found["confirmed by", "histology"]
    predicted = made.probabilities.argmax(axis=1)
    assert entry["photos"] == histology.sum()
    assert entry["groups"] == made.truth.loc[histology, "group"].nunique()
    assert entry["scores"]["accuracy"]["value"] == pytest.approx(
        (predicted == made.truth_index)[histology].mean()
    )
    assert ("source", "set") not in found
    bands = [g["photos"] for (kind, _), g in found.items() if kind == "age"]
    assert sum(bands) == made.truth["age"].notna().sum()
    assert {name for kind, name in found if kind == "sex"} == {"female", "male"}


@pytest.mark.usefixtures("unrendered")
def test_small_subgroups_are_marked(made: Made, tmp_path: Path) -> None:
    truth = made.truth.assign(source=["rare"] * 5 + ["set"] * 115)
    report = evaluate_predictions(made.predictions, truth, tmp_path / "r", resampling=FEW)
    found = {g["name"]: g for g in report.metrics["subgroups"] if g["kind"] == "source"}
    assert found["rare"]["small"]
    assert not found["set"]["small"]
    assert "n &lt; 20" in (tmp_path / "r" / "report.html").read_text("utf-8")


def test_every_figure_is_within_its_interval_or_says_why_not(folder: Path) -> None:
    figures = _figures(_metrics(folder))
    assert len(figures) > 60
    for figure in figures:
        if figure["low"] is None:
            assert figure["reason"]
        else:
            assert figure["low"] <= figure["high"]


@pytest.mark.usefixtures("unrendered")
def test_temperature_is_fitted_on_validation(made: Made, another: Made, tmp_path: Path) -> None:
    report = evaluate_predictions(
        made.predictions,
        made.truth,
        tmp_path / "r",
        context=EvaluationContext(validation=another.joined()),
        resampling=FEW,
    )
    found = report.metrics["calibration"]
    logits = another.logits
    assert found["temperature"] == pytest.approx(fit_temperature(logits, another.truth_index))
    assert found["fitted_on"] == "120 validation photos"
    here = made.logits
    for when, temperature in (("before", 1.0), ("after", found["temperature"])):
        expected = reference.log_loss(made.truth_index, softmax(here, temperature))
        assert found[when]["log_loss"]["value"] == pytest.approx(expected)
    assert all(p["with_validation_threshold"] for p in report.metrics["malignant"]["points"])


@pytest.mark.usefixtures("unrendered")
def test_the_models_own_temperature_is_undone_for_before(
    made: Made, model: ModelInfo, tmp_path: Path
) -> None:
    logits = made.logits
    warm = made.predictions[["image_id"]].copy()
    warm[list(made.diagnoses)] = softmax(logits, 2.0)
    context = EvaluationContext(model=model.model_copy(update={"temperature": 2.0}))
    report = evaluate_predictions(warm, made.truth, tmp_path / "r", context=context, resampling=FEW)
    found = report.metrics["calibration"]
    before = reference.log_loss(made.truth_index, softmax(logits))
    after = reference.log_loss(made.truth_index, softmax(logits, 2.0))
    assert found["before"]["log_loss"]["value"] == pytest.approx(before)
    assert found["after"]["log_loss"]["value"] == pytest.approx(after)


@pytest.mark.usefixtures("unrendered")
def test_validation_photos_must_not_be_evaluated(made: Made, tmp_path: Path) -> None:
    context = EvaluationContext(validation=made.joined())
    with pytest.raises(InputError, match="120 validation photos are evaluated too"):
        evaluate_predictions(made.predictions, made.truth, tmp_path / "r", context=context)
    assert not (tmp_path / "r").exists()


def test_answers_alone_give_the_scores_that_need_no_probabilities(
    made: Made, tmp_path: Path
) -> None:
    predicted = [made.diagnoses[index] for index in made.probabilities.argmax(axis=1)]
    hard = made.joined()[["image_id", "truth", "group"]].assign(predicted=predicted)
    report = evaluate_predictions(hard, None, tmp_path / "r", resampling=FEW)
    scores = report.metrics["scores"]
    right = made.probabilities.argmax(axis=1) == made.truth_index
    assert scores["accuracy"]["value"] == pytest.approx(right.mean())
    assert scores["auroc_macro"] == {
        "value": None, "low": None, "high": None, "reason": "the table has no probabilities",
    }  # fmt: skip
    assert report.metrics["malignant"]["as_answered"]["sensitivity"]["value"] is not None
    assert report.metrics["mistakes"] == []
    assert not (tmp_path / "r" / "roc.png").exists()


@pytest.mark.usefixtures("unrendered")
def test_an_absent_diagnosis_is_none_with_a_reason(made: Made, tmp_path: Path) -> None:
    table = made.joined()
    table = table[table["truth"] != "melanoma"]
    report = evaluate_predictions(table, None, tmp_path / "r", resampling=FEW)
    entry = next(e for e in report.metrics["per_diagnosis"] if e["diagnosis"] == "melanoma")
    assert entry["photos"] == 0
    assert entry["specificity"]["value"] is not None
    for score in ("sensitivity", "precision", "f1", "auroc", "average_precision"):
        assert entry[score]["value"] is None
        assert entry[score]["reason"] == "no photo shows it"
    assert "Nothing is known about Melanoma" in (tmp_path / "r" / "report.html").read_text("utf-8")


@pytest.mark.usefixtures("unrendered")
def test_a_diagnosis_beyond_the_model_counts_as_mistakes(made: Made, tmp_path: Path) -> None:
    table = made.joined()
    table.loc[:9, "truth"] = "dermatofibroma"
    report = evaluate_predictions(table, None, tmp_path / "r", resampling=FEW)
    right = made.probabilities.argmax(axis=1) == made.truth_index
    assert report.metrics["scores"]["accuracy"]["value"] == pytest.approx(right[10:].sum() / 120)
    entry = report.metrics["per_diagnosis"][-1]
    assert entry["sensitivity"]["value"] == 0
    assert entry["auroc"]["reason"] == "the model cannot answer it"
    loss = reference.log_loss(made.truth_index[10:], made.probabilities[10:], labels=range(4))
    assert report.metrics["scores"]["log_loss"]["value"] == pytest.approx(loss)


@pytest.mark.usefixtures("unrendered")
def test_precancer_falls_on_the_side_that_is_asked_for(made: Made, tmp_path: Path) -> None:
    names = {"benign_keratosis": "actinic_keratosis"}
    table = made.joined().rename(
        columns={f"{p}{old}": f"{p}{new}" for old, new in names.items() for p in ("", "logit_")}
    )
    table["truth"] = table["truth"].replace(names)
    careful = evaluate_predictions(table, None, tmp_path / "a", resampling=FEW)
    other = evaluate_predictions(
        table, None, tmp_path / "b", resampling=FEW, side=Side(precancer=Malignancy.BENIGN)
    )
    assert "actinic_keratosis" in careful.metrics["malignant"]["malignant"]
    assert "actinic_keratosis" in other.metrics["malignant"]["benign"]
    assert other.metrics["malignant"]["precancer_is"] == "benign"


@pytest.mark.usefixtures("unrendered")
def test_a_nearer_truth_keeps_its_own_side(made: Made, tmp_path: Path) -> None:
    # The class holds cancers and precancers, so it has no side, but Bowen's disease has.
    names = {"basal_cell_carcinoma": "skin_cancer_or_precancer"}
    table = made.joined().rename(
        columns={f"{p}{old}": f"{p}{new}" for old, new in names.items() for p in ("", "logit_")}
    )
    table["truth"] = table["truth"].replace({"basal_cell_carcinoma": "bowen_disease"})
    found = evaluate_predictions(table, None, tmp_path / "r", resampling=FEW).metrics["malignant"]
    assert found["neither"] == ["skin_cancer_or_precancer"]
    assert found["left_out"] == 0
    assert found["malignant_photos"] == (made.truth_index < 2).sum()


@pytest.mark.usefixtures("unrendered")
def test_thresholds_reach_their_level_where_they_are_chosen(
    made: Made, another: Made, tmp_path: Path
) -> None:
    report = evaluate_predictions(
        made.predictions,
        made.truth,
        tmp_path / "r",
        context=EvaluationContext(validation=another.joined()),
        resampling=FEW,
    )
    scores, positive = made.probabilities[:, :2].sum(axis=1), made.truth_index < 2
    there = another.probabilities[:, :2].sum(axis=1), another.truth_index < 2
    for point in report.metrics["malignant"]["points"]:
        reached, _, level = point["at"].partition("_at_")
        chosen = point["with_validation_threshold"]
        for values, truth, threshold in (
            (scores, positive, point["threshold"]),
            (*there, chosen["threshold"]),
        ):
            found = {
                "sensitivity": (values >= threshold)[truth].mean(),
                "specificity": (values < threshold)[~truth].mean(),
            }
            held = "specificity" if reached == "sensitivity" else "sensitivity"
            assert found[held] >= float(level) - 1e-9
        here = (scores >= chosen["threshold"])[positive].mean()
        assert chosen["sensitivity"]["value"] == pytest.approx(here)


@pytest.mark.usefixtures("unrendered")
def test_mistakes_start_with_the_most_confident(made: Made, tmp_path: Path) -> None:
    report = evaluate_predictions(made.predictions, made.truth, tmp_path / "r", resampling=FEW)
    found = report.metrics["mistakes"]
    predicted, confidence = made.probabilities.argmax(axis=1), made.probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != made.truth_index)
    worst = wrong[np.argmax(confidence[wrong])]
    assert found[0]["image_id"] == made.truth["image_id"][worst]
    assert found[0]["truth"] == made.diagnoses[made.truth_index[worst]]
    assert found[0]["predicted"] == made.diagnoses[predicted[worst]]
    assert [m["probability"] for m in found] == sorted(confidence[wrong], reverse=True)[:24]


def test_the_documented_table_is_accepted(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "predictions.md"
    example = page.read_text("utf-8").split("```csv\n")[1].split("```")[0]
    (tmp_path / "table.csv").write_text(example, "utf-8")
    table = read_predictions(tmp_path / "table.csv")
    report = evaluate_predictions(table, None, tmp_path / "r", resampling=FEW)
    assert report.metrics["photos"] == 2
    assert report.metrics["scores"]["accuracy"]["value"] == 1


def test_every_key_of_the_metrics_is_documented(folder: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "report.md"
    documented = page.read_text("utf-8")
    keys = set(_metrics(folder)) - {"format_version", "cutis_version", "notice"}
    assert len(keys) > 15
    assert [key for key in sorted(keys) if f"`{key}`" not in documented] == []


@pytest.mark.usefixtures("unrendered")
def test_one_sided_diagnoses_are_not_asked_for_malignancy(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": list("abc"), "truth": "acne", "predicted": "eczema"})
    report = evaluate_predictions(table, None, tmp_path / "r", resampling=FEW)
    assert "do not stand on both sides" in report.metrics["malignant"]["reason"]
    assert report.summary()[0][1] == 0


def test_summary_is_the_headline(folder: Path, made: Made, tmp_path: Path) -> None:
    report = evaluate_predictions(made.predictions, made.truth, tmp_path / "r", resampling=FEW)
    names = [name for name, *_ in report.summary()]
    assert names[0].startswith("Balanced accuracy")
    assert names[-1] == "AUROC, malignant against benign"
    assert report.metrics["scores"] == _metrics(folder)["scores"]


def test_the_same_input_gives_the_same_files(made: Made, folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"report.html", "metrics.json", "predictions.parquet", "roc.svg"} <= set(before)
    evaluate_predictions(made.predictions, made.truth, folder, resampling=FEW)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_written_predictions_give_the_same_scores_again(folder: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(folder / "predictions.parquet")
    again = evaluate_predictions(table, None, tmp_path / "again", resampling=FEW)
    assert again.metrics["scores"] == _metrics(folder)["scores"]
    assert again.metrics["subgroups"] == _metrics(folder)["subgroups"]


@pytest.mark.usefixtures("unrendered")
def test_a_folder_with_other_things_is_not_touched(made: Made, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="already holds something else"):
        evaluate_predictions(made.predictions, made.truth, tmp_path, resampling=FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_failure_leaves_the_old_report(
    made: Made, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "metrics.json").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cutis.evaluation.evaluate.render", fail)
    with pytest.raises(KeyboardInterrupt):
        evaluate_predictions(made.predictions, made.truth, folder, resampling=FEW)
    assert (folder / "metrics.json").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_one_row_is_enough(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"image_id": ["a"], "truth": ["melanoma"], "melanoma": [0.6], "melanocytic_nevus": [0.4]}
    )
    report = evaluate_predictions(table, None, tmp_path / "r", resampling=FEW)
    assert report.metrics["scores"]["accuracy"]["value"] == 1
    assert report.metrics["scores"]["accuracy"]["low"] is None
    assert report.metrics["scores"]["auroc_macro"]["value"] is None
