"""`cutis app feedback`: from an archive to a folder that `cutis import` reads."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive.archive import Archive
from cutis.app.archive.schema import AccountRow
from cutis.app.cases import Case, CaseFacts, Judgement, Photo
from cutis.app.feedback.opinions import Answer, Opinions
from cutis.cli import run
from cutis.data.catalog import Catalog
from cutis.runtime import PhotoAnswer


def jpeg(seed: int) -> bytes:
    grain = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(grain).resize((48, 48)).save(file, "JPEG", quality=90)
    return file.getvalue()


def save(archive: Archive, account: Account, seed: int, diagnosis: str | None) -> None:
    """A case, and a clinician's opinion if there is a diagnosis."""
    shares = {"melanoma": 0.8, "lentigo": 0.2}
    judged = Judgement(photos=(PhotoAnswer(probabilities=shares),), probabilities=shares)
    case = Case((Photo(jpeg(seed), 48, 48),), CaseFacts(), judged)
    archive.save(case, account, patient="p", may_train=True, bundle="tiny", language="en")
    if diagnosis:
        Opinions(archive.database).give(case.id, 1, account, Answer(diagnosis, "clinical"))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two answered cases of one patient, and an open one."""
    monkeypatch.delenv("CUTIS_DATABASE_URL", raising=False)
    opened = Archive.open(tmp_path / "archive")
    row = AccountRow(
        name="ada",
        role=Role.CLINICIAN,
        password_hash="none",
        active=True,
        created=datetime.now(UTC),
        must_change_password=False,
    )
    with opened.database.session() as session:
        session.add(row)
        session.flush()
        ada = Account(row.id, "ada", Role.CLINICIAN)
    for seed, diagnosis in enumerate(("melanoma", "lentigo", None)):
        save(opened, ada, seed, diagnosis)
    opened.close()
    return tmp_path / "archive"


def test_what_is_handed_over_is_imported(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, catalog = tmp_path / "feedback", tmp_path / "catalog"
    assert run(["app", "feedback", str(archive), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 cases with 2 photos, 1 of them corrected; left out: 1 unanswered" in said
    assert run(["import", str(out), "--into", str(catalog), "--format", "feedback"]) == 0
    photos = Catalog.open(catalog).photos
    assert sorted(photos["diagnosis"]) == ["lentigo", "melanoma"]
    assert photos["patient_id"].nunique() == 1
    assert photos["lesion_id"].nunique() == 2
    assert set(photos["confirmed_by"]) == {"clinical"}


def test_an_archive_with_nothing_to_hand_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUTIS_DATABASE_URL", raising=False)
    Archive.open(tmp_path / "archive").close()
    assert run(["app", "feedback", str(tmp_path / "archive"), "--out", str(tmp_path / "o")]) == 2
    assert "No case can be handed over yet." in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_folder_that_is_no_archive_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["app", "feedback", str(tmp_path / "none"), "--out", str(tmp_path / "o")]) == 2
    assert "there is no archive here" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
