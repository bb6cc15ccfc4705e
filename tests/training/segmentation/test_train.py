"""From a segmentation recipe and a catalog with masks to a run."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from cutis.cli.train import show
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, part_rows
from cutis.errors import InputError, RecipeError
from cutis.recipes import parse_any_recipe
from cutis.records import Part
from cutis.training.loop import History
from cutis.training.run import load_run, trained_on
from cutis.training.segmentation import SegmenterRun, is_segmenter_run, load_segmenter_run
from cutis.training.segmentation.train import THRESHOLDS
from cutis.training.train import train

from .conftest import RECIPE, World, drawn, import_drawn

Mask = NDArray[np.uint8]


def weights_of(run: SegmenterRun) -> bytes:
    return (run.folder / "model.safetensors").read_bytes()


def world_with(root: Path, masks: dict[int, Mask | None], suffix: str = ".png") -> World:
    """A world in which some photos have the given masks, or none."""
    files: dict[int, Path | None] = dict.fromkeys(masks)
    root.mkdir(exist_ok=True)
    for number, mask in masks.items():
        if mask is not None:
            files[number] = root / f"changed-{number}{suffix}"
            Image.fromarray(mask).save(root / f"changed-{number}{suffix}")
    import_drawn(root, files)
    (root / "tiny.toml").write_text(RECIPE)
    return World(root)


def test_a_run_holds_what_a_classifiers_run_holds(world: World, run: SegmenterRun) -> None:
    assert {p.name for p in run.folder.iterdir()} == {
        "catalog.txt", "history.csv", "history.png", "log.txt", "model.json", "model.safetensors",
        "recipe.toml", "trained-on.txt",
    }  # fmt: skip
    history = pd.read_csv(run.folder / "history.csv")
    assert history.columns.tolist() == [
        "epoch", "stage", "learning_rate", "train_loss", "train_jaccard", "validation_loss",
        "validation_jaccard", "validation_dice", "seconds", "images_per_second",
    ]  # fmt: skip
    assert len(history) == 3
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]


def test_the_run_knows_its_photos_and_never_saw_the_test_part(
    world: World, run: SegmenterRun
) -> None:
    catalog = Catalog.open(world.catalog)
    split = load_split(catalog)
    rows = {part: part_rows(catalog, split, part) for part in Part}
    known = {part: set(rows[part]["sha256"]) & trained_on(run.folder) for part in Part}
    assert {part: len(found) for part, found in known.items()} == {
        Part.TRAIN: len(rows[Part.TRAIN]), Part.VALIDATION: len(rows[Part.VALIDATION]),
        Part.TEST: 0,
    }  # fmt: skip
    provenance = run.info.provenance
    assert provenance.split_sha256 == split.info.sha256
    assert provenance.train_counts == split.info.counts["train"]
    assert (run.folder / "catalog.txt").read_text().strip() == str(world.catalog.resolve())
    assert run.info.threshold in THRESHOLDS
    assert (run.info.architecture, run.info.filters) == ("unet", 4)
    assert (run.info.preprocessing.size, run.info.preprocessing.fit) == (32, "stretch")


def test_a_run_opens_as_what_it_is(world: World, run: SegmenterRun, tmp_path: Path) -> None:
    assert is_segmenter_run(run.folder)
    assert load_segmenter_run(run.folder).info == run.info
    with pytest.raises(InputError, match="segmenter's run, not a classifier's"):
        load_run(run.folder)
    (tmp_path / "small.toml").write_text(
        'name = "small"\n[input]\nsize = 32\n[model]\nbackbone = "small_cnn"\n'
        "[[stage]]\nepochs = 1\n"
    )
    out = tmp_path / "classifier"
    train(tmp_path / "small.toml", world.catalog, out, weights="none")
    assert not is_segmenter_run(out)
    assert load_run(out).info.architecture == "small_cnn"
    with pytest.raises(InputError, match="classifier's run, not a segmenter's"):
        load_segmenter_run(out)
    assert not is_segmenter_run(tmp_path)
    with pytest.raises(InputError, match="not a run"):
        load_segmenter_run(tmp_path)


def test_a_finished_run_is_not_touched_and_another_recipe_is_refused(
    world: World, run: SegmenterRun
) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.folder.iterdir()}
    assert world.trained(run.folder).info == run.info
    assert {p: p.stat().st_mtime_ns for p in run.folder.iterdir()} == before
    with pytest.raises(InputError, match="another recipe"):
        world.trained(run.folder, "loss.kind=focal_tversky")


def test_the_recipe_as_run_trains_the_same_network(world: World, tmp_path: Path) -> None:
    first = world.trained(tmp_path / "a", "enlarge=2", "stage.1.epochs=1", "moving_average=0.5")
    again = train(tmp_path / "a" / "recipe.toml", world.catalog, tmp_path / "b", weights="none")
    assert isinstance(again, SegmenterRun)
    assert weights_of(first) == weights_of(again)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    world: World, tmp_path: Path, stop_after: int
) -> None:
    stages = (
        'stage=[{epochs=2, batch_size=8, schedule={kind="one-cycle"}, augmentation={rotation=90}}, '
        "{epochs=1, batch_size=8}]"
    )
    recipe = parse_any_recipe(RECIPE, [stages, "moving_average=0.5", "enlarge=2"])

    def stop(history: History) -> None:
        if len(history) == stop_after:
            raise KeyboardInterrupt

    whole = train(recipe, world.catalog, tmp_path / "whole", weights="none")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, world.catalog, tmp_path / "cut", weights="none", watch=stop)
    assert not is_segmenter_run(tmp_path / "cut")
    cut = train(recipe, world.catalog, tmp_path / "cut", weights="none")
    assert isinstance(whole, SegmenterRun)
    assert isinstance(cut, SegmenterRun)
    assert weights_of(whole) == weights_of(cut)
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()


def test_learns_what_can_be_learnt(world: World, tmp_path: Path) -> None:
    run = world.trained(tmp_path / "run", "stage.1.epochs=25", "stage.1.schedule.kind=one-cycle")
    history = pd.read_csv(run.folder / "history.csv")
    assert history["validation_jaccard"].max() > 0.7


def test_averaged_weights_keep_up_where_there_are_few_steps(world: World, tmp_path: Path) -> None:
    settings = ("stage.1.epochs=12", "stage.1.schedule.kind=one-cycle", "moving_average=0.999")
    run = world.trained(tmp_path / "run", *settings)
    last = pd.read_csv(run.folder / "history.csv").iloc[-1]
    assert last["validation_loss"] < last["train_loss"] + 0.2


def test_early_stopping_ends_the_stage(world: World, tmp_path: Path) -> None:
    run = world.trained(
        tmp_path / "run", "stage.1.epochs=50", "stage.1.learning_rate=1e-12",
        "stage.1.early_stopping.patience=2", "monitor=validation_jaccard",
    )  # fmt: skip
    assert len(pd.read_csv(run.folder / "history.csv")) < 10


def test_photos_without_a_mask_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_with(tmp_path, dict.fromkeys(range(0, 30, 2)))
    run = world.trained(tmp_path / "run", "stage.1.epochs=1")
    catalog = Catalog.open(world.catalog)
    split = load_split(catalog)
    counts = {}
    for part in (Part.TRAIN, Part.VALIDATION):
        rows = part_rows(catalog, split, part)
        counts[part] = (int(rows["mask"].isna().sum()), len(rows))
    train_said, validation_said = (f"{a} of {b} {part}" for part, (a, b) in counts.items())
    assert counts[Part.TRAIN][0] > 0 < counts[Part.VALIDATION][0]
    for said in ((run.folder / "log.txt").read_text(), capsys.readouterr().err):
        assert f"no mask: {train_said} photos, {validation_said} photos" in said
    seen = sum(b - a for a, b in counts.values())
    assert len(trained_on(run.folder)) == 2 * seen  # of files and of pixels
    assert sum(run.info.provenance.train_counts.values()) == 18 - counts[Part.TRAIN][0]


def test_a_catalog_without_masks_is_refused(tmp_path: Path) -> None:
    world = world_with(tmp_path, dict.fromkeys(range(30)))
    with pytest.raises(InputError, match="no train photo of the catalog has a lesion mask"):
        world.trained(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_masks_in_any_usual_form_train_the_same_network(world: World, tmp_path: Path) -> None:
    numbers = range(30)
    small = world_with(tmp_path / "one", {n: drawn(n)[1] // 255 for n in numbers})
    dirty = world_with(tmp_path / "jpeg", {n: drawn(n)[1] for n in numbers}, ".jpg")
    double = {
        n: cv2.resize(drawn(n)[1], (96, 80), interpolation=cv2.INTER_NEAREST) for n in numbers
    }
    large = world_with(tmp_path / "large", double)
    worlds = (world, small, dirty, large)
    runs = [w.trained(tmp_path / str(n), "stage.1.epochs=1") for n, w in enumerate(worlds)]
    assert len({weights_of(run) for run in runs}) == 1


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.pad(np.zeros((20, 28), np.uint8), 10, constant_values=255), "inverted"),
        (np.zeros((48, 40), np.uint8), "does not fit its photo"),
    ],
)
def test_a_wrong_mask_is_refused_by_name_before_training(
    tmp_path: Path, mask: Mask, message: str
) -> None:
    world = world_with(tmp_path, dict.fromkeys(range(30), mask))
    with pytest.raises(InputError, match=message) as caught:
        world.trained(tmp_path / "run")
    assert "changed-" in str(caught.value.where)
    assert not (tmp_path / "run").exists()


def test_a_mask_that_is_gone_is_refused(tmp_path: Path) -> None:
    world = world_with(tmp_path, {})
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="masks are not on disk"):
        world.trained(tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "weights", "error", "message"),
    [
        (["input.size=40"], "none", RecipeError, "cannot take photos of 40 pixels"),
        (["stage.1.trainable=decoder"], "none", RecipeError, "trains the decoder alone"),
        (["model.architecture=unett"], "none", RecipeError, "did you mean 'unet'"),
        ([], "some.safetensors", InputError, "no encoder that pretrained weights could fill"),
        (["stage.1.learning_rate=1e30"], "none", RecipeError, "not a number any more"),
    ],
)
def test_what_does_not_fit_is_refused(
    world: World, tmp_path: Path, settings: list[str], weights: str, error: type, message: str
) -> None:
    out = tmp_path / "run"
    with pytest.raises(error, match=message):
        train(world.root / "tiny.toml", world.catalog, out, weights=weights, overrides=settings)


def test_a_segmenter_is_not_trained_with_a_segmenter(
    world: World, run: SegmenterRun, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="the recipe itself trains one"):
        train(world.root / "tiny.toml", world.catalog, tmp_path / "run", segmenter=run.folder)


def test_an_encoder_starts_from_a_file_of_weights(world: World, tmp_path: Path) -> None:
    recipe = parse_any_recipe(
        RECIPE.replace("filters = 4", ""),
        ["model.architecture=mobilenet_unet", "stage.1.epochs=1", "stage.1.trainable=decoder"],
    )
    first = train(recipe, world.catalog, tmp_path / "a", weights="none")
    assert isinstance(first, SegmenterRun)
    encoder = {
        name.removeprefix("encoder."): value
        for name, value in load_file(first.folder / "model.safetensors").items()
        if name.startswith("encoder.")
    }
    first_layer = encoder["features.0.0.weight"]
    first_layer += 1
    save_file(encoder, tmp_path / "encoder.safetensors")
    second = train(
        recipe, world.catalog, tmp_path / "b", weights=str(tmp_path / "encoder.safetensors")
    )
    assert isinstance(second, SegmenterRun)
    kept = second.model().get_parameter("encoder.features.0.0.weight")
    assert torch.equal(kept, first_layer)  # the decoder alone has trained
    assert second.info.provenance.licences == ("start weights: not known, from a file",)


def test_the_command_line_tells_how_it_stands(
    run: SegmenterRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(run) == 0
    last = pd.read_csv(run.folder / "history.csv").iloc[-1]
    said = f"jaccard {last['validation_jaccard']:.3f}, dice {last['validation_dice']:.3f}"
    printed = capsys.readouterr().out
    assert f"{run.folder}: 3 epochs in " in printed
    assert printed.endswith(f"last epoch on validation: {said}\n")
