"""From a recipe and a catalog to a run, on a few coloured photos."""

import errno
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import load_split, make_split, part_rows
from cutis.errors import InputError, RecipeError
from cutis.records import Part
from cutis.training.inference import predict_run, run_logits
from cutis.training.run import Run
from cutis.training.train import train

RECIPE = """
name = "tiny"
precision = "float32"
[input]
size = 32
[model]
backbone = "small_cnn"
[[stage]]
epochs = 3
learning_rate = 1e-2
batch_size = 8
imbalance = "logit_adjustment"
"""
COUNTS = {"melanoma": 10, "nevus": 20}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of dark melanomas and bright nevi, split, and the recipe."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    for diagnosis, count in COUNTS.items():
        (root / "photos" / diagnosis).mkdir(parents=True)
        for number in range(count):
            bright = 150 if diagnosis == "nevus" else 0
            pixels = rng.integers(0, 100, (40, 48, 3)) + bright
            photo = Image.fromarray(pixels.astype(np.uint8))
            photo.save(root / "photos" / diagnosis / f"{diagnosis}{number}.png")
    import_sources([root / "photos"], root / "catalog")
    make_split(Catalog.open(root / "catalog"), shares=(60, 20, 20))
    (root / "tiny.toml").write_text(RECIPE)
    return root


def trained(folder: Path, out: Path, *overrides: str) -> Run:
    return train(folder / "tiny.toml", folder / "catalog", out, weights="none", overrides=overrides)


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return trained(folder, folder / "run")


def test_the_run_says_what_it_was_trained_on(folder: Path, run: Run) -> None:
    catalog = Catalog.open(folder / "catalog")
    split = load_split(catalog)
    provenance = run.info.provenance
    assert run.info.diagnoses == ("melanocytic_nevus", "melanoma")
    assert provenance.train_counts == split.info.counts["train"]
    assert (provenance.catalog_sha256, provenance.split_sha256) == (
        catalog.sha256,
        split.info.sha256,
    )
    assert provenance.train_groups == split.info.groups["train"]
    assert provenance.licences == ()
    assert run.info.licence.startswith("unknown")
    counts = np.array([provenance.train_counts[d] for d in run.info.diagnoses])
    assert run.info.log_prior == pytest.approx(np.log(counts / counts.sum()), abs=1e-6)


def test_the_recipe_as_run_trains_the_same_network(folder: Path, run: Run, tmp_path: Path) -> None:
    again = train(run.folder / "recipe.toml", folder / "catalog", tmp_path / "b", weights="none")
    weights = [(f / "model.safetensors").read_bytes() for f in (run.folder, again.folder)]
    assert weights[0] == weights[1]


def test_a_prior_answer_is_the_balanced_one_with_the_prior_put_back(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    with_prior = trained(folder, tmp_path / "prior", "answer=prior")
    assert with_prior.info.log_prior is None
    photos = sorted((folder / "photos").rglob("*.png"))[:4]
    moved = run_logits(with_prior, photos) - run_logits(run, photos)
    assert run.info.log_prior is not None
    assert np.abs(moved - np.array(run.info.log_prior)).max() < 1e-4


def test_predictions_hold_logits_and_calibrated_probabilities(folder: Path, run: Run) -> None:
    catalog = Catalog.open(folder / "catalog")
    rows = part_rows(catalog, load_split(catalog), Part.TEST)
    table = predict_run(run, rows, catalog.locate)
    assert table["image_id"].tolist() == rows["image_id"].tolist()
    logits = torch.tensor(table[[f"logit_{d}" for d in run.info.diagnoses]].to_numpy())
    expected = torch.softmax(logits.double() / run.info.temperature, 1).numpy()
    assert np.abs(table[list(run.info.diagnoses)].to_numpy() - expected).max() < 1e-6
    prior = predict_run(run, rows, catalog.locate, prior=True)
    moved = prior[[f"logit_{d}" for d in run.info.diagnoses]].to_numpy() - logits.numpy()
    assert run.info.log_prior is not None
    assert np.abs(moved - np.array(run.info.log_prior)).max() < 1e-5
    odds = prior[list(run.info.diagnoses)].to_numpy()
    assert np.abs(odds - torch.softmax(logits + torch.from_numpy(moved), 1).numpy()).max() < 1e-6


def test_a_finished_run_is_not_touched(folder: Path, run: Run) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.folder.iterdir()}
    assert trained(folder, run.folder).info == run.info
    assert {p: p.stat().st_mtime_ns for p in run.folder.iterdir()} == before


@pytest.mark.parametrize("change", ["seed=1", "stage.1.epochs=4"])
def test_the_run_of_another_recipe_is_refused(folder: Path, run: Run, change: str) -> None:
    with pytest.raises(InputError, match="a run of another recipe, catalog, split or start"):
        trained(folder, run.folder, change)


def test_the_run_of_another_split_is_refused(folder: Path, run: Run) -> None:
    make_split(Catalog.open(folder / "catalog"), name="other", shares=(60, 20, 20), seed=4)
    with pytest.raises(InputError, match="a run of another recipe, catalog, split or start"):
        train(folder / "tiny.toml", folder / "catalog", run.folder, split="other", weights="none")


def test_what_a_kill_left_at_the_first_file_is_no_obstacle(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".staging-abc").mkdir()
    (tmp_path / ".staging-abc" / "recipe.toml").write_text("na")
    assert len(pd.read_csv(trained(folder, tmp_path).folder / "history.csv")) == 3


def test_a_run_that_stopped_in_its_first_epoch_gives_way(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not a number any more"):
        trained(folder, tmp_path / "run", "stage.1.learning_rate=1e30")
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    run = trained(folder, tmp_path / "run")
    assert "learning_rate = 0.01" in (run.folder / "recipe.toml").read_text()


@pytest.mark.parametrize("warmup", [0.0, 1 / 9, 0.5, 0.99])
def test_one_cycle_of_any_length(folder: Path, tmp_path: Path, warmup: float) -> None:
    settings = ("stage.1.schedule.kind=one-cycle", f"stage.1.schedule.warmup={warmup}")
    history = pd.read_csv(trained(folder, tmp_path, *settings).folder / "history.csv")
    assert history["train_loss"].map(math.isfinite).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("view=ham7", "no train photo shows actinic_keratosis_bowen"),
        ("stage.1.trainable=last 99", "Keras layers"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, change: str, said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        trained(folder, tmp_path / "run", change)
    assert not (tmp_path / "run").exists()


def test_a_sigmoid_head_answers_two_diagnoses(folder: Path, tmp_path: Path) -> None:
    run = trained(folder, tmp_path / "run", "model.sigmoid=true")
    photos = sorted((folder / "photos").rglob("*.png"))[:4]
    assert (run_logits(run, photos)[:, 0] == 0).all()


@pytest.mark.parametrize("obstacle", ["full disk", "limit"])
def test_training_goes_on_where_nothing_can_be_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    settings = ("stage.1.trainable=head", "seed=7")
    kept = trained(folder, tmp_path / "kept", *settings)
    for file in (folder / "catalog" / ".cache").glob("activations-*"):
        file.unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if obstacle == "limit":
        monkeypatch.setenv("CUTIS_CACHE_GB", "0")
    else:
        monkeypatch.setattr("cutis.training.feature_cache.write_array", full)
    without = trained(folder, tmp_path / "without", *settings)
    histories = [pd.read_csv(run.folder / "history.csv") for run in (kept, without)]
    difference = histories[0]["train_loss"] - histories[1]["train_loss"]
    assert difference.abs().max() < 1e-4
    assert "activations are computed in every epoch" in (without.folder / "log.txt").read_text()
    assert "MB of activations in" in (kept.folder / "log.txt").read_text()
