"""The circle of the doctor's loop, in a browser: photo, answer, correction, retraining on it."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cutis.app import Settings, create_app
from cutis.app.accounts.accounts import Accounts, Role
from cutis.app.archive.archive import Archive
from cutis.app.i18n import languages, translator
from cutis.app.server import bind, make_server
from cutis.runtime import Predictor
from cutis.storage import sha256_file

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system")

QUICK = ("stage.1.epochs=1", "input.size=32")
PASSWORD = "a long enough secret {}"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An archive with an account of each role."""
    opened = Archive.open(tmp_path / "archive", None)
    accounts = Accounts(opened.database)
    for role in Role:
        accounts.create(role.value, PASSWORD.format(role), role)
    yield opened
    opened.close()


@contextmanager
def served(bundle: Path, archive: Archive) -> Iterator[str]:
    app = create_app(Predictor.load(bundle, threads=1), None, Settings(workers=1), archive=archive)
    listening = bind("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def logged_in(browser: "api.Browser", address: str, role: Role, language: str) -> Iterator[Any]:
    """A page of somebody with that role."""
    context = browser.new_context(base_url=address, locale=language)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.goto("/login")
    page.fill("[name=name]", role.value)
    page.fill("[name=password]", PASSWORD.format(role))
    page.click("main form button[type=submit]")
    page.wait_for_url(lambda url: "/login" not in url)
    assert page.get_attribute("html", "lang") == language
    yield page
    context.close()


def walk(address: str, photo: Path, language: str) -> str:
    """A reporter saves a case, a clinician corrects it; the diagnosis that the model gave."""
    words = translator(language)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with logged_in(browser, address, Role.REPORTER, language) as page:
            page.goto("/")
            page.set_input_files("#photos", photo)
            page.click("form.case button[type=submit]")
            page.wait_for_url("**/cases/*")
            page.check("[name=save]")
            page.check("[name=train]")
            page.fill("[name=patient]", "P-17")
            page.click("form[action$='/save'] button")
            page.wait_for_url("**/saved/*")
        with logged_in(browser, address, Role.CLINICIAN, language) as page:
            page.goto("/queue")
            page.click("main a[href^='/saved/']")
            page.wait_for_url("**/saved/*")
            given: str = page.get_attribute("[name=confirm]", "value")
            corrected = "melanoma" if given != "melanoma" else "melanocytic_nevus"
            page.select_option("[name=diagnosis]", corrected)
            page.select_option("[name=confirmed_by]", "histology")
            page.fill("[name=comment]", words.text("site_name"))
            with page.expect_navigation():
                page.click("form.opinion-form button:not([name=confirm])")
            page.goto("/agreement")
            assert words.number(1) in page.inner_text("main")
        browser.close()
    return corrected


@pytest.mark.parametrize("language", languages())
def test_a_corrected_case_trains_the_next_model(
    world: Any, cutis: Any, archive: Archive, tmp_path: Path, language: str
) -> None:
    cutis("draw", tmp_path / "new", "--photos", "40", "--seed", "7")
    photos = tmp_path / "new" / "HAM10000_images_part_1"
    largest = max(photos.iterdir(), key=lambda path: path.stat().st_size)  # a good one
    with served(world.bundle, archive) as address:
        corrected = walk(address, largest, language)

    feedback, more, run = tmp_path / "feedback", tmp_path / "more", tmp_path / "run"
    handed = cutis("app", "feedback", archive.folder, "--out", feedback)
    assert (handed.code, handed.err) == (0, "")
    assert "1 cases with 1 photos, 1 of them corrected" in handed.out
    (handed_over,) = (feedback / "photos").iterdir()
    assert handed_over.stem == sha256_file(handed_over)

    for step in (
        ("import", world.photos, feedback, "--into", more),
        ("split", more, "--name", "with-feedback", "--extend", world.catalog / "splits/default"),
        ("audit", more, "--split", "with-feedback"),
        ("train", "demo", "--data", more, "--split", "with-feedback", "--out", run,
         "--weights", "none", *QUICK),
    ):  # fmt: skip
        done = cutis(*step)
        assert (step[0], done.code, done.err) == (step[0], 0, "")
    rows = pd.read_parquet(more / "catalog.parquet")
    (added,) = rows[rows["path"].str.endswith(handed_over.name)].to_dict("records")
    assert (added["diagnosis"], added["confirmed_by"]) == (corrected, "histology")
    assert handed_over.stem in (run / "trained-on.txt").read_text().split()
