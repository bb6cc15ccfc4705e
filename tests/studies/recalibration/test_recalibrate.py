"""A bundle fitted to a clinic: what changes, and which promises hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from cutis.cli import run
from cutis.metrics import softmax
from cutis.metrics.recalibration import Photos
from cutis.runtime import Predictor, answer_photo
from cutis.runtime.bundle import (
    read_info,
)
from cutis.studies.recalibration import recalibrate
from cutis.studies.recalibration.promises import clinic_policy
from cutis.studies.recalibration.study import (
    implied_shares,
)

from .conftest import CASES, PHOTOS, POLICY, Bundle


def test_a_bundle_is_fitted_and_its_sets_keep_their_promise(
    bundle: Bundle, clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, out = bundle(), tmp_path / "fitted"
    assert run(["recalibrate", str(old), str(clinic), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "Log loss" in said
    assert "feedback" not in said
    record = json.loads((out / "recalibration.json").read_text())
    (study,) = record["networks"]
    assert study["way"] == "temperature and prior"
    assert study["difference"]["log_loss"]["high"] < 0
    assert record["counts"]["cases"] == CASES
    assert record["counts"]["photos"] == PHOTOS
    info = read_info(out)
    entry = info.recalibrations["fp32"]
    assert (entry.temperature, entry.cases) == (study["temperature"], CASES)
    assert entry.sets_checked
    thresholds = info.policies["fp32"].set_thresholds
    assert all(np.array(thresholds) < POLICY.set_thresholds)
    assert info.policies["fp32"].highest_distance == POLICY.highest_distance
    assert info.model == read_info(old).model
    assert (out / "model.onnx").read_bytes() == (old / "model.onnx").read_bytes()
    page = (out / "recalibration.html").read_text()
    assert "Calibration before and after" in page
    assert "feedback" not in page
    assert "<script" not in page
    card = (out / "MODEL_CARD.md").read_text()
    assert "their softmax as exported, at temperature 1" in card
    assert card.index("## Recalibration") < card.index("## Limits")
    assert not read_info(old).recalibrations


def test_what_is_shown_changes_and_no_diagnosis_leaves_a_set(
    bundle: Bundle, clinic: Path, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    old = Predictor.load(bundle(), threads=1)
    recalibrate(tmp_path / "bundle", clinic, tmp_path / "fitted")
    new = Predictor.load(tmp_path / "fitted", threads=1)
    fitted = new.recalibration
    assert fitted is not None
    expected = softmax(logits / fitted.temperature + np.array(fitted.offsets))
    assert new.probabilities(logits) == pytest.approx(expected, abs=1e-6)
    changed = 0
    for picture in pictures[:60]:
        before, after = (answer_photo(p, picture, quality=False) for p in (old, new))
        assert set(before.prediction_set) <= set(after.prediction_set)
        if after.prediction_set:
            assert next(iter(after.probabilities)) in after.prediction_set
        assert before.malignant_possible <= after.malignant_possible
        changed += next(iter(before.probabilities)) != next(iter(after.probabilities))
    assert changed > 3
    # From probabilities alone, as the app pools them, sets come out the same.
    exported = softmax(logits.astype(np.float64))
    shown = new.probabilities(logits).astype(np.float64)
    scores = new.set_scores(shown)
    untouched = scores < 1
    assert scores[untouched] == pytest.approx(exported[untouched], rel=1e-4)
    assert np.isnan(new.set_scores(np.full((1, 3), np.nan))).all()


def test_sets_cover_a_clinic_that_the_old_ones_did_not(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    narrow = POLICY.model_copy(update={"set_thresholds": (0.8, 0.8, 0.8)})
    (study,) = recalibrate(bundle({"fp32": narrow}), clinic, tmp_path / "fitted").networks
    assert study.sets_before.coverage.value is not None
    assert study.sets_after.coverage.value is not None
    assert study.sets_before.coverage.value < 0.8
    assert study.sets_after.coverage.value > 0.92
    assert study.sets_checked
    assert study.kept is not None


def test_a_threshold_never_rises_and_falls_only_for_what_cases_show() -> None:
    rng = np.random.default_rng(0)
    exported = softmax(rng.normal(size=(200, 3)) * 2)
    truth = rng.integers(0, 2, 200)  # nobody shows the third
    photos = Photos(np.log(exported), truth, np.arange(200), np.arange(200) % 10)
    old = POLICY.model_copy(update={"set_thresholds": (1e-6, 0.9, 0.9)})
    made, enough = clinic_policy(old, exported, photos)
    thresholds = np.array(made.set_thresholds)
    assert enough
    assert thresholds[[0, 2]] == pytest.approx([1e-6, 0.9], rel=1e-4)
    assert thresholds[1] < 0.2
    # Room for float32: what stood in a set by its threshold must not fall out of it.
    assert (thresholds < np.array(old.set_thresholds) * (1 - 1e-6)).all()


def test_too_few_cases_for_the_level_leave_the_sets_unchecked(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    strict = POLICY.model_copy(update={"level": 0.995})
    study = recalibrate(bundle({"fp32": strict}), clinic, tmp_path / "fitted")
    assert not study.networks[0].sets_checked
    assert study.networks[0].thresholds == pytest.approx(POLICY.set_thresholds, rel=1e-4)
    assert "is not checked" in (tmp_path / "fitted" / "MODEL_CARD.md").read_text()


def test_a_network_without_thresholds_stays_as_exported(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    folder = bundle({"int8": POLICY}, ("int8", "fp32"))
    study = recalibrate(folder, clinic, tmp_path / "fitted")
    assert [one.network for one in study.networks] == ["int8"]
    assert study.as_exported == {"fp32": "no thresholds"}
    info = read_info(tmp_path / "fitted")
    assert set(info.recalibrations) == {"int8"}
    plain = Predictor.load(tmp_path / "fitted", model="fp32")
    assert plain.recalibration is None
    assert "`fp32` stays as exported" in (tmp_path / "fitted" / "MODEL_CARD.md").read_text()


def test_several_photos_of_a_sharpened_bundle_keep_their_exported_probabilities(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    from cutis.app.judging import pool

    recalibrate(bundle(), clinic, tmp_path / "fitted")
    predictor = Predictor.load(tmp_path / "fitted")
    assert predictor.recalibration is not None
    sharp = {"temperature": 0.5, "offsets": (0.0, -6.0, -2.0)}
    predictor.recalibration = predictor.recalibration.model_copy(update=sharp)
    logits = np.array([[18.0, 0.0, -8.0]] * 3, np.float32)
    shown = predictor.probabilities(logits).astype(np.float64)
    exported = softmax(logits.astype(np.float64))
    assert predictor.exported(shown) == pytest.approx(exported, rel=1e-3)
    assert pool(predictor.exported(shown)) == pytest.approx(exported[0], rel=1e-3)


def test_the_prior_of_a_model_is_what_training_left_in_the_logits(bundle: Bundle) -> None:
    model = read_info(bundle(train_counts={"melanocytic_nevus": 97, "melanoma": 1})).model
    assert model is not None
    assert implied_shares(model) == pytest.approx(np.array([98, 2, 1]) / 101)
    balanced = model.model_copy(update={"log_prior": (-0.1, -3.0, -4.0)})
    assert implied_shares(balanced) == pytest.approx([1 / 3] * 3)
