"""Saved cases on both databases: whole or not at all, and gone when deleted."""

import errno
import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cutis.app.accounts.accounts import Account
from cutis.app.archive.archive import CASES, UNKNOWN_URGENCY, Archive, uncertainty
from cutis.app.archive.database import FILE, Database
from cutis.app.archive.folder import MARKER
from cutis.app.archive.schema import CaseRow, OpinionRow
from cutis.app.cases import Case, Judgement
from cutis.app.errors import AppError
from cutis.errors import InputError
from cutis.metrics.answer_policy import Verdict
from cutis.taxonomy import Urgency

from .conftest import NOTE, SHARES, files, make_case, save, tables


def named(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}.jpg"


def test_a_saved_case_comes_back_as_it_was(archive: Archive, reporter: Account) -> None:
    case = make_case(b"one", b"two")
    before = datetime.now(UTC)
    save(archive, reporter, case, patient="P-7", may_train=True, bundle="b 1", language="fa")
    found = archive.case(case.id)
    assert found is not None
    assert found.case == case
    assert list(found.case.judgement.probabilities) == list(SHARES)
    assert found.case.created.utcoffset() == timedelta(0)
    assert (found.reporter, found.patient, found.may_train) == (reporter, "P-7", True)
    assert (found.bundle, found.language, found.version, found.damaged) == ("b 1", "fa", 1, ())
    assert before <= found.saved <= datetime.now(UTC)
    assert files(archive) == sorted([named(b"one"), named(b"two")])
    assert archive.case("another") is None


def test_it_is_there_after_the_archive_was_opened_anew(
    archive: Archive, reporter: Account, database_url: str | None
) -> None:
    case = make_case()
    save(archive, reporter, case)
    again = Archive.open(archive.folder, database_url)
    found = again.case(case.id)
    again.close()
    assert found is not None
    assert found.case == case


def test_rows_for_the_queue(archive: Archive, reporter: Account) -> None:
    urgent = save(archive, reporter, make_case(urgency=Urgency.EMERGENCY))
    unknown = save(archive, reporter, make_case(urgency=None, verdict=Verdict.CANNOT_TELL))
    with archive.database.reading() as session:
        first, second = session.get(CaseRow, urgent), session.get(CaseRow, unknown)
    assert first is not None
    assert second is not None
    assert (first.urgency, second.urgency) == (0, UNKNOWN_URGENCY) == (0, 4)
    assert 0 < first.uncertainty < second.uncertainty == 1


@pytest.mark.parametrize(
    ("shares", "verdict", "expected"),
    [
        ({"a": 0.5, "b": 0.5}, Verdict.ANSWER, 1.0),
        ({"a": 1.0, "b": 0.0}, Verdict.ANSWER, 0.0),
        ({"a": 0.9, "b": 0.1}, None, 0.469),
        ({"a": 0.9, "b": 0.1}, Verdict.CANNOT_TELL, 1.0),
        ({"a": 1.0}, Verdict.ANSWER, 0.0),
        ({}, None, 1.0),
    ],
)
def test_uncertainty(shares: dict[str, float], verdict: Verdict | None, expected: float) -> None:
    judgement = Judgement(photos=(), probabilities=shares, verdict=verdict)
    assert uncertainty(judgement) == pytest.approx(expected, abs=1e-3)


def test_saving_twice_changes_nothing(
    archive: Archive, reporter: Account, clinician: Account
) -> None:
    case = make_case()
    save(archive, reporter, case, patient="first")
    save(archive, reporter, case, patient="first")
    assert tables(archive) == [1, 1, 0]
    with pytest.raises(AppError, match="already_saved"):
        save(archive, clinician, case, patient="first")


def test_a_saved_case_does_not_change_unsaid(archive: Archive, reporter: Account) -> None:
    """Whoever saves something else under its id is told that it was not saved."""
    case = make_case(b"one")
    save(archive, reporter, case, patient="first")
    grown = replace(case, photos=case.photos * 2)
    judged = replace(case, judgement=case.judgement.model_copy(update={"urgent": False}))
    others: list[tuple[Case, dict[str, object]]] = [
        (grown, {"patient": "first"}),
        (judged, {"patient": "first"}),
        (case, {"patient": "second"}),
        (case, {"patient": "first", "may_train": True}),
    ]
    for other, said in others:
        with pytest.raises(AppError, match="already_saved"):
            save(archive, reporter, other, **said)
    found = archive.case(case.id)
    assert found is not None
    assert (found.case, found.patient, found.may_train) == (case, "first", False)


def test_a_name_that_is_no_hash_leads_nowhere(archive: Archive, tmp_path: Path) -> None:
    """As the rows of a restored backup could hold it."""
    mine = tmp_path / "holiday.jpg"
    mine.write_bytes(b"mine")
    for name in (str(mine.with_suffix("")), "../../holiday", "", "A" * 64, "a" * 64 + "\n"):
        for work in (archive.files.read, lambda name: archive.files.remove([name])):
            with pytest.raises(AppError, match="photo_damaged"):
                work(name)
    assert mine.read_bytes() == b"mine"


def test_a_photo_of_two_cases_is_one_file_until_both_are_gone(
    archive: Archive, reporter: Account
) -> None:
    first = save(archive, reporter, make_case(b"same", b"own"))
    second = save(archive, reporter, make_case(b"same"))
    assert len(files(archive)) == 2
    archive.delete(first, reporter)
    assert files(archive) == [named(b"same")]
    found = archive.case(second)
    assert found is not None
    assert found.case.photos[0].preview == b"same"
    archive.delete(second, reporter)
    assert files(archive) == []
    assert list(archive.files.folder.iterdir()) == []


def test_deleting_leaves_one_line_without_content(
    archive: Archive, reporter: Account, clinician: Account
) -> None:
    case = make_case(b"one")
    save(archive, reporter, case, patient="P-7-secret")
    opinion: dict[str, Any] = {"diagnosis": "melanoma", "confirmed_by": "histology"}
    opinion |= {"created": datetime.now(UTC), "blind": True, "independent": True}
    with archive.database.session() as session:
        session.add(OpinionRow(case_id=case.id, account_id=clinician.id, **opinion))
    archive.delete(case.id, clinician)
    assert archive.case(case.id) is None
    assert tables(archive) == [0, 0, 0]
    lines, pages = archive.audit()
    assert pages == 1
    assert [(line.account, line.action, line.subject, line.details) for line in lines] == [
        ("clinician", "case_deleted", case.id, {}),
        ("reporter", "case_saved", case.id, {"may_train": False}),
    ]
    with pytest.raises(AppError, match="saved_not_found"):
        archive.delete(case.id, clinician)


def test_sqlite_overwrites_what_is_deleted(tmp_path: Path) -> None:
    from cutis.app.accounts.accounts import Role

    from ..conftest import make_account

    archive = Archive.open(tmp_path / "archive")
    reporter = make_account(archive, "reporter", Role.REPORTER)
    case_id = save(archive, reporter, make_case(), patient="P-7-secret")
    archive.close()  # moves what is in the journal to the file
    file = archive.folder / FILE
    assert b"P-7-secret" in file.read_bytes()
    archive.delete(case_id, reporter)
    archive.close()
    kept = b"".join(path.read_bytes() for path in archive.folder.glob(f"{FILE}*"))
    assert b"P-7-secret" not in kept
    assert NOTE.encode() not in kept


def test_what_cannot_be_written_leaves_nothing(
    archive: Archive, reporter: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = archive.files.put

    def full(data: bytes) -> tuple[str, bool]:
        if data == b"two":
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(data)

    monkeypatch.setattr(archive.files, "put", full)
    with pytest.raises(AppError, match="storage_full"):
        save(archive, reporter, make_case(b"one", b"two"))
    assert (files(archive), tables(archive)) == ([], [0, 0, 0])


def test_a_file_that_breaks_off_leaves_nothing(
    archive: Archive, reporter: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("cutis.app.archive.files.os.fsync", fail)
    with pytest.raises(AppError, match=r"^503: storage$"):
        save(archive, reporter, make_case())
    assert (files(archive), tables(archive)) == ([], [0, 0, 0])


def test_rows_that_fail_take_their_photos_along(archive: Archive, reporter: Account) -> None:
    kept = save(archive, reporter, make_case(b"same"))
    nobody = replace(reporter, id=reporter.id + 100)
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        save(archive, nobody, make_case(b"same", b"new"))
    assert (files(archive), tables(archive)) == ([named(b"same")], [1, 1, 0])
    assert archive.case(kept) is not None


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink()]
)
def test_a_damaged_photo_is_named_and_the_rest_is_there(
    archive: Archive, reporter: Account, damage: Callable[[Path], object]
) -> None:
    case_id = save(archive, reporter, make_case(b"one", b"two"))
    damage(next(archive.files.folder.rglob(named(b"two"))))
    found = archive.case(case_id)
    assert found is not None
    assert found.damaged == (2,)
    assert [photo.preview for photo in found.case.photos] == [b"one", b""]
    with pytest.raises(AppError, match="photo_damaged"):
        archive.files.read(hashlib.sha256(b"two").hexdigest())
    save(archive, reporter, make_case(b"two"))  # the same photo again heals it
    healed = archive.case(case_id)
    assert healed is not None
    assert healed.damaged == ()


def test_the_list_is_of_all_or_of_one(
    archive: Archive, reporter: Account, clinician: Account
) -> None:
    own = [save(archive, reporter, make_case(), patient=str(n)) for n in range(CASES + 1)]
    other = save(archive, clinician, make_case(b"1", b"2"))
    first = archive.listing()
    assert (first.page, first.pages, len(first.cases)) == (1, 2, CASES)
    latest = first.cases[0]
    assert (latest.id, latest.reporter, latest.photos, latest.opinions) == (
        other,
        "clinician",
        2,
        0,
    )
    mine = archive.listing(reporter_id=reporter.id, page=2)
    assert [case.id for case in mine.cases] == own[:1]
    assert archive.listing(reporter_id=reporter.id, page=99).page == 2
    assert archive.listing(reporter_id=0).cases == ()


def test_what_nobody_uses_is_swept_out(archive: Archive, reporter: Account) -> None:
    case_id = save(archive, reporter, make_case(b"one"))
    archive.files.put(b"left by a killed process")
    (archive.files.folder / "ab").mkdir(exist_ok=True)
    (archive.files.folder / "ab" / ".new-half").write_bytes(b"ha")
    (archive.files.folder / "ab" / "README").write_bytes(b"not ours")
    assert archive.sweep() == 2
    assert files(archive) == sorted([named(b"one"), "README"])
    assert archive.case(case_id) is not None


def test_a_photo_is_never_lost_between_a_deletion_and_a_save(
    archive: Archive, reporter: Account
) -> None:
    """One thread deletes the case of a photo while another saves a case with the same one."""
    errors: list[BaseException] = []

    def take_turns(data: bytes) -> None:
        try:
            for _ in range(12):
                case_id = save(archive, reporter, make_case(data))
                found = archive.case(case_id)
                assert found is not None
                assert found.damaged == ()
                archive.delete(case_id, reporter)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=take_turns, args=(b"same",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (files(archive), tables(archive)) == ([], [0, 0, 0])


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="holds something else"):
        Archive.open(tmp_path)
    with pytest.raises(InputError, match="an archive is a folder"):
        Archive.open(tmp_path / "letter.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_only_its_owner_reads_an_archive(archive: Archive, reporter: Account) -> None:
    save(archive, reporter, make_case())
    for path in (archive.folder, archive.files.folder, *archive.files.folder.glob("*/*")):
        assert path.stat().st_mode & 0o077 == 0


def test_folder_and_database_belong_together(
    archive: Archive, reporter: Account, database_url: str | None, tmp_path: Path
) -> None:
    save(archive, reporter, make_case())
    if database_url is None:
        archive.close()
        (tmp_path / "other").mkdir()
        Database.open(tmp_path / "other").close()
        (tmp_path / "other" / FILE).replace(archive.folder / FILE)
        said = "belong to different archives"
    else:
        with pytest.raises(InputError, match="belong to different archives"):
            Archive.open(tmp_path / "other", database_url)
        said = "the rows of this archive are in PostgreSQL"
    with pytest.raises(InputError, match=said):
        Archive.open(archive.folder)
    assert len(files(archive)) == 1


def test_a_marker_that_is_none_is_refused(archive: Archive, database_url: str | None) -> None:
    marker = archive.folder / MARKER
    for text, said in (
        ("{", "no archive of Cutis"),
        ('{"format": "x"}', "no archive of Cutis"),
        ('{"format": "cutis-archive", "version": 2}', "a newer Cutis"),
    ):
        marker.write_text(text)
        with pytest.raises(InputError, match=said):
            Archive.open(archive.folder, database_url)
