"""`cutis evaluate` of a segmenter, from its run and from its bundle."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from cutis.data.catalog import Catalog, write_catalog

Cutis = Any  # of conftest.py, which cannot be imported
Refused = Any
World = Any

TINY = ("stage.1.epochs=1", "input.size=32", "model.architecture=unet", "model.filters=2")


@pytest.fixture(scope="module")
def run(drawn: World, cutis: Cutis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter that has seen little."""
    out: Path = tmp_path_factory.mktemp("segmenter") / "run"
    arguments = ("--data", drawn.catalog, "--out", out, "--weights", "none", *TINY)
    done = cutis("train", "cutis-segmenter", *arguments)
    assert done.code == 0, done.err
    return out


def test_a_run_is_judged_on_its_test_part_and_the_use_is_counted(
    run: Path, drawn: World, cutis: Cutis, tmp_path: Path
) -> None:
    uses = drawn.catalog / "splits" / "default" / "uses.json"
    before = len(json.loads(uses.read_text())) if uses.is_file() else 0
    done = cutis("evaluate", run, "--out", tmp_path / "report")
    assert done.code == 0, done.err
    assert "Jaccard" in done.out
    assert len(json.loads(uses.read_text())) == before + 1
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text("utf-8"))
    assert metrics["task"] == "segmentation"
    assert metrics["part"] == "test"
    assert metrics["test_uses"] == before + 1
    assert metrics["model"]["architecture"] == "unet"
    assert metrics["training_counts"]
    split = pd.read_parquet(drawn.catalog / "splits" / "default" / "split.parquet")
    test = set(split.loc[split["part"] == "test", "image_id"])
    scores = pd.read_parquet(tmp_path / "report" / "scores.parquet")
    assert set(scores["image_id"]) <= test
    assert len(scores) == metrics["photos"] > 10
    assert (tmp_path / "report" / "training.png").is_file()


def test_the_validation_part_costs_no_use(
    run: Path, drawn: World, cutis: Cutis, tmp_path: Path
) -> None:
    uses = drawn.catalog / "splits" / "default" / "uses.json"
    before = uses.read_bytes() if uses.is_file() else b""
    done = cutis("evaluate", run, "--out", tmp_path / "report", "--part", "validation")
    assert done.code == 0, done.err
    assert (uses.read_bytes() if uses.is_file() else b"") == before


def test_photos_that_trained_are_refused(run: Path, refused: Refused, tmp_path: Path) -> None:
    out = tmp_path / "report"
    assert "all photos of this catalog" in refused("evaluate", run, "--out", out, "--part", "all")
    assert not out.exists()


def test_of_another_catalog_all_groups_that_trained_are_left_out(
    run: Path, drawn: World, cutis: Cutis, refused: Refused, tmp_path: Path
) -> None:
    catalog = Catalog.open(drawn.catalog)
    seen = set((run / "trained-on.txt").read_text("utf-8").split())
    trained = catalog.photos["sha256"].isin(seen)
    unseen = catalog.photos.index[~trained][:6]
    # one of the unseen photos becomes the sibling of one that trained
    names = [
        catalog.photos["image_id"].iloc[trained.argmax()],
        catalog.photos["image_id"][unseen[0]],
    ]
    link = dict(zip(("image_id_a", "image_id_b"), sorted(names), strict=True))
    links = pd.DataFrame([{**link, "kind": "same_lesion", "score": 1.0, "reason": "drawn so"}])
    info = catalog.info

    def written(name: str, rows: pd.DataFrame) -> Path:
        kept = links[links["image_id_b"].isin(rows["image_id"])]
        write_catalog(tmp_path / name, rows, kept, sources=info.sources, options=info.options)
        return tmp_path / name

    other = written("other", pd.concat([catalog.photos[trained], catalog.photos.loc[unseen]]))
    out = tmp_path / "report"
    done = cutis("evaluate", run, "--out", out, "--data", other, "--part", "all")
    assert done.code == 0, done.err
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    judged = metrics["photos"] + metrics["without_mask"] + len(metrics["problems"])
    usable = Catalog.open(other).usable()
    unseen_names = set(catalog.photos["image_id"][unseen[1:]]) & set(usable["image_id"])
    assert judged == len(unseen_names)
    assert metrics["left_out"] == len(usable) - judged
    same = written("same", catalog.photos[trained])
    message = refused("evaluate", run, "--out", tmp_path / "x", "--data", same, "--part", "all")
    assert "the run was trained or chosen on" in message


def test_another_source_is_judged_whole(
    run: Path, cutis: Cutis, refused: Refused, tmp_path: Path
) -> None:
    photos, catalog, out = tmp_path / "photos", tmp_path / "catalog", tmp_path / "report"
    assert cutis("draw", photos, "--photos", 24, "--seed", 9).code == 0
    masks = sorted(photos.rglob("*_segmentation.png"))
    masks[0].unlink()
    with Image.open(masks[1]) as image:
        inverted = image.convert("L").point(lambda value: 255 - value)
    inverted.save(masks[1])
    assert cutis("import", photos, "--into", catalog).code == 0
    done = cutis("evaluate", run, "--out", out, "--data", catalog, "--part", "all")
    assert done.code == 0, done.err
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert metrics["without_mask"] == 1
    assert [entry["problem"][:20] for entry in metrics["problems"]] == ["the mask is inverted"]
    assert metrics["test_uses"] is None
    assert len(pd.read_parquet(out / "scores.parquet")) == metrics["photos"]
    for mask in photos.rglob("*_segmentation.png"):
        mask.unlink()
    bare = tmp_path / "bare"
    assert cutis("import", photos, "--into", bare).code == 0
    arguments = ("--data", bare, "--part", "all", "--out", tmp_path / "none")
    assert "has a lesion mask" in refused("evaluate", run, *arguments)


def test_the_prior_needs_a_classifier(run: Path, refused: Refused, tmp_path: Path) -> None:
    message = refused("evaluate", run, "--out", tmp_path / "report", "--answer", "prior")
    assert "a segmenter has no diagnoses" in message


def test_a_bundle_with_a_segmenter_alone_gives_the_run_s_masks(
    run: Path, drawn: World, cutis: Cutis, refused: Refused, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    done = cutis("export", run, "--out", bundle, "--networks", "fp32")
    assert done.code == 0, done.err
    assert "--data" in refused("evaluate", bundle, "--out", tmp_path / "a")
    tables = []
    for source, name in ((run, "a"), (bundle, "b")):
        done = cutis("evaluate", source, "--data", drawn.catalog, "--out", tmp_path / name)
        assert done.code == 0, done.err
        tables.append(pd.read_parquet(tmp_path / name / "scores.parquet"))
    assert tables[0]["image_id"].equals(tables[1]["image_id"])
    assert (tables[0]["jaccard"] - tables[1]["jaccard"]).abs().max() < 0.02
