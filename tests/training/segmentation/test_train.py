"""From a segmentation recipe and a catalog with masks to a run."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from cutis.cli.train import show
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, part_rows
from cutis.errors import InputError, RecipeError
from cutis.models.segmentation import build_segmenter
from cutis.recipes import parse_any_recipe
from cutis.recipes.segmentation import SegmentationRecipe
from cutis.records import Part
from cutis.training.loop import History
from cutis.training.run import load_run, trained_on
from cutis.training.segmentation import SegmenterRun, is_segmenter_run, load_segmenter_run
from cutis.training.segmentation.train import THRESHOLDS, start_of
from cutis.training.train import train

from .conftest import PHOTOS, RECIPE, World, drawn, import_drawn

LIGHT = "model.architecture=mobilenet_unet"
Mask = NDArray[np.uint8]


def weights_of(run: SegmenterRun) -> bytes:
    return (run.folder / "model.safetensors").read_bytes()


def world_with(root: Path, masks: dict[int, Mask | None], photos: int = PHOTOS) -> World:
    """A world in which some photos have the given masks, or none."""
    files: dict[int, Path | None] = dict.fromkeys(masks)
    root.mkdir(exist_ok=True)
    for number, mask in masks.items():
        if mask is not None:
            files[number] = root / f"changed-{number}.png"
            Image.fromarray(mask).save(root / f"changed-{number}.png")
    return world_of(root, files, photos)


def world_of(root: Path, files: dict[int, Path | None], photos: int = PHOTOS) -> World:
    import_drawn(root, files, photos)
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


STAGES = (
    'stage=[{epochs=2, batch_size=8, schedule={kind="one-cycle"}, augmentation={rotation=90}}, '
    "{epochs=1, batch_size=8}]"
)


@pytest.fixture(scope="module")
def uninterrupted(world: World, tmp_path_factory: pytest.TempPathFactory) -> SegmenterRun:
    out = tmp_path_factory.mktemp("whole") / "run"
    return world.trained(out, STAGES, "moving_average=0.5", "enlarge=2")


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    world: World, uninterrupted: SegmenterRun, tmp_path: Path, stop_after: int
) -> None:
    recipe = parse_any_recipe(RECIPE, [STAGES, "moving_average=0.5", "enlarge=2"])

    def stop(history: History) -> None:
        if len(history) == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, world.catalog, tmp_path / "cut", weights="none", watch=stop)
    assert not is_segmenter_run(tmp_path / "cut")
    cut = train(recipe, world.catalog, tmp_path / "cut", weights="none")
    assert isinstance(cut, SegmenterRun)
    assert weights_of(uninterrupted) == weights_of(cut)
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
    world = world_with(tmp_path, dict.fromkeys(range(0, PHOTOS, 2)))
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
    assert sum(run.info.provenance.train_counts.values()) == 12 - counts[Part.TRAIN][0]


def test_a_catalog_without_masks_is_refused(tmp_path: Path) -> None:
    world = world_with(tmp_path, dict.fromkeys(range(5)), photos=5)
    with pytest.raises(InputError, match="no train photo of the catalog has a lesion mask"):
        world.trained(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_masks_in_any_usual_form_train_the_same_network(world: World, tmp_path: Path) -> None:
    files: dict[int, Path | None] = {}
    for number in range(PHOTOS):  # in turn 0 and 1, with the noise of JPEG, and twice as large
        mask, suffix = drawn(number)[1], ".png"
        if number % 3 == 0:
            mask = mask // 255
        elif number % 3 == 1:
            suffix = ".jpg"
        else:
            mask = cv2.resize(mask, (96, 80), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        files[number] = tmp_path / f"changed-{number}{suffix}"
        Image.fromarray(mask).save(tmp_path / f"changed-{number}{suffix}")
    worlds = (world, world_of(tmp_path, files))
    runs = [w.trained(tmp_path / str(n), "stage.1.epochs=1") for n, w in enumerate(worlds)]
    assert weights_of(runs[0]) == weights_of(runs[1])


def test_corrected_masks_make_another_run(tmp_path: Path) -> None:
    world = world_with(tmp_path, {}, photos=10)

    def stop(_: History) -> None:
        raise KeyboardInterrupt

    recipe = parse_any_recipe(RECIPE, ["stage.1.epochs=1"])
    finished = world.trained(tmp_path / "finished", "stage.1.epochs=1")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, world.catalog, tmp_path / "cut", weights="none", watch=stop)
    for mask in (tmp_path / "masks").iterdir():
        Image.fromarray(cv2.erode(cv2.imread(str(mask), 0), np.ones((9, 9)))).save(mask)
    for out in (finished.folder, tmp_path / "cut"):
        with pytest.raises(InputError, match="other masks"):
            train(recipe, world.catalog, out, weights="none")
    assert load_segmenter_run(finished.folder).info == finished.info


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
    world = world_with(tmp_path, dict.fromkeys(range(5), mask), photos=5)
    with pytest.raises(InputError, match=message) as caught:
        world.trained(tmp_path / "run")
    assert "changed-" in str(caught.value.where)
    assert not (tmp_path / "run").exists()


def test_a_mask_that_is_gone_is_refused(tmp_path: Path) -> None:
    world = world_with(tmp_path, {}, photos=5)
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="masks are not on disk"):
        world.trained(tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "weights", "error", "message"),
    [
        (["input.size=40"], "none", RecipeError, "cannot be trained on photos of 40 pixels"),
        ([LIGHT, "input.size=32"], "none", RecipeError, "cannot be trained on photos of 32 pixels"),
        (["stage.1.trainable=decoder"], "none", RecipeError, "trains the decoder alone, but"),
        (
            [LIGHT, "input.size=64", "stage.1.trainable=decoder"],
            "none",
            RecipeError,
            "the decoder alone, on an encoder of random weights",
        ),
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


def test_a_later_stage_may_keep_an_encoder_that_an_earlier_one_trained() -> None:
    stages = 'stage=[{epochs=1}, {epochs=1, trainable="decoder"}]'
    recipe = parse_any_recipe(RECIPE, [LIGHT, "input.size=64", stages])
    assert isinstance(recipe, SegmentationRecipe)
    assert start_of(recipe, "none")[1] == "none"


def test_a_segmenter_is_not_trained_with_a_segmenter(
    world: World, run: SegmenterRun, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="the recipe itself trains one"):
        train(world.root / "tiny.toml", world.catalog, tmp_path / "run", segmenter=run.folder)


def test_an_encoder_starts_from_a_file_of_weights(world: World, tmp_path: Path) -> None:
    recipe = parse_any_recipe(
        RECIPE.replace("filters = 4", ""),
        [LIGHT, "input.size=64", "stage.1.epochs=1", "stage.1.trainable=decoder"],
    )
    encoder = build_segmenter("mobilenet_unet").encoder
    assert encoder is not None
    values = encoder.state_dict()
    values["features.0.0.weight"] += 1
    file = tmp_path / "encoder.safetensors"
    save_file(values, file)
    run = train(recipe, world.catalog, tmp_path / "run", weights=str(file))
    assert isinstance(run, SegmenterRun)
    kept = run.model().get_parameter("encoder.features.0.0.weight")
    assert torch.equal(kept, values["features.0.0.weight"])  # the decoder alone has trained
    assert run.info.provenance.licences == ("start weights: not known, from a file",)


def test_the_command_line_tells_how_it_stands(
    run: SegmenterRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(run) == 0
    last = pd.read_csv(run.folder / "history.csv").iloc[-1]
    said = f"jaccard {last['validation_jaccard']:.3f}, dice {last['validation_dice']:.3f}"
    printed = capsys.readouterr().out
    assert f"{run.folder}: 3 epochs in " in printed
    assert printed.endswith(f"last epoch on validation: {said}\n")
