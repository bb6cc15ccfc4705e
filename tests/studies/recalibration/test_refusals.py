"""What is not recalibrated, and what is given up where it would cost warnings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cutis.cli import run
from cutis.data.importer import import_sources
from cutis.errors import CheckFailedError, InputError
from cutis.metrics.recalibration import Photos
from cutis.runtime import Predictor
from cutis.studies.recalibration import recalibrate
from cutis.studies.recalibration.study import (
    MAY_FIND_FEWER,
    OF_FEEDBACK,
    Network,
    study_network,
)

from .conftest import COLUMNS_OF_OWN, PHOTOS, SHARES, Bundle, collected, handed_over, truths


def cases_of(logits: np.ndarray, truth: np.ndarray) -> Photos:
    number = np.arange(len(truth))
    return Photos(np.asarray(logits, np.float64), truth, number, number % 10)


def test_calibration_that_gets_no_better_is_a_failed_check(
    bundle: Bundle, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    table = collected(tmp_path / "own", pictures, truths(logits, 1.0, (0, 0, 0)))
    catalog = import_sources([table], tmp_path / "catalog", columns=COLUMNS_OF_OWN).catalog.folder
    with pytest.raises(CheckFailedError, match=r"rely on.*more than chance(.|\n)*log loss"):
        recalibrate(bundle(), catalog, tmp_path / "fitted")
    assert not (tmp_path / "fitted").exists()
    assert run(["recalibrate", str(tmp_path / "bundle"), str(catalog),
                "--out", str(tmp_path / "fitted")]) == 1  # fmt: skip


def test_fewer_than_fifty_cases_are_refused(
    bundle: Bundle, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    truth = truths(logits, 1.6, SHARES)
    for photos, refused in ((49, True), (50, False)):
        table = collected(tmp_path / f"own-{photos}", pictures, truth, range(photos))
        catalog = import_sources(
            [table], tmp_path / f"catalog-{photos}", columns=COLUMNS_OF_OWN
        ).catalog.folder
        if refused:
            with pytest.raises(InputError, match=r"49 cases are too few(.|\n)*50 cases or more"):
                recalibrate(bundle(), catalog, tmp_path / "fitted")
        else:
            assert recalibrate(tmp_path / "bundle", catalog, tmp_path / "fitted").counts.cases == 50


def test_one_diagnosis_is_refused(bundle: Bundle, tmp_path: Path, pictures: list[bytes]) -> None:
    feedback = handed_over(tmp_path / "feedback", pictures, np.zeros(PHOTOS, int))
    catalog = import_sources([feedback], tmp_path / "catalog").catalog.folder
    with pytest.raises(InputError, match="all 100 cases are of one diagnosis, melanocytic_nevus"):
        recalibrate(bundle(), catalog, tmp_path / "fitted")


def test_bundles_that_cannot_be_recalibrated(bundle: Bundle, clinic: Path, tmp_path: Path) -> None:
    folder = bundle()
    with pytest.raises(InputError, match="would replace the one as exported"):
        recalibrate(folder, clinic, folder)
    recalibrate(folder, clinic, tmp_path / "fitted")
    with pytest.raises(InputError, match="recalibrated already"):
        recalibrate(tmp_path / "fitted", clinic, tmp_path / "again")
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="does not say when it cannot tell"):
        recalibrate(bundle({}), clinic, tmp_path / "again")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(InputError, match="already holds something else"):
        recalibrate(folder, clinic, tmp_path / "mine")


def test_no_prior_is_fitted_to_feedback(
    bundle: Bundle,
    tmp_path: Path,
    pictures: list[bytes],
    logits: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    feedback = handed_over(tmp_path / "feedback", pictures, truths(logits, 3.5, SHARES))
    catalog = import_sources([feedback], tmp_path / "catalog").catalog.folder
    out = tmp_path / "fitted"
    assert run(["recalibrate", str(bundle()), str(catalog), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "are feedback: harder" in said
    assert OF_FEEDBACK in said
    (study,) = json.loads((out / "recalibration.json").read_text())["networks"]
    assert (study["way"], study["no_prior"]) == ("temperature", OF_FEEDBACK)
    assert not any(study["offsets"])
    for file in ("recalibration.html", "MODEL_CARD.md"):
        text = (out / file).read_text()
        assert "feedback like these, which the clinic&#39;s patients are not" in text.replace(
            "'", "&#39;"
        )
        assert "further cases like this clinic" not in text
    assert "feedback from the app" in (out / "recalibration.html").read_text()


def test_a_prior_that_costs_warnings_gives_way_to_temperature(bundle: Bundle) -> None:
    network = Network.of(Predictor.load(bundle()))
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(600, 3)) * 3
    study = study_network(
        network, cases_of(logits, truths(logits, 2.5, (2.0, -1.5, 0.0))),
        feedback=False,
    )  # fmt: skip
    assert (study.way, study.no_prior) == ("temperature", MAY_FIND_FEWER)
    assert study.finds_as_many
    assert study.failures == ()
    assert study.before.not_benign_found == study.after.not_benign_found
    # Few cases do not excuse it, nor do cases that show nothing that is not benign.
    few = truths(logits[:60], 2.5, (2.0, -1.5, 0.0))
    calm = np.where(few == 1, 0, few)
    for truth in (few, calm):
        study = study_network(network, cases_of(logits[:60], truth), feedback=False)
        assert study.no_prior == MAY_FIND_FEWER
        assert not any(study.offsets)
    # Another prior, which finds more of them, is fitted.
    study = study_network(
        network, cases_of(logits, truths(logits, 2.5, (-1.5, 2.0, 0.0))),
        feedback=False,
    )  # fmt: skip
    assert (study.way, study.no_prior) == ("temperature and prior", "")
    assert study.failures == ()
    assert study.after.not_benign_found.value > study.before.not_benign_found.value  # type: ignore[operator]


def test_easy_cases_make_no_bundle_certain(bundle: Bundle) -> None:
    network = Network.of(Predictor.load(bundle()))
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    logits = np.eye(3)[truth] * 4 + rng.normal(size=(60, 3)) * 0.3
    right = study_network(network, cases_of(logits, truth), feedback=False)
    assert right.wrong == 0
    assert right.difference["log_loss"].high is not None
    assert right.difference["log_loss"].high < 0
    assert right.temperature >= 0.5 * (1 - 1e-6)
    assert "only 0 of the cases are answered wrongly" in right.failures[0]
    assert "falls to its lower limit" in right.failures[1]
    # With some mistakes, but still too easy, the second reason remains.
    many = np.tile(np.eye(3)[truth] * 0.9, (4, 1))
    logits = many + rng.normal(size=(240, 3)) * 0.3
    some = study_network(network, cases_of(logits, np.tile(truth, 4)),
                         feedback=False)  # fmt: skip
    assert some.wrong >= 5
    assert some.failures == (right.failures[1],)


def test_sets_that_miss_more_are_a_failure(bundle: Bundle) -> None:
    network = Network.of(Predictor.load(bundle()))
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(400, 3)) * 2
    study = study_network(
        network, cases_of(logits, truths(logits, 3.0, (-1.0, 1.0, 0.0))),
        feedback=False,
    )  # fmt: skip
    assert study.failures == ()
    missed = study.difference["missed"].model_copy(update={"value": 0.1, "low": 0.01, "high": 0.2})
    worse = study.model_copy(update={"difference": study.difference | {"missed": missed}})
    assert "answered with benign diagnoses alone rises" in worse.failures[0]
