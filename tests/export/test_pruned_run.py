"""A run pruned on a few drawn photos: an ordinary run, smaller, and the same after a stop."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import make_split
from cutis.data.synthetic import SyntheticSpec, generate
from cutis.errors import InputError, RecipeError
from cutis.export import pruned_run
from cutis.export.onnx import write_onnx
from cutis.export.pruned_run import fine_tuning, prune_run
from cutis.models.complexity import multiply_adds
from cutis.models.registry import Classifier
from cutis.recipes import parse_recipe
from cutis.runtime.network import Network
from cutis.training import fitting
from cutis.training.inference import run_logits
from cutis.training.run import Run, load_run
from cutis.training.train import train_classifier

SPEC = SyntheticSpec(
    photos=48, width=48, height=36, clinical_share=0.0, several_photos_share=0.2,
    identical_share=0.0, near_share=0.0, wrong_label_share=0.0, corrupt_share=0.0,
    diagnosis_shares=(("nv", 0.5), ("mel", 0.5)),
)  # fmt: skip
RECIPE = """
name = "tiny"
precision = "float32"
batch_norm_momentum = 0.3
moving_average = 0.9
answer = "{answer}"
[input]
size = 32
[model]
backbone = "{backbone}"
[[stage]]
epochs = 1
trainable = "head"
imbalance = "logit_adjustment"
[[stage]]
epochs = 3
batch_size = 16
trainable = "last 20"
imbalance = "logit_adjustment"
"""
SHARE = 0.5


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    generate(folder / "photos", SPEC)
    made = import_sources([folder / "photos"], folder / "catalog").catalog
    make_split(made, shares=(60, 20, 20))
    return made.folder


def trained(catalog: Path, name: str, backbone: str, answer: str = "balanced") -> Run:
    recipe = parse_recipe(RECIPE.format(backbone=backbone, answer=answer))
    return train_classifier(recipe, catalog, catalog.parent / name, weights="none")


@pytest.fixture(scope="module")
def run(catalog: Path) -> Run:
    return trained(catalog, "run", "mobilenet_v2_035")


@pytest.fixture(scope="module")
def pruned(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prune_run(run.folder, tmp_path_factory.mktemp("pruned") / "run", SHARE)


def photos_of(catalog: Path) -> list[Path]:
    opened = Catalog.open(catalog)
    return [opened.locate(stored) for stored in opened.photos["path"]]


def test_the_pruned_run_is_an_ordinary_smaller_one(run: Run, pruned: Run) -> None:
    opened = load_run(pruned.folder)
    assert opened.info == pruned.info
    whole, small = run.model(), opened.model()
    full, left = multiply_adds(whole, 32), multiply_adds(small, 32)
    assert SHARE - 0.06 < left / full <= SHARE
    convolutions = [
        [m.out_channels for m in model.modules() if type(m).__name__ == "Conv2d" and m.groups == 1]
        for model in (whole, small)
    ]
    assert opened.info.widths == tuple(convolutions[1])
    assert sum(convolutions[1]) < sum(convolutions[0])
    assert run.info.widths is None
    assert opened.info.log_prior == run.info.log_prior
    assert opened.info.provenance == run.info.provenance
    assert sorted(p.name for p in pruned.folder.iterdir()) == sorted(
        p.name for p in run.folder.iterdir()
    )


def test_its_export_answers_as_it_does(pruned: Run, catalog: Path, tmp_path: Path) -> None:
    from cutis.preprocessing import load

    settings, photos = pruned.info.preprocessing, photos_of(catalog)[:8]
    write_onnx(pruned.model(), settings.size, tmp_path / "model.onnx")
    network = Network((tmp_path / "model.onnx").read_bytes(), settings)
    exported = network.logits(np.stack([load(photo, settings) for photo in photos]))
    answers = run_logits(pruned, photos)
    assert np.ptp(answers) > 1e-3
    assert np.abs(exported - answers).max() < 1e-4


def test_the_recipe_is_the_runs_own_shortened(run: Run, pruned: Run) -> None:
    plan = fine_tuning(run)
    (stage,) = plan.stage
    assert (stage.epochs, stage.trainable, stage.batch_size) == (2, "all", 16)
    assert plan.moving_average == pytest.approx(0.9**1.5)
    assert len(pd.read_csv(pruned.folder / "history.csv")) == 2
    head = (pruned.folder / "recipe.toml").read_text().splitlines()[:5]
    assert " pruned to 0.5 of the multiply-adds by taylor" in "".join(head)
    changed = fine_tuning(run, ["stage.1.epochs=1", "stage.1.learning_rate=1e-4"])
    assert changed.stage[0].learning_rate == 1e-4
    assert changed.moving_average == pytest.approx(0.9**3)
    assert fine_tuning(run, ["moving_average=0.5"]).moving_average == 0.5


def test_fine_tuning_starts_with_statistics_of_what_is_left(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Classifier] = []

    def stop(model: Classifier, *_: object) -> None:
        started.append(model)
        raise KeyboardInterrupt

    monkeypatch.setattr("cutis.training.train.fit", stop)
    with pytest.raises(KeyboardInterrupt):
        prune_run(run.folder, tmp_path / "run", SHARE)
    norms = [m for m in started[0].modules() if isinstance(m, torch.nn.BatchNorm2d)]
    batches = -(-sum(run.info.provenance.train_counts.values()) // 32)
    assert {norm.momentum for norm in norms} == {0.3}
    assert {int(norm.num_batches_tracked or 0) for norm in norms} == {batches}


@pytest.mark.parametrize("epoch", [1, 2])
def test_interrupted_fine_tuning_ends_as_if_nothing_had_happened(
    run: Run, pruned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    out, written = tmp_path / "run", fitting.history_csv

    def stopping(history: list[dict[str, float | int | str]]) -> str:
        if len(history) == epoch:
            raise KeyboardInterrupt
        return written(history)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "history_csv", stopping)
        with pytest.raises(KeyboardInterrupt):
            prune_run(run.folder, out, SHARE)
    assert not (out / "model.json").exists()
    # what was cut is not found anew: another number of threads may rank two channels otherwise
    monkeypatch.setattr(pruned_run, "taylor", None)
    again = prune_run(run.folder, out, SHARE)
    assert (out / "model.safetensors").read_bytes() == (
        pruned.folder / "model.safetensors"
    ).read_bytes()
    assert again.info == pruned.info
    before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    prune_run(run.folder, out, SHARE)
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before


def test_what_an_earlier_try_left_is_not_taken_for_another_share(
    run: Run, pruned: Run, tmp_path: Path
) -> None:
    """A stop before the first epoch has ended; then another share in the same folder."""
    out = tmp_path / "run"
    shutil.copytree(pruned.folder, out)
    for name in ("model.json", "model.safetensors", "history.csv"):
        (out / name).unlink()
    (out / "widths.json").write_text(json.dumps([8] * 35))
    assert prune_run(run.folder, out, 0.8).info.widths != (8,) * 35


def test_a_pruned_run_can_be_pruned_again(pruned: Run, tmp_path: Path) -> None:
    again = prune_run(pruned.folder, tmp_path / "run", 0.6, overrides=["stage.1.epochs=1"])
    first, second = multiply_adds(pruned.model(), 32), multiply_adds(again.model(), 32)
    assert second <= 0.6 * first


def test_a_prior_in_the_answers_is_put_back_once(run: Run, catalog: Path, tmp_path: Path) -> None:
    other = trained(catalog, "prior", "mobilenet_v2_035", answer="prior")
    assert other.info.log_prior is None
    assert run.info.log_prior is not None
    # hardly trained: what rounding makes of the bias would grow from step to step
    still = ["stage.1.epochs=1", "stage.1.learning_rate=1e-9"]
    both = [
        prune_run(one.folder, tmp_path / name, 0.8, importance="magnitude", overrides=still)
        for one, name in ((run, "balanced"), (other, "prior"))
    ]
    first, second = (run_logits(one, photos_of(catalog)[:8]) for one in both)
    assert np.abs(second - first - np.array(run.info.log_prior)).max() < 1e-3


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "is not possible"), (1.0, "is not possible"), (float("nan"), "is not possible"),
     (0.01, "cannot be cut to 0.01 of its multiply-adds")],
)  # fmt: skip
def test_an_impossible_share_is_refused(run: Run, tmp_path: Path, share: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prune_run(run.folder, tmp_path / "run", share)
    assert not (tmp_path / "run").exists()


def test_other_architectures_are_refused(catalog: Path, tmp_path: Path) -> None:
    other = trained(catalog, "other", "small_cnn")
    with pytest.raises(InputError, match="'small_cnn' cannot be pruned"):
        prune_run(other.folder, tmp_path / "run", SHARE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("setting", ["input.size=64", "model.hidden=[8]", "view=ham7"])
def test_settings_that_change_the_network_are_refused(
    run: Run, tmp_path: Path, setting: str
) -> None:
    with pytest.raises(RecipeError, match=f"the settings change {setting.partition('.')[0][:4]}"):
        prune_run(run.folder, tmp_path / "run", SHARE, overrides=[setting])
    assert not (tmp_path / "run").exists()


def test_another_split_is_refused(run: Run, catalog: Path, tmp_path: Path) -> None:
    shutil.copytree(catalog, tmp_path / "catalog")
    make_split(Catalog.open(tmp_path / "catalog"), shares=(60, 20, 20), seed=5)
    with pytest.raises(InputError, match="trained on another split"):
        prune_run(run.folder, tmp_path / "run", SHARE, data=tmp_path / "catalog")
    assert not (tmp_path / "run").exists()


def test_widths_that_do_not_fit_are_refused(pruned: Run, tmp_path: Path) -> None:
    shutil.copytree(pruned.folder, tmp_path / "run")
    file = tmp_path / "run" / "model.json"
    tree = json.loads(file.read_text())
    file.write_text(json.dumps(tree | {"widths": tree["widths"][:-1]}))
    with pytest.raises(InputError, match="34 widths for 35 convolutions"):
        load_run(tmp_path / "run").model()
