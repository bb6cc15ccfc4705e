"""Photos that a run, or the segmenter inside it, has seen: left out, or judged and counted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import cutis.evaluation as cutis_evaluation
from cutis.data.catalog import Catalog, write_catalog
from cutis.data.partition import group_names
from cutis.data.splits import load_split, make_split, part_rows
from cutis.records import Part

Cutis = Any  # of conftest.py, which cannot be imported
Refused = Any
World = Any
VIEW = "ham7"


@pytest.fixture
def own_run(trained: World, tmp_path: Path) -> Path:
    """A copy of the run, with room for the list of a segmenter's photos."""
    copy = tmp_path / "run"
    shutil.copytree(trained.run, copy)
    (copy / "segmenter").mkdir()
    return copy


def let_segmenter_know(run: Path, rows: pd.DataFrame) -> None:
    (run / "segmenter" / "trained-on.txt").write_text("\n".join(rows["sha256"]) + "\n")


def groups_of(catalog: Catalog) -> "pd.Series[str]":
    return group_names(list(catalog.photos["image_id"]), catalog.links)


@pytest.fixture
def other(drawn: World, tmp_path: Path) -> Catalog:
    """A catalog that shares all but one photo with the run's own, and deals them otherwise."""
    known = Catalog.open(drawn.catalog)
    rows, info = known.photos.iloc[:-1], known.info
    write_catalog(tmp_path / "other", rows, known.links, sources=info.sources, options=info.options)
    catalog = Catalog.open(tmp_path / "other")
    make_split(catalog, seed=5, shares=(30, 30, 40))
    return catalog


def test_test_photos_that_only_the_segmenter_knows_are_judged_and_counted(
    own_run: Path, drawn: World, cutis: Cutis, tmp_path: Path
) -> None:
    catalog = Catalog.open(drawn.catalog)
    tested = part_rows(catalog, load_split(catalog), Part.TEST, view=VIEW)
    several = tested[tested["group"].duplicated(keep=False)]
    let_segmenter_know(own_run, several.iloc[:1])
    expected = int((tested["group"] == several["group"].iloc[0]).sum())
    assert expected > 1
    done = cutis("evaluate", own_run, "--out", tmp_path / "report")
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text("utf-8"))
    assert metrics["known_to_segmenter"] == expected
    assert (metrics["seen_by_model"], metrics["left_out"]) == (0, 0)
    assert metrics["photos"] == len(tested)
    assert f"the run's segmenter knows {expected} of these photos" in done.out
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "their masks&#39; segmenter knows them" in page


@pytest.mark.parametrize("part", ["train", "validation", "test", "all"])
def test_of_another_catalog_every_part_is_judged_without_what_the_run_knows(
    own_run: Path, other: Catalog, cutis: Cutis, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, part: str,
) -> None:  # fmt: skip
    given: list[Any] = []
    evaluated = cutis_evaluation.evaluate_predictions

    def noted(predictions: pd.DataFrame, truth: pd.DataFrame, out: Path, *, context: Any) -> Any:
        given.append((truth, context))
        return evaluated(predictions, truth, out, context=context)

    monkeypatch.setattr("cutis.evaluation.evaluate_predictions", noted)
    groups, photos = groups_of(other), other.photos
    trained = set((own_run / "trained-on.txt").read_text("utf-8").split())
    free = photos[~groups[photos["image_id"]].isin(
        groups[photos.loc[photos["sha256"].isin(trained), "image_id"]]
    ).to_numpy()]  # fmt: skip
    let_segmenter_know(own_run, free.iloc[::4])
    seen = trained | set(free["sha256"].iloc[::4])
    known = set(groups[photos.loc[photos["sha256"].isin(seen), "image_id"]])
    done = cutis(
        "evaluate", own_run, "--data", other.folder, "--part", part, "--out", tmp_path / "report"
    )
    assert done.code == 0, done.err
    ((truth, context),) = given
    rows = (
        other.usable(VIEW)
        if part == "all"
        else part_rows(other, load_split(other), Part(part), view=VIEW)
    )
    expected = rows[~groups[rows["image_id"]].isin(known).to_numpy()]
    assert 0 < len(expected) < len(rows)
    assert truth["image_id"].tolist() == expected["image_id"].tolist()
    assert context.left_out == len(rows) - len(expected)
    assert context.counts is None  # its training part trained nothing here
    if part in ("train", "test"):
        fitted_on = context.validation["image_id"]
        assert len(fitted_on)
        assert not groups[fitted_on].isin(known).any()


def test_a_catalog_that_only_the_segmenter_knows_is_refused(
    own_run: Path, cutis: Cutis, refused: Refused, tmp_path: Path
) -> None:
    photos, catalog = tmp_path / "photos", tmp_path / "catalog"
    assert cutis("draw", photos, "--photos", 24, "--seed", 9).code == 0
    assert cutis("import", photos, "--into", catalog).code == 0
    let_segmenter_know(own_run, Catalog.open(catalog).photos)
    out = tmp_path / "report"
    arguments = ("evaluate", own_run, "--data", catalog, "--part", "all", "--out", out)
    assert "the run was trained or chosen on" in refused(*arguments)
    assert not out.exists()
