"""The pages of saved cases: who sees what, what a form saves, and what a deletion leaves."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from cutis.app.accounts.accounts import Role
from cutis.app.archive.archive import CASES, Archive
from cutis.app.archive.schema import LONGEST_PATIENT
from cutis.app.errors import AppError
from cutis.app.i18n import languages

from .browsers import LogIn, browsers, make_case, post, save_case
from .conftest import HOST, MakeApp


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest) -> None:
    """The pages do not know the database; SQLite is enough here."""


@pytest.fixture
def log_in(make_app: MakeApp, archive: Archive) -> Iterator[LogIn]:
    """Browsers of people who have logged in to one app."""
    with browsers(make_app(archive=archive), archive) as log_in:
        yield log_in


@pytest.fixture
def reporter(log_in: LogIn) -> TestClient:
    return log_in(Role.REPORTER, "rosa")


def test_a_case_moves_from_memory_to_the_archive(reporter: TestClient, archive: Archive) -> None:
    case_id = make_case(reporter, age="40", note="a private note")
    page = reporter.get(f"/cases/{case_id}").text
    assert f'action="/cases/{case_id}/save"' in page
    assert "Save the case" in page
    saved = post(reporter, f"/cases/{case_id}/save", save="yes", train="yes", patient=" P-7 ")
    assert (saved.status_code, saved.headers["location"]) == (303, f"/saved/{case_id}")
    found = archive.case(case_id)
    assert found is not None
    assert (found.patient, found.may_train, found.reporter.name) == ("p-7", True, "rosa")
    assert (found.language, found.case.facts.age) == ("en", 40)
    assert re.fullmatch(r"tiny fp32 [0-9a-f]{64}", found.bundle)
    later = reporter.get(f"/cases/{case_id}", follow_redirects=False)
    assert (later.status_code, later.headers["location"]) == (303, f"/saved/{case_id}")
    assert reporter.get(f"/api/v1/cases/{case_id}").status_code == 404


@pytest.mark.parametrize("language", languages())
def test_the_page_of_a_saved_case(reporter: TestClient, language: str) -> None:
    case_id = save_case(reporter, patient="P-7")
    page = reporter.get(f"/saved/{case_id}?lang={language}")
    assert page.status_code == 200
    for part in ("a private note", "p-7", "rosa", f'action="/saved/{case_id}/delete"'):
        assert part in page.text
    assert "/cases/" not in page.text
    assert 'enctype="multipart/form-data"' not in page.text
    at = f"/saved/{case_id}/photos/1"
    assert reporter.get(f"{at}.jpg").headers["content-type"] == "image/jpeg"
    for layer in ("outline.png", "heat.png", "heat.png?diagnosis=dermatofibroma"):
        drawn = reporter.get(f"{at}/{layer}")
        assert drawn.headers["content-type"] == "image/png"
        assert drawn.content == reporter.get(f"{at}/{layer}").content
    measures = reporter.get(f"{at}/measures?lang={language}")
    assert f'href="/saved/{case_id}"' in measures.text
    assert reporter.get(f"/saved/{case_id}/photos/2.jpg").status_code == 404


def test_without_consent_nothing_is_saved(reporter: TestClient, archive: Archive) -> None:
    case_id = make_case(reporter)
    for fields in ({}, {"train": "yes"}, {"save": "no"}):
        refused = post(reporter, f"/cases/{case_id}/save", **fields)
        assert refused.status_code == 422
        assert "Without consent the case is not saved" in refused.text
    assert archive.case(case_id) is None
    assert reporter.get(f"/cases/{case_id}").status_code == 200


def test_training_is_a_choice_of_its_own(reporter: TestClient, archive: Archive) -> None:
    found = archive.case(save_case(reporter, patient=""))
    assert found is not None
    assert (found.may_train, found.patient) == (False, None)


def test_a_patient_s_code_is_short_and_one_line(reporter: TestClient, archive: Archive) -> None:
    case_id = make_case(reporter)
    for code in ("x" * (LONGEST_PATIENT + 1), "a\nb"):
        refused = post(reporter, f"/cases/{case_id}/save", save="yes", patient=code)
        assert refused.status_code == 422
        assert f"at most {LONGEST_PATIENT} characters" in refused.text
    assert archive.case(case_id) is None


def test_visitors_keep_their_cases_in_memory(log_in: LogIn, archive: Archive) -> None:
    reporter = log_in(Role.REPORTER, "rosa")
    visitor = TestClient(reporter.app, base_url=HOST)
    case_id = make_case(visitor)
    page = visitor.get(f"/cases/{case_id}").text
    assert f'href="/login?next=/cases/{case_id}"' in page
    assert f"/cases/{case_id}/save" not in page
    refused = post(visitor, f"/cases/{case_id}/save", save="yes")
    assert (refused.status_code, refused.headers["location"]) == (
        303,
        f"/login?next=%2Fcases%2F{case_id}",
    )
    assert archive.case(case_id) is None
    saved = save_case(reporter)
    for path in ("/saved", f"/saved/{saved}", f"/saved/{saved}/photos/1.jpg", "/audit"):
        answer = visitor.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"][:12]) == (303, "/login?next=")
    assert visitor.post(f"/saved/{saved}/delete", follow_redirects=False).status_code == 303
    assert archive.case(saved) is not None


def test_a_form_needs_its_token(reporter: TestClient, archive: Archive) -> None:
    case_id = make_case(reporter)
    refused = reporter.post(f"/cases/{case_id}/save", data={"save": "yes"})
    assert refused.status_code == 403
    saved = save_case(reporter)
    assert reporter.post(f"/saved/{saved}/delete").status_code == 415
    assert reporter.post(f"/saved/{saved}/delete", data={"a": "b"}).status_code == 403
    assert archive.case(saved) is not None


@pytest.mark.parametrize(
    ("role", "sees", "deletes"),
    [(Role.REPORTER, False, False), (Role.CLINICIAN, True, False), (Role.ADMIN, True, True)],
)
def test_who_may_what_with_others_cases(
    log_in: LogIn, archive: Archive, role: Role, sees: bool, deletes: bool
) -> None:
    case_id = save_case(log_in(Role.REPORTER, "rosa"))
    other = log_in(role, "other")
    pages = (f"/saved/{case_id}", f"/saved/{case_id}/photos/1.jpg")
    answers = [other.get(path).status_code for path in pages]
    layers = [other.get(f"/saved/{case_id}/photos/1/{n}").status_code for n in ("outline.png",)]
    assert {*answers, *layers} == ({200} if sees else {404})
    assert (f'href="/saved/{case_id}"' in other.get("/saved").text) is sees
    assert ("/delete" in other.get(f"/saved/{case_id}").text) is deletes
    deleted = post(other, f"/saved/{case_id}/delete")
    assert deleted.status_code == (303 if deletes else 403 if sees else 404)
    assert (archive.case(case_id) is None) is deletes


def test_what_does_not_exist_looks_like_what_is_not_yours(
    log_in: LogIn, reporter: TestClient
) -> None:
    case_id = save_case(reporter)
    other = log_in(Role.REPORTER, "other")
    pages = [other.get(f"/saved/{name}") for name in (case_id, "A" * 22)]
    texts = {page.text.replace(case_id, "A" * 22) for page in pages}
    assert len(texts) == 1


def test_deleting_leaves_nothing(reporter: TestClient, archive: Archive) -> None:
    case_id = save_case(reporter)
    at = f"/saved/{case_id}"
    assert reporter.get(f"{at}/photos/1/outline.png").status_code == 200
    deleted = post(reporter, f"{at}/delete")
    assert (deleted.status_code, deleted.headers["location"]) == (303, "/saved?deleted=1")
    assert "The case was deleted" in reporter.get("/saved?deleted=1").text
    for path in (at, f"{at}/photos/1.jpg", f"{at}/photos/1/outline.png", f"/cases/{case_id}"):
        assert reporter.get(path).status_code == 404
    assert len(reporter.app.state.saved.opened.store) == 0  # type: ignore[attr-defined]
    assert not any(path.is_file() for path in archive.files.folder.rglob("*"))


@pytest.mark.parametrize("language", languages())
def test_the_list_turns_its_pages(reporter: TestClient, archive: Archive, language: str) -> None:
    case_id = save_case(reporter, patient="first")
    case = archive.case(case_id)
    assert case is not None
    for number in range(CASES):
        archive.save(
            replace(case.case, id=f"id-{number}"),
            case.reporter,
            patient=None,
            may_train=False,
            bundle="b",
            language="en",
        )
    first = reporter.get(f"/saved?lang={language}").text
    second = reporter.get("/saved?page=2").text
    assert (first.count("<tr>"), second.count("<tr>")) == (CASES + 1, 2)
    assert 'href="/saved?page=2"' in first
    assert 'href="/saved?page=1"' in second
    assert "first" in second
    for page in ("0", "x", "99999999999999999999"):
        assert reporter.get(f"/saved?page={page}").status_code == 422


def test_an_empty_list_leads_to_a_new_case(reporter: TestClient) -> None:
    page = reporter.get("/saved").text
    assert "No case is saved yet." in page
    assert "<table" not in page


@pytest.mark.parametrize("language", languages())
def test_the_audit_log_is_for_admins(log_in: LogIn, archive: Archive, language: str) -> None:
    case_id = save_case(log_in(Role.REPORTER, "rosa"), train="yes")
    archive.record("of_the_future", "x", None, count=2)
    for role in (Role.REPORTER, Role.CLINICIAN):
        assert log_in(role, f"not-{role}").get("/audit").status_code == 403
    page = log_in(Role.ADMIN, "ada").get(f"/audit?lang={language}").text
    assert case_id in page
    assert "rosa" in page
    assert "of_the_future" in page
    assert {"en": "for training: yes", "fa": "برای آموزش: بله"}[language] in page
    assert "a private note" not in page


def test_a_damaged_photo_is_said_and_the_rest_is_shown(
    reporter: TestClient, archive: Archive
) -> None:
    case_id = save_case(reporter)
    next(archive.files.folder.rglob("*.jpg")).unlink()
    page = reporter.get(f"/saved/{case_id}")
    assert page.status_code == 200
    assert "The file of 1 photo of this case is damaged or gone" in page.text
    photo = reporter.get(f"/saved/{case_id}/photos/1.jpg")
    assert photo.status_code == 410
    assert "damaged or gone" in photo.text
    assert reporter.get(f"/saved/{case_id}/photos/1/outline.png").status_code == 410


@pytest.mark.parametrize("code", ["storage", "storage_busy", "storage_full"])
def test_a_failing_archive_leaves_the_case_in_memory(
    reporter: TestClient, archive: Archive, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = make_case(reporter)

    def fail(*_: object, **__: object) -> None:
        raise AppError(code, retry_after=5)

    with monkeypatch.context() as broken:
        broken.setattr(archive, "save", fail)
        refused = post(reporter, f"/cases/{case_id}/save", save="yes")
    assert refused.status_code == (507 if code == "storage_full" else 503)
    assert f'href="/cases/{case_id}"' in refused.text
    again = post(reporter, f"/cases/{case_id}/save", save="yes")
    assert again.status_code == 303


def test_another_model_is_named(
    reporter: TestClient, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case of a bundle with other diagnoses than the one that runs now still opens."""
    case_id = save_case(reporter)
    assert "by another model" not in reporter.get(f"/saved/{case_id}").text
    found = archive.case(case_id)
    assert found is not None
    other = found.case.judgement.model_copy(
        update={
            "probabilities": {"psoriasis": 0.6, "a_new_one": 0.4},
            "prediction_set": ("psoriasis",),
        }
    )
    archive.save(
        replace(found.case, id="other", judgement=other),
        found.reporter,
        patient=None,
        may_train=False,
        bundle="older fp32 0",
        language="en",
    )
    page = reporter.get("/saved/other").text
    assert "by another model" in page
    assert "Psoriasis" in page
    assert "a_new_one" in page
    assert "heat.png" not in page
    assert "Psoriasis" in reporter.get("/saved").text


def test_pages_keep_the_security_policy(log_in: LogIn) -> None:
    admin = log_in(Role.ADMIN, "ada")
    case_id = save_case(admin)
    for path in (f"/cases/{make_case(admin)}", "/saved", f"/saved/{case_id}", "/audit"):
        page = admin.get(path)
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src)", page.text)


def test_an_app_without_an_archive_has_none_of_it(client: TestClient) -> None:
    case_id = make_case(client)
    page = client.get(f"/cases/{case_id}").text
    assert "/save" not in page
    assert "/login" not in page
    for path in ("/saved", "/audit", f"/saved/{case_id}"):
        assert client.get(path).status_code == 404
    assert client.post(f"/cases/{case_id}/save").status_code in (404, 405)
