"""The comparison as a whole, on drawn photos; its numbers are made again another way."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from scipy import stats
from sklearn.metrics import (
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, part_rows, test_uses
from cutis.errors import InputError
from cutis.metrics.statistics import delong_test
from cutis.records import Part
from cutis.studies.comparison import Comparison, Published, compare, judging
from cutis.training.inference import predict_run
from cutis.training.run import load_run

from .conftest import World

MALIGNANT = "melanoma"


def rows_of(world: World, part: Part = Part.TEST, split: str = "default") -> pd.DataFrame:
    catalog = Catalog.open(world.catalog)
    return part_rows(catalog, load_split(catalog, split), part)


def answers_of(world: World, name: str, part: Part = Part.TEST) -> pd.DataFrame:
    """Truth, answer and the probability of the malignant diagnosis, predicted anew."""
    rows, run = rows_of(world, part), load_run(world.runs[name])
    table = predict_run(run, rows, Catalog.open(world.catalog).locate)
    columns = list(run.info.diagnoses)
    return pd.DataFrame(
        {
            "truth": rows["diagnosis"].to_numpy(),
            "answer": [columns[i] for i in table[columns].to_numpy().argmax(axis=1)],
            "score": table[MALIGNANT],
        }
    )


def expected_figures(found: pd.DataFrame) -> dict[str, float]:
    truth, answer = found["truth"], found["answer"]
    positive = {"pos_label": MALIGNANT, "zero_division": 0}
    return {
        "accuracy": float((truth == answer).mean()),
        "balanced_accuracy": balanced_accuracy_score(truth, answer),
        "precision_macro": precision_score(truth, answer, average="macro", zero_division=0),
        "recall_macro": recall_score(truth, answer, average="macro"),
        "f1_macro": f1_score(truth, answer, average="macro"),
        "auroc_macro": roc_auc_score(truth == MALIGNANT, found["score"]),
        "malignant_recall": recall_score(truth, answer, **positive),
        "malignant_precision": precision_score(truth, answer, **positive),
        "malignant_f1": f1_score(truth, answer, **positive),
    }


def test_the_figures_of_an_entry(world: World, compared: tuple[Comparison, Path]) -> None:
    entry = compared[0].entry("both-0")
    found = answers_of(world, "both-0")
    expected = expected_figures(found)
    assert {n: f.value for n, f in entry.figures.items()} == pytest.approx(expected, abs=1e-6)
    for name in ("accuracy", "auroc_macro"):
        figure = entry.figures[name]
        assert figure.low <= figure.value <= figure.high
    rows = rows_of(world)
    assert (entry.photos, entry.groups) == (len(rows), rows["group"].nunique())
    names = entry.confusion.diagnoses
    assert names == load_run(world.runs["both-0"]).info.diagnoses
    counts = confusion_matrix(found["truth"], found["answer"], labels=list(names))
    assert np.array_equal(entry.confusion.counts, counts)


def test_the_figures_on_the_training_part(world: World, compared: tuple[Comparison, Path]) -> None:
    entry = compared[0].entry("both-0")
    expected = expected_figures(answers_of(world, "both-0", Part.TRAIN))
    # the cached pixels are those of the files, but their number format may be a shorter one
    tolerance = 1e-6 if entry.train_format == "float32" else 0.05
    assert entry.train_figures == pytest.approx(expected, abs=tolerance)
    assert np.sum(entry.train_confusion.counts) == len(rows_of(world, Part.TRAIN))


def test_the_cost_of_an_entry(world: World, compared: tuple[Comparison, Path]) -> None:
    cost = compared[0].entry("both-1").cost
    run = world.runs["both-1"]
    history = pd.read_csv(run / "history.csv")
    weights = load_file(run / "model.safetensors")
    assert cost.parameters == sum(v.numel() for k, v in weights.items() if "num_b" not in k)
    assert cost.megabytes == (run / "model.safetensors").stat().st_size / 1e6
    assert cost.seconds == pytest.approx(history["seconds"].sum())
    assert cost.epochs == len(history) == 10
    assert 0 < cost.milliseconds < 1000
    assert compared[0].threads == torch.get_num_threads()


def test_arms_are_means_over_their_seeds(compared: tuple[Comparison, Path]) -> None:
    comparison = compared[0]
    both, cut, unsafe = comparison.arms
    values = [comparison.entry(name).figures["accuracy"].value for name in both.entries]
    spread = both.figures["accuracy"]
    assert both.entries == ("both-0", "both-1")
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.deviation == pytest.approx(np.std(values, ddof=1))
    assert (spread.low, spread.high) == (min(values), max(values))
    assert (cut.unsafe, unsafe.unsafe, comparison.unsafe) == (False, True, True)
    assert cut.figures["accuracy"].deviation is None


def test_pairs_are_tested_on_the_same_photos(
    world: World, compared: tuple[Comparison, Path]
) -> None:
    comparison = compared[0]
    named = [(pair.first, pair.second) for pair in comparison.pairs]
    assert named == [("both-0", "cut-0"), ("both-1", "cut-0")]
    pair = comparison.pairs[0]
    first, second = (answers_of(world, name) for name in named[0])
    right = [one["truth"] == one["answer"] for one in (first, second)]
    only = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    assert sum(only) > 0, "the two runs are too alike to test anything"
    assert [pair.only_first, pair.only_second] == only
    assert pair.mcnemar_exact == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
    assert pair.differences["accuracy"].value == pytest.approx(right[1].mean() - right[0].mean())
    area = delong_test(first["score"], second["score"], (first["truth"] == MALIGNANT).to_numpy())
    assert (pair.area.value, pair.delong_p) == pytest.approx((area.difference, area.p_value))
    kappa = cohen_kappa_score(first["answer"], second["answer"])
    assert pair.kappa.value == pytest.approx(kappa)


def test_holm_corrects_over_the_pairs(compared: tuple[Comparison, Path]) -> None:
    mid_p = [pair.mcnemar_mid_p for pair in compared[0].pairs]
    low, high = sorted(mid_p)
    holm = {low: min(1.0, 2 * low), high: min(1.0, max(2 * low, high))}
    assert [p.mcnemar_holm for p in compared[0].pairs] == pytest.approx([holm[p] for p in mid_p])


def test_arms_on_other_photos_are_not_tested_and_the_page_says_why(
    compared: tuple[Comparison, Path],
) -> None:
    comparison, out = compared
    (reason,) = comparison.unpaired
    assert reason.startswith("both stages and head only against by image: no paired test")
    assert "judged on different photos" in reason
    assert reason in (out / "page.html").read_text("utf-8")


def test_the_t_test_on_epochs_with_the_honest_one_beside_it(
    world: World, compared: tuple[Comparison, Path]
) -> None:
    comparison = compared[0]
    history = pd.read_csv(world.runs["both-0"] / "history.csv")
    column = history["validation_accuracy"]
    expected = stats.ttest_rel(column[6:10], column[:4])
    test = comparison.entry("both-0").epoch_tests[0]
    assert (test.first_stage, test.second_stage, test.pairs) == ("head", "fine", 4)
    assert test.gain.value == pytest.approx(np.mean(column[6:10].to_numpy() - column[:4]))
    assert (test.t, test.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert test.honest == ("cut-0", "both-0")
    assert comparison.entry("both-1").epoch_tests[0].honest is None, "there is no cut-off seed 1"
    assert comparison.entry("cut-0").epoch_tests == ()


def test_the_folder_holds_the_record_and_everything_shown(
    compared: tuple[Comparison, Path],
) -> None:
    comparison, out = compared
    assert Comparison.model_validate_json((out / "comparison.json").read_bytes()) == comparison
    json.loads((out / "comparison.json").read_text(), parse_constant=pytest.fail)
    pictures = ["figures", "shares-1", *(f"{kind}-{n}" for kind in ("curves", "confusion")
                                         for n in (1, 2, 3))]  # fmt: skip
    files = {path.name for path in out.iterdir()}
    assert files >= {f"{name}.{kind}" for name in pictures for kind in ("png", "svg")}
    assert files >= {entry.predictions for entry in comparison.entries}
    page = (out / "page.html").read_text("utf-8")
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    for text in ("They are drawn.", "flip both, rotation 90", "The t-test on epochs",
                 "UNSAFE.", 'backbone = "small_cnn"', *comparison.verdict[:1]):  # fmt: skip
        assert text in page.replace("&#34;", '"')
    assert page.count(">UNSAFE<") >= 4, "the unsafe run is marked wherever it is shown"


@pytest.mark.usefixtures("undrawn")
def test_published_figures_stand_beside_ours(world: World, tmp_path: Path) -> None:
    figures = {"recall_macro": 0.9, "train_accuracy": 0.99, "seconds": 666.0, "dice": 0.5}
    comparison = compare(
        [world.entry("both-0")], tmp_path / "page", title="One", published=[Published("P", figures)]
    )
    assert comparison.verdict[0].startswith("Balanced accuracy: P 0.900; both-0 ")
    assert (comparison.pairs, comparison.unpaired) == ((), ())
    page = (tmp_path / "page" / "page.html").read_text("utf-8")
    assert "nothing to be compared with" in page
    for text in ("0.900", "train 0.990", ">666<", ">Dice<", "0.500"):
        assert text in page


@pytest.mark.usefixtures("undrawn")
def test_the_same_again_predicts_and_counts_nothing_anew(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog.open(world.catalog)
    before = test_uses(catalog, load_split(catalog))
    entries = [world.entry("both-0", "arm"), world.entry("both-1", "arm")]
    first = compare(entries, tmp_path / "page", title="Two seeds")
    assert [entry.test_uses for entry in first.entries] == [before + 1, before + 2]
    monkeypatch.setattr(judging, "predict_run", lambda *a: pytest.fail("predicted again"))
    again = compare(entries, tmp_path / "page", title="Two seeds")
    assert [entry.test_uses for entry in again.entries] == [before + 2, before + 2]
    assert again.pairs == first.pairs
    assert [(p.first, p.second) for p in again.pairs] == [("both-0", "both-1")], "a single arm"
    assert again.entry("both-1").figures == first.entry("both-1").figures


@pytest.mark.usefixtures("undrawn")
def test_validation_is_no_use_of_the_test_part(world: World, tmp_path: Path) -> None:
    catalog = Catalog.open(world.catalog)
    before = test_uses(catalog, load_split(catalog))
    entry = replace(world.entry("cut-0"), part=Part.VALIDATION)
    comparison = compare([entry], tmp_path / "page", title="Validation", data=world.catalog)
    assert test_uses(catalog, load_split(catalog)) == before
    assert comparison.entries[0].test_uses is None
    assert comparison.entries[0].photos == len(rows_of(world, Part.VALIDATION))


@pytest.mark.usefixtures("undrawn")
def test_arms_of_different_diagnoses_are_shown_but_not_tested(
    world: World, tmp_path: Path, trained_with_view: Path
) -> None:
    entries = [world.entry("both-0"), replace(world.entry("both-0"), name="view",
                                              arm="view", run=trained_with_view)]  # fmt: skip
    comparison = compare(entries, tmp_path / "page", title="Two questions")
    assert comparison.pairs == ()
    assert "they answer different diagnoses" in comparison.unpaired[0]
    mixed = [replace(entry, arm="one") for entry in entries]
    with pytest.raises(InputError, match="'both-0' and 'view' cannot be one arm"):
        compare(mixed, tmp_path / "page", title="Mixed")
