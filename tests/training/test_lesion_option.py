"""Training on segmented lesions: masks once, fallbacks counted, the run answers by itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import load_split, make_split, part_rows
from cutis.errors import InputError, RecipeError
from cutis.lesion import EMPTY, PIECES, LesionMasks, channels, lesion_view
from cutis.preprocessing import decode, normalise
from cutis.recipes.schema import Augmentation
from cutis.records import Part, Preprocessing, Provenance, SegmenterInfo
from cutis.storage import sha256_file
from cutis.training.augment import augment_batch
from cutis.training.backend import Backend
from cutis.training.inference import predict_run, run_logits
from cutis.training.lesion_masks import LesionUse, input_pixels, lesion_use, own_segmenter
from cutis.training.run import WEIGHTS, Run
from cutis.training.segmentation import SegmenterRun, load_segmenter_run
from cutis.training.train import train

RECIPE = """
name = "tiny"
precision = "float32"
[input]
size = 32
[model]
backbone = "small_cnn"
[[stage]]
epochs = 1
learning_rate = 1e-2
batch_size = 8
"""
PROVENANCE = Provenance(
    recipe="drawn",
    catalog_sha256="0" * 64,
    split_name="default",
    split_sha256="1" * 64,
    unsafe=False,
    seed=0,
    train_counts={},
    train_groups=0,
    sources=(),
    licences=(),
)
CALLS: list[int] = []


def drawn(number: int, blue: int) -> NDArray[np.uint8]:
    """Bright skin with a dark spot whose blue tells the diagnosis; some with none, or with two."""
    pixels = np.random.default_rng(number + blue).integers(170, 250, (60, 80, 3)).astype(np.uint8)
    spots = {0: [], 1: [(20, 20), (55, 40)]}.get(number, [(20 + number, 28)])
    for spot in spots:
        cv2.circle(pixels, spot, 9, (40, 30, blue), -1)
    return pixels


def dark_places(segmenter: SegmenterRun, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a perfect segmenter of the drawn photos answers; one called blind finds nothing."""
    CALLS.append(len(pixels))
    if segmenter.folder.name == "blind":
        return np.zeros(pixels.shape[:3], np.float32)
    return np.clip((140 - pixels[..., :2].mean(axis=-1)) / 100 + 0.5, 0, 1).astype(np.float32)


def write_segmenter(folder: Path, weight: float = 0.0) -> Path:
    folder.mkdir()
    info = SegmenterInfo(
        cutis_version="0.1.0",
        architecture="unet",
        preprocessing=Preprocessing(size=32),
        provenance=PROVENANCE,
        licence="CC-BY-NC",
    )
    (folder / "model.json").write_text(info.model_dump_json())
    (folder / "recipe.toml").write_text('name = "drawn"\n')
    (folder / "trained-on.txt").write_text("")
    (folder / "log.txt").write_text("not needed for masks")
    save_file({"weight": torch.full((1,), weight)}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module", autouse=True)
def perfect_segmenter() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cutis.training.segmentation.inference.mask_probabilities", dark_places)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog, a recipe and a segmenter that was trained on the first training photo."""
    root = tmp_path_factory.mktemp("tiny")
    for diagnosis, blue in (("melanoma", 20), ("nevus", 120)):
        (root / "photos" / diagnosis).mkdir(parents=True)
        for number in range(15):
            photo = Image.fromarray(drawn(number, blue))
            photo.save(root / "photos" / diagnosis / f"{diagnosis}{number}.png")
    import_sources([root / "photos"], root / "catalog")
    catalog = Catalog.open(root / "catalog")
    make_split(catalog, shares=(60, 20, 20))
    (root / "tiny.toml").write_text(RECIPE)
    first = rows_of(root, Part.TRAIN)["sha256"].iloc[0]
    (write_segmenter(root / "segmenter") / "trained-on.txt").write_text(f"{first}\n")
    return root


def rows_of(folder: Path, part: Part) -> pd.DataFrame:
    catalog = Catalog.open(folder / "catalog")
    return part_rows(catalog, load_split(catalog), part)


def trained(folder: Path, out: Path, *overrides: str, segmenter: str | None = "segmenter") -> Run:
    return train(
        folder / "tiny.toml",
        folder / "catalog",
        out,
        weights="none",
        segmenter=None if segmenter is None else folder / segmenter,
        overrides=overrides,
    )


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return trained(folder, folder / "run", "input.lesion=crop")


def test_the_run_holds_its_segmenter_and_says_so(folder: Path, run: Run) -> None:
    held = {path.name for path in (run.folder / "segmenter").iterdir()}
    assert held == {"model.json", "model.safetensors", "recipe.toml", "trained-on.txt"}
    weights = sha256_file(folder / "segmenter" / "model.safetensors")
    assert run.info.segmenter_sha256 == weights
    assert run.info.preprocessing.lesion == "crop"
    assert "segmenter: CC-BY-NC" in run.info.provenance.licences
    assert f"# segmenter: {weights}\n" in (run.folder / "recipe.toml").read_text()


def test_photos_taken_whole_are_counted_by_part_and_reason(folder: Path, run: Run) -> None:
    use = LesionUse.model_validate_json((run.folder / "lesion.json").read_bytes())
    assert (use.lesion, use.architecture) == ("crop", "unet")
    whole = {EMPTY: 0, PIECES: 0}
    for part in (Part.TRAIN, Part.VALIDATION):
        rows = rows_of(folder, part)
        names = rows["path"].str.extract(r"(\d+)\.png$")[0]
        counted = use.parts[part].whole
        assert counted == {
            reason: count
            for reason, count in ((EMPTY, (names == "0").sum()), (PIECES, (names == "1").sum()))
            if count
        }
        assert use.parts[part].photos == len(rows)
        whole = {reason: count + counted.get(reason, 0) for reason, count in whole.items()}
    assert sum(whole.values()) > 0
    assert (use.parts["train"].known_to_segmenter, use.parts["validation"].known_to_segmenter) == (
        1,
        0,
    )
    log = (run.folder / "log.txt").read_text()
    assert f"lesion = crop by unet: {sum(use.parts['train'].whole.values())} of 18 train" in log
    assert str(use).count("1 known to the segmenter") == 1
    assert str(use).endswith("0 known to the segmenter")


def test_a_copied_photo_is_counted_as_often_as_it_stands_there(folder: Path) -> None:
    def rows(*names: str) -> pd.DataFrame:
        return pd.DataFrame({"sha256": names, "pixels_sha256": None, "diagnosis": "melanoma"})

    clear = np.zeros((32, 32), np.uint8)
    clear[8:24, 8:24] = 255
    empty = np.zeros_like(clear)
    masks = LesionMasks(np.stack([empty, clear, empty]), 0.5, "key")  # of the photos a, b and c
    use = lesion_use(
        Preprocessing(lesion="mask"),
        load_segmenter_run(folder / "segmenter"),
        masks,
        {Part.TRAIN: rows("a", "a", "b"), Part.VALIDATION: rows("c", "b")},
    )
    assert use.parts["train"].whole == {EMPTY: 2}
    assert use.parts["validation"].whole == {EMPTY: 1}
    assert use.parts["train"].photos == 3


def test_training_sees_the_cut_out_lesions(folder: Path, run: Run) -> None:
    catalog, rows = Catalog.open(folder / "catalog"), rows_of(folder, Part.TRAIN)
    paths = [catalog.locate(stored) for stored in rows["path"]]
    pixels, masks = input_pixels(
        paths, rows["sha256"].tolist(), run.info.preprocessing, own_segmenter(run), folder / "c"
    )
    assert masks is not None
    for path, seen, reason in zip(paths, pixels, masks.reasons(), strict=True):
        rgb = decode(path)
        dark = rgb[..., 0] < 100
        expected = lesion_view(rgb, dark if reason is None else None, run.info.preprocessing)
        shares = [(view[..., 0] < 100).mean() for view in (seen, expected)]
        assert shares[0] == pytest.approx(shares[1], abs=0.08)
        assert reason is not None or shares[0] > 0.2 > 2 * dark.mean()


@pytest.mark.parametrize("lesion", ["crop", "mask", "channel"])
def test_a_run_answers_as_it_was_trained_and_without_the_original(
    folder: Path, tmp_path: Path, lesion: str
) -> None:
    shutil.copytree(folder / "segmenter", tmp_path / "segmenter")
    run = trained(folder, tmp_path / "run", f"input.lesion={lesion}",
                  segmenter=str(tmp_path / "segmenter"))  # fmt: skip
    shutil.rmtree(tmp_path / "segmenter")
    catalog, rows = Catalog.open(folder / "catalog"), rows_of(folder, Part.VALIDATION)
    table = predict_run(run, rows, catalog.locate)
    settings = run.info.preprocessing
    paths = [catalog.locate(stored) for stored in rows["path"]]
    pixels, _ = input_pixels(
        paths, rows["sha256"].tolist(), settings, own_segmenter(run), tmp_path / "cache"
    )
    assert pixels.shape == (len(rows), 32, 32, channels(settings))
    with torch.inference_mode():
        logits = run.model()(Backend("float32", settings).normalised(pixels)).numpy()
    answered = table[[f"logit_{name}" for name in run.info.diagnoses]].to_numpy()
    assert np.abs(answered - logits).max() < 1e-5
    assert np.ptp(logits[:, 0]) > 0


def test_masks_are_predicted_once(folder: Path, run: Run, tmp_path: Path) -> None:
    CALLS.clear()
    trained(folder, tmp_path / "again", "input.lesion=crop", "seed=1")
    trained(folder, tmp_path / "other", "input.lesion=mask")
    assert CALLS == []
    write_segmenter(folder / "second", weight=1.0)
    trained(folder, tmp_path / "second", "input.lesion=crop", segmenter="second")
    assert sum(CALLS) == 24


@pytest.mark.parametrize("trainable", ["all", "head"])
def test_what_one_segmenter_made_is_not_taken_for_another(
    folder: Path, tmp_path: Path, trainable: str
) -> None:
    settings = ["input.lesion=crop", f"stage.1.trainable={trainable}"]
    write_segmenter(tmp_path / "blind", weight=4.0)
    runs = [
        trained(folder, tmp_path / f"run{number}", *settings, segmenter=segmenter)
        for number, segmenter in enumerate(["segmenter", str(tmp_path / "blind")])
    ]
    first, second = ((run.folder / WEIGHTS).read_bytes()[-400:] for run in runs)
    assert first != second


def test_a_mask_and_a_segmenter_need_each_other(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'crop' needs masks(.|\n)*add --segmenter RUN"):
        trained(folder, tmp_path / "run", "input.lesion=crop", segmenter=None)
    with pytest.raises(RecipeError, match=r"does not use masks(.|\n)*input\.lesion=crop"):
        trained(folder, tmp_path / "run")
    with pytest.raises(InputError, match="there is no such run"):
        trained(folder, tmp_path / "run", "input.lesion=crop", segmenter="nowhere")
    assert not (tmp_path / "run").exists()


def test_a_mask_that_no_layer_would_learn_from_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="would never look at the mask"):
        trained(folder, tmp_path / "run", "input.lesion=channel", "stage.1.trainable=head")
    assert trained(folder, tmp_path / "run", "input.lesion=crop", "stage.1.trainable=head")


def test_the_run_of_another_segmenter_is_refused(folder: Path, run: Run) -> None:
    write_segmenter(folder / "third", weight=2.0)
    with pytest.raises(InputError, match="of another segmenter"):
        trained(folder, run.folder, "input.lesion=crop", segmenter="third")


def test_a_run_goes_on_with_its_copy_where_the_segmenter_has_gone(
    folder: Path, tmp_path: Path
) -> None:
    given = write_segmenter(tmp_path / "given", weight=5.0)

    def again() -> Run:
        return trained(folder, tmp_path / "run", "input.lesion=crop", segmenter=str(given))

    run = again()
    weights = (run.folder / WEIGHTS).read_bytes()
    given.rename(tmp_path / "moved")
    again()  # has ended
    for name in ("model.json", WEIGHTS):
        (run.folder / name).unlink()
    again()  # is trained anew, with the copy
    assert (run.folder / WEIGHTS).read_bytes() == weights
    held = {path.name for path in (run.folder / "segmenter").iterdir()}
    assert held == {"model.json", "model.safetensors", "recipe.toml", "trained-on.txt"}
    with pytest.raises(InputError, match="there is no such run"):
        trained(folder, tmp_path / "new", "input.lesion=crop", segmenter=str(given))


def test_a_run_without_its_own_segmenter_does_not_answer(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    moved = Run(tmp_path / "run", run.info)
    shutil.rmtree(moved.folder / "segmenter")
    with pytest.raises(InputError, match="the run's segmenter is missing"):
        run_logits(moved, [])
    write_segmenter(moved.folder / "segmenter", weight=3.0)
    with pytest.raises(InputError, match="not the segmenter that the run was trained with"):
        run_logits(moved, [])


def test_a_mask_follows_the_geometry_and_not_the_colours() -> None:
    photos = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 4), dtype=np.uint8)
    photos[..., 3] = photos[..., 0]
    turned = Augmentation(flip="both", rotation=90, zoom=0.2)
    moved = augment_batch(photos, turned, np.random.default_rng(1))
    assert (moved != photos).any()
    assert (moved[..., 3] == moved[..., 0]).all()
    rgb = augment_batch(np.ascontiguousarray(photos[..., :3]), turned, np.random.default_rng(1))
    assert (moved[..., :3] == rgb).all()
    coloured = Augmentation(brightness=0.5, contrast=0.5, saturation=0.5, hue=90, erase=1)
    changed = augment_batch(photos, coloured, np.random.default_rng(1))
    assert (changed[..., 3] == photos[..., 3]).all()
    rgb = augment_batch(np.ascontiguousarray(photos[..., :3]), coloured, np.random.default_rng(1))
    assert (changed[..., :3] == rgb).all()
    assert (changed[..., 0] != photos[..., 0]).mean() > 0.9


def test_torch_and_numpy_normalise_the_mask_alike() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 4), dtype=np.uint8)
    settings = Preprocessing(size=8, lesion="channel")
    planes = Backend("float32", settings).normalised(pixels).numpy()
    assert np.abs(planes - normalise(pixels, settings)).max() < 1e-6
