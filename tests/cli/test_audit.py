"""`cutis audit` from the command line: what it writes, prints and returns."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def published(cutis: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn collection in Train/ and Test/ that splits lesions, as published ones do."""
    folder = tmp_path_factory.mktemp("published") / "set"
    done = cutis("draw", folder, "--photos", 60, "--layout", "folders")
    assert done.code == 0
    return folder


def test_a_published_split_leaks(cutis: Any, published: Path, tmp_path: Path) -> None:
    page, table, cache = tmp_path / "c.html", tmp_path / "c.json", tmp_path / "cache"
    arguments = ("audit", published, "--html", page, "--json", table, "--cache", cache)
    first = cutis(*arguments)
    assert first.code == 1
    assert first.out.splitlines()[-1].startswith("FAILED: set leaks; ")
    certificate = json.loads(table.read_text("utf-8"))
    assert (certificate["passed"], certificate["kind"]) == (False, "folders")
    assert page.read_text("utf-8").count("data:image/jpeg") >= 2
    text = table.read_bytes()
    again = cutis(*arguments)
    assert (again.code, again.out, table.read_bytes() == text) == (1, first.out, True)
    truth = published / "truth.csv"
    with_lesions = cutis("audit", published, "--lesions", truth, "--cache", cache)
    assert "lesions across parts" in with_lesions.out.splitlines()[-1]


def test_two_folders_that_share_nothing_pass(cutis: Any, published: Path, tmp_path: Path) -> None:
    for part, label in (("train", "melanoma"), ("test", "nevus")):
        (tmp_path / part).mkdir()
        for photo in sorted((published / "Train" / label).iterdir())[:2]:
            shutil.copy(photo, tmp_path / part)
    done = cutis("audit", tmp_path / "train", tmp_path / "test")
    assert done.code == 0, done.out
    assert done.out.splitlines()[-1].startswith("PASSED: train and test shares no lesion")


def test_verify(cutis: Any, published: Path, tmp_path: Path) -> None:
    table = tmp_path / "certificate.json"
    cutis("audit", published, "--json", table)
    done = cutis("audit", published, "--verify", table)
    assert (done.code, "VERIFIED: it belongs to these data" in done.out) == (0, True)
    assert "the certificate says FAILED: set leaks" in done.out
    fewer = tmp_path / "set"
    shutil.copytree(published, fewer)
    next((fewer / "Train" / "melanoma").glob("*.jpg")).unlink()
    done = cutis("audit", fewer, "--verify", table)
    assert (done.code, "NOT VERIFIED" in done.out) == (1, True)


def test_a_catalog_is_verified_too(cutis: Any, drawn: Any) -> None:
    certificate = drawn.catalog.parent / "certificate.json"
    assert cutis("audit", drawn.catalog, "--verify", certificate).code == 0
    assert cutis("audit", drawn.catalog, "--split", "default").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Train",), "neither a catalog nor a split"),
        (("nowhere",), "there is no such file or folder"),
        (("Train", "Test", "--split", "mine"), "--split names a split of a catalog"),
        (("Train", "Test", "--lesions", "nowhere.csv"), "there is no such file"),
        (("Train", "Test", "--verify", "nowhere.json"), "there is no such certificate"),
        ((), "Missing argument"),
    ],
)
def test_wrong_use(
    cutis: Any, published: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, message: str
) -> None:
    monkeypatch.chdir(published)
    done = cutis("audit", *arguments)
    assert (done.code, message in done.err) == (2, True), done.err
