"""`cutis catalog` and `cutis import --conflicts` on drawn photos."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cutis as package

Cutis = Callable[..., Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, cutis: Cutis) -> tuple[Path, Path]:
    """A drawn collection, and class folders that hold some of its photos under other labels."""
    root = tmp_path_factory.mktemp("collections")
    first, second = root / "drawn", root / "clinic"
    assert cutis("draw", first, "--photos", 40, "--layout", "folders", "--seed", 3).code == 0
    classes = sorted(
        path for path in first.rglob("*") if path.is_dir() and list(path.glob("*.jpg"))
    )
    for number, folder in enumerate(classes[:3]):
        other = classes[(number + 1) % len(classes)].name if number else folder.name
        photo = min(folder.glob("*.jpg"))
        (second / other).mkdir(parents=True, exist_ok=True)
        (second / other / f"{number}.jpg").write_bytes(photo.read_bytes())
    return first, second


@pytest.fixture
def catalog(folders: tuple[Path, Path], tmp_path: Path, cutis: Cutis) -> Path:
    done = cutis("import", *folders, "--into", tmp_path / "catalog")
    assert done.code == 0, done.err
    assert "contradicting diagnoses and are left out (--conflicts drop" in done.out
    return tmp_path / "catalog"


def test_show(catalog: Path, tmp_path: Path, cutis: Cutis) -> None:
    done = cutis("catalog", "show", catalog, "--html", tmp_path / "page.html")
    assert (done.code, done.err) == (0, "")
    for text in ("drawn", "clinic", "melanoma", "lesion_id", "100 %", "left out", "licences:"):
        assert text in done.out
    assert done.out.rstrip().endswith("page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "Contact sheet" in page


def test_quality_from_import_to_split(catalog: Path, tmp_path: Path, cutis: Cutis) -> None:
    photos = package.Catalog.open(catalog).photos
    read = photos["width"].notna()
    assert (photos["quality_sharpness"].notna() == read).all()
    ruled = photos["flags"].map(lambda flags: "ruler" in flags)
    assert ruled.any()
    done = cutis("catalog", "show", catalog, "--html", tmp_path / "page.html")
    assert "quality flag" in done.out
    assert "Photo quality" in (tmp_path / "page.html").read_text("utf-8")
    assert "are in no part" not in cutis("split", catalog).out
    done = cutis("split", catalog, "--drop", "ruler,blurred")
    assert done.code == 0, done.err
    assert "photos are in no part (dropped: blurred, ruler)" in done.out
    audited = cutis("audit", catalog)
    assert audited.code == 0, audited.out
    refused = cutis("split", catalog, "--drop", "rulers")
    assert refused.code == 2
    assert "did you mean 'ruler'" in refused.err


def test_credits(catalog: Path, cutis: Cutis) -> None:
    done = cutis("catalog", "credits", catalog)
    assert done.code == 0
    assert "clinic: 3 photos, 1 of them used after merging" in done.out
    assert "licence: not known" in done.out


def test_conflicts(catalog: Path, tmp_path: Path, cutis: Cutis) -> None:
    done = cutis("catalog", "conflicts", catalog, "--out", tmp_path / "list.csv")
    assert done.code == 0
    with (tmp_path / "list.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert {row["kind"] for row in rows} <= {"conflict", "refinement"}
    contradicting = [row for row in rows if row["decision"] == "left out"]
    assert f"{len(contradicting)} photographs with contradicting diagnoses" in done.out
    for row in rows:
        assert "clinic/" in row["appearances"]
        assert "drawn/" in row["appearances"]


def test_a_policy_is_chosen_kept_and_changed(
    folders: tuple[Path, Path], catalog: Path, cutis: Cutis
) -> None:
    assert cutis("import", *folders, "--into", catalog, "--conflicts", "trust:drawn").code == 0
    again = cutis("import", *folders, "--into", catalog)
    assert "unchanged" in again.out
    listed = cutis("catalog", "conflicts", catalog)
    assert "left out" not in listed.out
    assert cutis("import", *folders, "--into", catalog, "--conflicts", "keep").code == 0
    assert "not merged" in cutis("catalog", "conflicts", catalog).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("catalog", "credits", "CATALOG", "--html", "x.html"), "--html belongs to"),
        (("catalog", "show", "CATALOG", "--out", "x.csv"), "--out belongs to"),
        (("catalog", "shwo", "CATALOG"), "'shwo' is not one of"),
        (("catalog", "show", "CATALOG", "--view", "ham8"), "did you mean 'ham7'"),
        (("catalog", "show", "nowhere"), "the catalog does not exist"),
        (("import", "DRAWN", "--into", "CATALOG", "--conflicts", "dorp"), "did you mean 'drop'"),
        (("import", "DRAWN", "--into", "CATALOG", "--conflicts", "trust:drwn"), "mean 'drawn'"),
    ],
)
def test_wrong_use(
    arguments: tuple[str, ...],
    message: str,
    folders: tuple[Path, Path],
    catalog: Path,
    cutis: Cutis,
) -> None:
    places = {"CATALOG": str(catalog), "DRAWN": str(folders[0])}
    before = (catalog / "catalog.json").read_bytes()
    done = cutis(*(places.get(word, word) for word in arguments))
    assert done.code == 2
    assert message in done.err
    assert (catalog / "catalog.json").read_bytes() == before


def test_the_same_from_python(catalog: Path) -> None:
    answer = package.catalog("credits", catalog)
    assert list(answer.credits["source"]) == ["clinic", "drawn"]
    assert answer.overview is None
