"""Saved cases when things go wrong or come at once: nothing is lost, nothing comes back."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from cutis.app import server
from cutis.app.accounts.accounts import Role
from cutis.app.archive.archive import Archive, SavedCase
from cutis.app.archive.schema import LONGEST_PATIENT
from cutis.app.errors import AppError
from cutis.app.saved_pages import clean_patient

from .browsers import LogIn, browsers, make_case, post, save_case
from .conftest import MakeApp

NULS = ("\0", "x\0y", "é", "x" * 65, "a.b")
LARGE = (0, 2**31, 3_000_000_000, 99_999_999_999_999_999_999)


@pytest.fixture
def app(make_app: MakeApp, archive: Archive) -> FastAPI:
    return make_app(archive=archive)


@pytest.fixture
def log_in(app: FastAPI, archive: Archive) -> Iterator[LogIn]:
    with browsers(app, archive) as log_in:
        yield log_in


@pytest.fixture
def reporter(log_in: LogIn) -> TestClient:
    return log_in(Role.REPORTER, "rosa")


def test_a_photo_added_while_a_case_is_saved_is_not_lost(
    reporter: TestClient, app: FastAPI, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, store = make_case(reporter), app.state.service.store
    save = archive.save

    def save_slowly(case: Any, *args: Any, **said: Any) -> None:
        save(case, *args, **said)
        answers = case.judgement.photos * 2
        judged = case.judgement.model_copy(update={"photos": answers})
        assert store.replace(case, replace(case, photos=case.photos * 2, judgement=judged))

    with monkeypatch.context() as slow:
        slow.setattr(archive, "save", save_slowly)
        assert post(reporter, f"/cases/{case_id}/save", save="yes").status_code == 303
    refused = post(reporter, f"/cases/{case_id}/save", save="yes")
    assert refused.status_code == 409
    assert "with other photos or other words" in refused.text
    assert len(store.get(case_id).photos) == 2
    saved = archive.case(case_id)
    assert saved is not None
    assert len(saved.case.photos) == 1


def test_a_form_that_is_sent_twice_saves_once(
    reporter: TestClient, app: FastAPI, archive: Archive
) -> None:
    case_id = make_case(reporter)
    case = app.state.service.store.get(case_id)
    for _ in range(2):
        app.state.service.store.add(case)
        assert post(reporter, f"/cases/{case_id}/save", save="yes").status_code == 303
    assert app.state.service.store.get(case_id) is None
    assert len(archive.listing().cases) == 1


def test_a_deletion_whose_answer_is_lost_forgets_the_case_in_memory(
    reporter: TestClient, app: FastAPI, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = save_case(reporter)
    assert reporter.get(f"/saved/{case_id}/photos/1/outline.png").status_code == 200
    delete, forgotten = archive.delete, []
    app.state.service.store.on_remove.append(forgotten.append)

    def lost(*args: Any) -> None:
        delete(*args)
        raise AppError("storage")

    monkeypatch.setattr(archive, "delete", lost)
    assert post(reporter, f"/saved/{case_id}/delete").status_code == 503
    assert len(app.state.saved.opened.store) == 0
    assert forgotten == [case_id]


def test_a_deleted_case_is_not_kept_by_who_has_just_opened_it(
    reporter: TestClient, app: FastAPI, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, opened = save_case(reporter), app.state.saved.opened.store
    read, deleted = archive.case, []

    def read_late(wanted: str) -> SavedCase | None:
        found = read(wanted)
        if not deleted and found is not None:
            deleted.append(wanted)
            archive.delete(wanted, found.reporter)
            opened.remove(wanted)
        return found

    monkeypatch.setattr(archive, "case", read_late)
    assert reporter.get(f"/saved/{case_id}/photos/1/outline.png").status_code == 404
    assert (deleted, len(opened)) == ([case_id], 0)


def test_what_was_left_is_swept_out_while_the_app_runs(
    app: FastAPI, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, failed = archive.sweep, []

    def sweep_later() -> int:
        if not failed:
            failed.append("once")
            raise AppError("storage_busy", retry_after=5)
        return sweep()

    monkeypatch.setattr(server, "_TIDY_S", 0.05)
    monkeypatch.setattr(archive, "sweep", sweep_later)
    archive.files.put(b"of a deletion that was not finished")
    with browsers(app, archive):
        end = time.monotonic() + 10
        while any(archive.files.folder.rglob("*.jpg")) and time.monotonic() < end:
            time.sleep(0.05)
    assert failed == ["once"]
    assert not any(archive.files.folder.rglob("*.jpg"))


@pytest.mark.parametrize(
    "written",
    ["P-12 علی", "p-12 علی", "P-۱۲ علي", "Ｐ-12  علی", "P-١٢\u200f ع\u200cلی", " p-12\u00a0علی "],
)
def test_one_patient_has_one_code(written: str) -> None:
    assert clean_patient(written) == "p-12 علی"


def test_a_code_is_measured_as_it_is_kept() -> None:
    assert clean_patient("") is None
    assert clean_patient(" \u200c ") is None
    assert clean_patient("x" * LONGEST_PATIENT) == "x" * LONGEST_PATIENT
    for code in ("x" * (LONGEST_PATIENT + 1), "\ufdfa" * 10, "a\nb"):  # the second unfolds
        with pytest.raises(AppError, match="patient"):
            clean_patient(code)


def test_addresses_that_no_case_can_have(log_in: LogIn) -> None:
    admin = log_in(Role.ADMIN, "ada")
    answer = {"version": "1", "diagnosis": "melanoma", "confirmed_by": "clinical"}
    for name in NULS:
        at = f"/saved/{quote(name)}"
        for path in (at, f"{at}/photos/1.jpg", f"{at}/photos/1/outline.png", f"{at}/blind"):
            assert admin.get(path).status_code == 404, path
        for path in (f"{at}/delete", f"{at}/chat"):
            assert post(admin, path, question="why").status_code == 404, path
        assert post(admin, f"{at}/opinion", **answer).status_code == 404


def test_numbers_that_no_account_can_have(log_in: LogIn) -> None:
    admin = log_in(Role.ADMIN, "ada")
    for number in LARGE:
        for change in ("role", "password", "disable", "enable"):
            answer = post(admin, f"/accounts/{number}/{change}", role="clinician")
            assert answer.status_code == 422, answer.request.url
    assert post(admin, f"/accounts/{2**31 - 1}/enable").status_code == 404
