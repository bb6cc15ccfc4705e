"""The handover: what leaves, under which codes, and that the importer reads it."""

import csv
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cutis.app.accounts.accounts import Account
from cutis.app.archive.archive import Archive
from cutis.app.cases import CaseFacts
from cutis.app.errors import AppError
from cutis.app.feedback.handover import readiness, write_folder, write_zip
from cutis.data.sources import read_source
from cutis.errors import InputError

from ..conftest import encoded
from .conftest import BUNDLE, JPEG, Say, save_case


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "feedback.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("feedback.*")))


def test_a_case_is_handed_over_as_the_importer_reads_it(
    archive: Archive, reporter: Account, ada: Account, say: Say, tmp_path: Path
) -> None:
    facts = CaseFacts(age=45, sex="female", site="back", note="private words")
    case = save_case(archive, reporter, "melanoma", patient="Patient 7", facts=facts)
    say(case, ada, "compound_nevus", "histology", "a private comment")
    handed = write_folder(archive, tmp_path / "out")
    sha256 = hashlib.sha256(JPEG).hexdigest()
    (row,) = rows(tmp_path / "out")
    code, patient = row.pop("case"), row.pop("patient")
    assert row == {
        "image": f"{sha256}.jpg",
        "diagnosis": "compound_nevus",
        "confirmed_by": "histology",
        "model_diagnosis": "melanoma",
        "age": "45",
        "sex": "female",
        "site": "back",
        "bundle": BUNDLE,
        "saved": datetime.now(UTC).date().isoformat(),
    }
    assert code == hashlib.sha256(case.encode()).hexdigest()[:16]
    assert len(patient) == 16
    assert (tmp_path / "out" / "photos" / f"{sha256}.jpg").read_bytes() == JPEG
    for secret in (case.encode(), b"Patient 7", b"private", b"ada", b"reporter"):
        assert secret not in everything(tmp_path / "out")
    assert (handed.cases, handed.photos, handed.corrected) == (1, 1, 1)
    assert handed.diagnoses == {"compound_nevus": 1}
    table = read_source(tmp_path / "out", None, {})
    assert table.format == "feedback"
    (read,) = table.rows.to_dict("records")
    assert (read["source_label"], read["confirmed_by"]) == ("compound_nevus", "histology")
    assert (read["patient_id"], read["lesion_id"], read["age"]) == (patient, code, 45)


def test_only_settled_cases_with_consent_leave(
    archive: Archive, reporter: Account, ada: Account, ben: Account, say: Say, tmp_path: Path
) -> None:
    ready, refused, disputed, _ = (
        save_case(archive, reporter, may_train=n != 1, photo=encoded(height=40, width=40, seed=n))
        for n in range(4)
    )
    for case in (ready, refused, disputed):
        say(case, ada, "melanoma")
    say(disputed, ben, "lentigo")
    count, left = readiness(archive)
    assert (count, left.refused, left.unsettled, left.unanswered) == (1, 1, 1, 1)
    handed = write_folder(archive, tmp_path / "out")
    assert handed.cases == 1
    assert handed.left_out == left
    (row,) = rows(tmp_path / "out")
    assert row["case"] == hashlib.sha256(ready.encode()).hexdigest()[:16]
    assert handed.corrected == 0


def test_histology_decides_what_leaves(
    archive: Archive, reporter: Account, ada: Account, ben: Account, say: Say, tmp_path: Path
) -> None:
    case = save_case(archive, reporter)
    say(case, ada, "melanoma", "consensus")
    say(case, ben, "lentigo", "histology")
    write_folder(archive, tmp_path / "out")
    (row,) = rows(tmp_path / "out")
    assert (row["diagnosis"], row["confirmed_by"]) == ("lentigo", "histology")


def test_codes_of_patients_stay_and_belong_to_the_archive(
    archive: Archive, reporter: Account, ada: Account, say: Say, tmp_path: Path
) -> None:
    for patient in ("p1", "p1", "p2", None):
        say(save_case(archive, reporter, patient=patient), ada, "melanoma")
    write_folder(archive, tmp_path / "first")
    write_folder(archive, tmp_path / "second")
    first, second = (
        [row["patient"] for row in rows(tmp_path / name)] for name in ("first", "second")
    )
    assert first == second
    assert first[0] == first[1]
    assert len({*first}) == 3
    assert first[3] == ""
    plain = {hashlib.sha256(name.encode()).hexdigest()[:16] for name in ("p1", "p2")}
    assert plain.isdisjoint(first)


def test_the_note_vouches_for_the_table(
    archive: Archive, reporter: Account, ada: Account, say: Say, tmp_path: Path
) -> None:
    other = encoded(height=40, width=40, seed=1)
    for photo in (JPEG, JPEG, other):
        say(save_case(archive, reporter, photo=photo), ada, "melanoma")
    write_folder(archive, tmp_path / "out")
    note = json.loads((tmp_path / "out" / "feedback.json").read_text("utf-8"))
    assert (note["format"], note["version"]) == ("cutis-feedback", 1)
    table = (tmp_path / "out" / "feedback.csv").read_bytes()
    assert note["sha256"] == hashlib.sha256(table).hexdigest()
    assert note["counts"] == {
        "cases": 3,
        "photos": 2,
        "corrected": 0,
        "diagnoses": {"melanoma": 3},
    }
    assert note["licence"]
    write_folder(archive, tmp_path / "out")  # replaces it
    again = json.loads((tmp_path / "out" / "feedback.json").read_text("utf-8"))
    assert again["clinic"] == note["clinic"]
    assert archive.audit()[0][0].action == "feedback"
    assert archive.audit()[0][0].details == {"cases": 3, "photos": 2}


def test_a_zip_holds_the_same(
    archive: Archive, reporter: Account, ada: Account, say: Say, tmp_path: Path
) -> None:
    say(save_case(archive, reporter), ada, "melanoma")
    packed = io.BytesIO()
    write_zip(archive, packed, ada)
    write_folder(archive, tmp_path / "out")
    with zipfile.ZipFile(packed) as read:
        assert read.testzip() is None
        names = {path.relative_to(tmp_path / "out").as_posix()
                 for path in (tmp_path / "out").rglob("*.*")}  # fmt: skip
        assert set(read.namelist()) == names
        assert read.read("feedback.csv") == (tmp_path / "out" / "feedback.csv").read_bytes()
    assert archive.audit()[0][1].account == "ada"


def test_a_photo_without_consent_stays_whatever_other_case_holds_it(
    archive: Archive, reporter: Account, ada: Account, say: Say, tmp_path: Path
) -> None:
    """Also where the case without consent was never answered."""
    other = encoded(height=40, width=40, seed=1)
    for photo, may_train in ((JPEG, True), (JPEG, False), (other, True)):
        case = save_case(archive, reporter, photo=photo, may_train=may_train)
        if may_train:
            say(case, ada, "melanoma")
    count, left = readiness(archive)
    assert (count, left.refused, left.unanswered) == (1, 1, 1)
    handed = write_folder(archive, tmp_path / "out")
    assert (handed.cases, handed.photos, handed.left_out.refused) == (1, 1, 1)
    (kept,) = (tmp_path / "out" / "photos").iterdir()
    assert kept.read_bytes() == other


def test_only_its_owner_reads_a_handover(
    archive: Archive, reporter: Account, ada: Account, say: Say, tmp_path: Path
) -> None:
    say(save_case(archive, reporter), ada, "melanoma")
    for _ in range(2):  # new, and in the place of an earlier one
        write_folder(archive, tmp_path / "out")
        assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_a_damaged_photo_keeps_its_case_back_alone(
    archive: Archive, reporter: Account, ada: Account, say: Say, tmp_path: Path
) -> None:
    other = encoded(height=40, width=40, seed=1)
    for photo in (JPEG, other):
        say(save_case(archive, reporter, photo=photo), ada, "melanoma")
    sha256 = hashlib.sha256(other).hexdigest()
    (path,) = (tmp_path / "archive").rglob(f"{sha256}.jpg")
    path.write_bytes(JPEG)
    handed = write_folder(archive, tmp_path / "out")
    assert (handed.cases, handed.left_out.damaged) == (1, 1)
    assert [row["image"] for row in rows(tmp_path / "out")] == [
        f"{hashlib.sha256(JPEG).hexdigest()}.jpg"
    ]


def test_nothing_to_hand_over_leaves_nothing(
    archive: Archive, reporter: Account, tmp_path: Path
) -> None:
    save_case(archive, reporter)
    with pytest.raises(AppError) as caught:
        write_folder(archive, tmp_path / "out")
    assert caught.value.code == "no_feedback"
    assert not (tmp_path / "out").exists()
    assert [line.action for line in archive.audit()[0]] == ["case_saved"]


def test_other_content_is_not_replaced(
    archive: Archive, reporter: Account, ada: Account, say: Say, tmp_path: Path
) -> None:
    say(save_case(archive, reporter), ada, "melanoma")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        write_folder(archive, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.doc").read_text() == "mine"
