"""Cases that a bundle has seen, in training or in a recalibration, judge nothing."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cutis.cli import run
from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.errors import InputError
from cutis.runtime import Predictor
from cutis.runtime.bundle import (
    read_info,
    write_info,
)
from cutis.studies.abstention import abstention
from cutis.studies.recalibration import recalibrate

from .conftest import (
    CASES,
    COLUMNS_OF_OWN,
    PHOTOS,
    SHARES,
    Bundle,
    collected,
    handed_over,
    jpeg_of,
    truths,
)


def test_photos_that_trained_the_model_are_left_out(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    folder = bundle(sources=("own",))
    with pytest.raises(InputError, match=r"0 cases are too few.*130 photos are of sources"):
        recalibrate(folder, clinic, tmp_path / "fitted")
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="trained on this very catalog"):
        recalibrate(bundle(catalog_sha256=Catalog.open(clinic).sha256), clinic, tmp_path / "fitted")


def test_figures_on_the_very_cases_are_refused(
    bundle: Bundle, clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recalibrate(bundle(), clinic, tmp_path / "fitted")
    with pytest.raises(InputError, match="recalibrated on these 130 photos"):
        abstention(clinic, model=tmp_path / "fitted")
    code = run(["evaluate", str(tmp_path / "fitted"), "--data", str(clinic), "--part", "all",
                "--out", str(tmp_path / "report")])  # fmt: skip
    assert code == 2
    assert "recalibrated on these 130 photos" in capsys.readouterr().err


def test_the_cases_of_a_recalibration_are_known_in_every_catalog(
    bundle: Bundle, clinic: Path, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    recalibrate(bundle(), clinic, tmp_path / "fitted")
    # Feedback with a new photo of the first case, and photos of which some are copies.
    again = [*pictures[: PHOTOS - 1], jpeg_of(999)]
    truth = truths(logits, 1.6, SHARES)
    later = handed_over(tmp_path / "later", again, truth)
    new = collected(tmp_path / "new", [jpeg_of(k) for k in range(200, 330)], truth, range(20))
    import_sources([later], tmp_path / "other")
    catalog = import_sources([new], tmp_path / "other", columns=COLUMNS_OF_OWN).catalog
    out = tmp_path / "report"
    assert run(["evaluate", str(tmp_path / "fitted"), "--data", str(catalog.folder), "--part",
                "all", "--out", str(out)]) == 0  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["photos"], metrics["left_out"]) == (20, PHOTOS)
    study = abstention(catalog.folder, model=tmp_path / "fitted", quality=False)
    assert (study.photos, study.recalibrated_on) == (20, PHOTOS)


def test_a_bundle_names_no_photo_that_it_was_fitted_to(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    recalibrate(bundle(), clinic, tmp_path / "fitted")
    rows = Catalog.open(clinic).photos
    said = "".join(file.read_text(errors="ignore") for file in (tmp_path / "fitted").iterdir())
    for column in ("sha256", "pixels_sha256", "image_id"):
        assert not any(name in said for name in rows[column])
    codes = (tmp_path / "fitted" / "recalibrated-on.txt").read_text().split()
    assert len(codes) == 2 * PHOTOS
    assert "recalibrated-on.txt" in read_info(tmp_path / "fitted").files
    plain = Predictor.load(tmp_path / "bundle")
    assert not plain.was_fitted_to(rows).any()


def test_a_report_judges_the_probabilities_that_are_shown(
    bundle: Bundle, clinic: Path, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    recalibrate(bundle(), clinic, tmp_path / "fitted")
    truth = truths(logits, 1.6, SHARES)
    # Nobody knows that these are the photos it was fitted to.
    (tmp_path / "fitted" / "recalibrated-on.txt").write_text("")
    info = read_info(tmp_path / "fitted")
    empty = {"recalibrated-on.txt": hashlib.sha256(b"").hexdigest()}
    write_info(tmp_path / "fitted", info.model_copy(update={"files": info.files | empty}))
    later = collected(tmp_path / "later", pictures, truth, range(90))
    catalog = import_sources([later], tmp_path / "other", columns=COLUMNS_OF_OWN).catalog.folder
    assert run(["evaluate", str(tmp_path / "fitted"), "--data", str(catalog), "--part", "all",
                "--out", str(tmp_path / "report")]) == 0  # fmt: skip
    predictor = Predictor.load(tmp_path / "fitted")
    shown = predictor.probabilities(logits[:90]).astype(np.float64)
    loss = -np.log(shown[np.arange(90), truth[:90]]).mean()
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["calibration"]["before"]["log_loss"]["value"] == pytest.approx(loss, rel=1e-4)


def test_photos_of_a_case_stay_in_one_fold(clinic: Path, bundle: Bundle) -> None:
    from cutis.studies.recalibration.cases import FOLDS, find_cases

    model = read_info(bundle()).model
    assert model is not None
    rows: pd.DataFrame = find_cases(Catalog.open(clinic), model).rows
    assert rows["fold"].nunique() == FOLDS
    assert (rows.groupby("group")["fold"].nunique() == 1).all()
    assert rows["group"].nunique() == CASES
