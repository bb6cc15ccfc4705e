"""The main path through the command line, on drawn photos."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import cutis as package
from cutis.cli import VERBS
from cutis.records import NOTICE

QUICK = ("stage.1.epochs=1", "input.size=32")
DIAGNOSES = [
    "actinic_keratosis_bowen",
    "basal_cell_carcinoma",
    "benign_keratosis",
    "dermatofibroma",
    "melanoma",
    "melanocytic_nevus",
    "vascular_lesion",
]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def metrics(report: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((report / "metrics.json").read_text("utf-8"))
    return content


def uses(catalog: Path, split: str = "default") -> list[dict[str, str]]:
    path = catalog / "splits" / split / "uses.json"
    return json.loads(path.read_text()) if path.is_file() else []


def test_every_verb_ends_well_and_says_nothing_on_stderr(world: Any) -> None:
    for verb, done in world.done.items():
        assert (verb, done.code, done.err) == (verb, 0, "")
    assert list(world.done) == [
        "draw", "import", "split", "audit", "train", "evaluate", "export", "predict"
    ]  # fmt: skip


def test_import_writes_a_catalog_and_tells_what_is_in_it(world: Any, cutis: Any) -> None:
    assert names(world.catalog) >= {"catalog.json", "catalog.parquet", "links.parquet", "splits"}
    out = world.done["import"].out
    assert re.search(r"written: 140 photos \(1 unreadable, 0 without diagnosis\), \d+ lesions", out)
    assert "photos cannot be read and are set aside" in out
    before = {p: p.read_bytes() for p in world.catalog.glob("[cl]*.*")}
    again = cutis("import", world.photos, "--into", world.catalog)
    assert (again.code, "unchanged: 140 photos" in again.out) == (0, True)
    assert {p: p.read_bytes() for p in world.catalog.glob("[cl]*.*")} == before


def test_split_and_audit_agree_that_nothing_leaks(world: Any) -> None:
    assert names(world.catalog / "splits" / "default") >= {"split.json", "split.parquet"}
    assert "PASSED: split 'default'" in world.done["split"].out
    assert "PASSED: split 'default'" in world.done["audit"].out
    table = pd.read_parquet(world.catalog / "splits" / "default" / "split.parquet")
    assert table.groupby("group")["part"].nunique().max() == 1
    certificate = json.loads((world.catalog.parent / "certificate.json").read_text())
    assert certificate["passed"] is True


def test_train_writes_a_whole_run(world: Any) -> None:
    assert names(world.run) == {
        "recipe.toml", "model.safetensors", "model.json", "history.csv", "history.png", "log.txt",
        "catalog.txt", "trained-on.txt",
    }  # fmt: skip
    info = json.loads((world.run / "model.json").read_text())
    assert info["diagnoses"] == DIAGNOSES
    assert info["preprocessing"]["size"] == 32
    assert info["provenance"]["unsafe"] is False
    assert "1 epochs in" in world.done["train"].out
    assert len(pd.read_csv(world.run / "history.csv")) == 1
    assert (world.run / "model.safetensors").stat().st_mode & 0o044, "others may not read it"


def test_training_what_is_trained_already_changes_nothing(world: Any, cutis: Any) -> None:
    before = {p: p.stat().st_mtime_ns for p in world.run.iterdir()}
    again = cutis("train", "demo", "--data", world.catalog, "--out", world.run,
                  "--weights", "none", *QUICK)  # fmt: skip
    assert (again.code, again.out) == (0, world.done["train"].out)
    assert {p: p.stat().st_mtime_ns for p in world.run.iterdir()} == before


def test_evaluate_writes_a_whole_report(world: Any) -> None:
    assert names(world.report) >= {"report.html", "metrics.json", "predictions.parquet", "roc.svg"}
    assert re.search(r"Balanced accuracy .* 0\.\d{3} +0\.\d{3} to 0\.\d{3}",
                     world.done["evaluate"].out)  # fmt: skip
    assert str(world.report / "report.html") in world.done["evaluate"].out.replace("\n", "")
    found = metrics(world.report)
    assert (found["split"], found["part"], found["unsafe"]) == ("default", "test", False)
    assert found["test_uses"] == 1
    table = pd.read_parquet(world.report / "predictions.parquet")
    split = pd.read_parquet(world.catalog / "splits" / "default" / "split.parquet")
    assert set(table["image_id"]) == set(split.loc[split["part"] == "test", "image_id"])


def test_export_writes_a_whole_bundle(world: Any) -> None:
    assert names(world.bundle) == {
        "model.onnx", "model-int8.onnx", "features.npz", "bundle.json", "parity.json",
        "parity.html", "MODEL_CARD.md",
    }  # fmt: skip
    assert "model-int8.onnx" in world.done["export"].out
    info = json.loads((world.bundle / "bundle.json").read_text("utf-8"))
    assert info["model"] == json.loads((world.run / "model.json").read_text())


def test_predict_answers_every_photo(world: Any) -> None:
    photos = world.photos / "HAM10000_images_part_1"
    table = pd.read_csv(world.photos.parent / "predictions.csv")
    assert [Path(p).name for p in table["path"]] == sorted(p.name for p in photos.iterdir())
    assert list(table.columns) == ["path", *(f"logit_{d}" for d in DIAGNOSES), *DIAGNOSES, "error"]
    sums = table.loc[table["error"].isna(), DIAGNOSES].sum(axis=1)
    assert (sums - 1).abs().max() < 1e-5
    assert f"predictions.csv: {len(table)} photos, " in world.done["predict"].out
    assert NOTICE in world.done["predict"].out


def test_predict_without_a_table_prints_the_first_answers(world: Any, cutis: Any) -> None:
    first, second = sorted((world.photos / "HAM10000_images_part_1").iterdir())[:2]
    done = cutis("predict", first, second, "--model", world.bundle)
    assert done.code == 0
    assert len(re.findall(r"[a-z_]+ 0\.\d\d", done.out)) == 6
    assert NOTICE in done.out


def test_a_bundle_and_a_table_of_its_answers_get_the_same_figures(
    world: Any, cutis: Any, tmp_path: Path
) -> None:
    before = len(uses(world.catalog))
    done = cutis("evaluate", world.bundle, "--data", world.catalog, "--out", tmp_path / "bundle")
    assert (done.code, done.err) == (0, "")
    parts = [world.photos / f"HAM10000_images_part_{number}" for number in (1, 2)]
    table = tmp_path / "answers.parquet"
    options = ["--model", world.bundle, "--engine", "onnxruntime", "--out", table]
    assert cutis("predict", *parts, *options).code == 0
    done = cutis("evaluate", table, "--data", world.catalog, "--out", tmp_path / "table")
    assert (done.code, done.err) == (0, "")
    of_bundle, of_table = metrics(tmp_path / "bundle"), metrics(tmp_path / "table")
    assert of_table["confusion"] == of_bundle["confusion"]
    assert of_table["scores"]["accuracy"] == of_bundle["scores"]["accuracy"]
    assert (of_bundle["test_uses"], of_table["test_uses"]) == (before + 1, before + 2)
    assert [Path(use["what"]).name for use in uses(world.catalog)[before:]] == [
        "bundle", "answers.parquet"
    ]  # fmt: skip


def test_a_table_with_truth_needs_no_catalog(world: Any, cutis: Any, tmp_path: Path) -> None:
    before = len(uses(world.catalog))
    table = pd.read_parquet(world.report / "predictions.parquet")
    table = table[["image_id", "truth", "group", *DIAGNOSES]]
    table.to_csv(tmp_path / "mine.csv", index=False)
    done = cutis("evaluate", tmp_path / "mine.csv", "--out", tmp_path / "report")
    assert (done.code, done.err) == (0, "")
    found, own = metrics(tmp_path / "report"), metrics(world.report)
    assert found["scores"]["accuracy"] == own["scores"]["accuracy"]
    assert found["test_uses"] is None
    assert len(uses(world.catalog)) == before


def test_all_photos_of_another_catalog(world: Any, cutis: Any, tmp_path: Path) -> None:
    photos, catalog = tmp_path / "others", tmp_path / "catalog"
    assert cutis("draw", photos, "--photos", 60, "--seed", 9, "--layout", "folders").code == 0
    assert cutis("import", photos, "--into", catalog).code == 0
    done = cutis("evaluate", world.run, "--data", catalog, "--part", "all", "--out", tmp_path / "r")
    assert (done.code, done.err) == (0, "")
    found = metrics(tmp_path / "r")
    usable = package.Catalog.open(catalog).usable("ham7")
    assert (found["photos"], found["part"], found["split"]) == (len(usable), "all", None)
    # copies of one photograph are one group although this collection names no lesions
    assert found["groups"] < found["photos"]


def test_answer_prior_puts_the_training_frequencies_back(
    world: Any, cutis: Any, tmp_path: Path
) -> None:
    before = len(uses(world.catalog))
    done = cutis("evaluate", world.run, "--answer", "prior", "--part", "validation",
                 "--out", tmp_path / "prior")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    answers = pd.read_parquet(tmp_path / "prior" / "predictions.parquet")
    info = json.loads((world.run / "model.json").read_text())
    shares = pd.Series(info["provenance"]["train_counts"])
    # one epoch leaves the network nearly constant, so the answers are about the prior itself
    assert (answers[DIAGNOSES].mean() - shares / shares.sum()).abs().max() < 0.05
    assert len(uses(world.catalog)) == before, "validation was counted as a use of the test part"


def test_unsafe_marks_everything_made_with_it(
    trained: Any, cutis: Any, own_catalog: Path, tmp_path: Path
) -> None:
    split = cutis("split", own_catalog, "--unsafe-by-image", "--name", "unsafe")
    assert split.code == 0
    assert "UNSAFE" in split.out
    audit = cutis("audit", own_catalog, "--split", "unsafe")
    assert (audit.code, "FAILED" in audit.out) == (1, True)
    run, report, bundle = (tmp_path / name for name in ("run", "report", "bundle"))
    train = cutis("train", "demo", "--data", own_catalog, "--out", run, "--split", "unsafe",
                  "--weights", "none", *QUICK)  # fmt: skip
    assert (train.code, "UNSAFE" in train.out) == (0, True)
    assert json.loads((run / "model.json").read_text())["provenance"]["unsafe"] is True
    assert "UNSAFE" in (run / "recipe.toml").read_text()
    evaluated = cutis("evaluate", run, "--split", "unsafe", "--out", report)
    assert (evaluated.code, evaluated.err) == (0, "")
    assert metrics(report)["unsafe"] is True
    assert "unsafe" in (report / "report.html").read_text("utf-8").lower()
    assert cutis("export", run, "--out", bundle).code == 0
    info = json.loads((bundle / "bundle.json").read_text("utf-8"))
    assert info["model"]["provenance"]["unsafe"] is True
    assert "unsafe" in (bundle / "MODEL_CARD.md").read_text("utf-8").lower()


def test_everything_follows_the_catalog_when_it_moves(
    world: Any, cutis: Any, own_catalog: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(world.run, run)
    (run / "catalog.txt").write_text(str(tmp_path / "gone"))
    lost = cutis("evaluate", run, "--part", "validation", "--out", tmp_path / "report")
    assert lost.code == 2
    assert "give it by --data CATALOG" in lost.err
    found = cutis("evaluate", run, "--data", own_catalog, "--part", "validation",
                  "--out", tmp_path / "report")  # fmt: skip
    assert (found.code, metrics(tmp_path / "report")["part"]) == (0, "validation")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_verbs(cutis: Any, arguments: list[str]) -> None:
    done = cutis(*arguments)
    assert (done.code, done.err) == (0, "")
    assert re.findall(r"^  ([a-z][a-z-]*) +[A-Z]", done.out, re.MULTILINE) == list(
        dict.fromkeys(verb.split()[0] for verb in VERBS)
    )


def test_version(cutis: Any) -> None:
    assert cutis("--version").out == f"{package.__version__}\n"
