"""The generator: same seed same bytes, documented layouts, planted faults as recorded."""

import csv
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cutis.data.synthetic import (
    DIAGNOSES,
    TONES,
    SyntheticSpec,
    contact_sheet,
    draw_collection,
    draw_lesion,
    generate,
)
from cutis.data.synthetic.plan import plan
from cutis.errors import InputError

SPEC = SyntheticSpec(
    photos=60,
    seed=5,
    width=96,
    height=72,
    several_photos_share=0.4,
    identical_share=0.05,
    near_share=0.07,
    wrong_label_share=0.05,
    corrupt_share=0.04,
)
CLEAN = replace(SPEC, identical_share=0, near_share=0, wrong_label_share=0, corrupt_share=0)


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("synthetic") / "ham", SPEC)


@pytest.fixture(scope="module")
def photos(collection: Path) -> dict[str, Path]:
    return {path.stem: path for path in collection.glob("HAM10000_images_part_*/*.jpg")}


def planted(collection: Path, *kinds: str) -> list[dict[str, str]]:
    return [row for row in table(collection / "planted.csv") if row["kind"] in kinds]


@pytest.mark.parametrize("dx", DIAGNOSES)
def test_photo_and_mask_agree(dx: str) -> None:
    photo, mask = draw_lesion(dx, 3, tone=1)
    assert photo.shape == (225, 300, 3)
    assert photo.dtype == np.uint8
    assert mask.shape == (225, 300)
    assert mask.dtype == np.bool_
    assert 0.03 < mask.mean() < 0.7
    inside, outside = photo[mask].mean(0), photo[~mask].mean(0)
    assert np.abs(inside - outside).max() > 8


def test_mask_covers_what_is_darker_on_fair_skin() -> None:
    photo, mask = draw_lesion("nv", 12, tone=0)
    green = photo[..., 1].astype(float)
    ys, xs = np.nonzero(mask)
    ring = np.zeros_like(mask)
    ring[max(ys.min() - 12, 0) : ys.max() + 12, max(xs.min() - 12, 0) : xs.max() + 12] = True
    assert np.median(green[mask]) < np.median(green[ring & ~mask])


def test_same_seed_same_photo_and_other_view_differs() -> None:
    first, mask = draw_lesion("mel", 7)
    draw_lesion("bcc", 8)
    again, mask_again = draw_lesion("mel", 7)
    assert np.array_equal(first, again)
    assert np.array_equal(mask, mask_again)
    other, other_mask = draw_lesion("mel", 7, view=1)
    assert not np.array_equal(first, other)
    assert not np.array_equal(mask, other_mask)


def test_tones_darken_and_modalities_differ() -> None:
    brightness = [draw_lesion("nv", 4, tone=tone)[0].mean() for tone in range(TONES)]
    assert brightness == sorted(brightness, reverse=True)
    assert brightness[0] > 1.3 * brightness[-1]
    dermoscopic, clinical = (draw_lesion("nv", 4, clinical=flag)[1] for flag in (False, True))
    assert clinical.sum() < dermoscopic.sum()


@pytest.mark.parametrize("size", [(300, 225), (600, 450), (64, 48), (80, 80)])
def test_any_size(size: tuple[int, int]) -> None:
    width, height = size
    for clinical in (False, True):
        for view in range(4):
            photo, mask = draw_lesion(
                "bkl", 2, view=view, clinical=clinical, width=width, height=height
            )
            assert photo.shape == (height, width, 3)
            assert 0.02 < mask.mean() < 0.7


def test_unknown_diagnosis_and_tone() -> None:
    with pytest.raises(InputError, match="did you mean 'mel'"):
        draw_lesion("mell", 0)
    with pytest.raises(InputError, match="0 to 6"):
        draw_lesion("mel", 0, tone=7)


def test_bytes_repeat(collection: Path, tmp_path: Path) -> None:
    assert content(generate(tmp_path / "again", SPEC)) == content(collection)
    other = generate(tmp_path / "other", replace(SPEC, seed=6))
    assert content(other) != content(collection)


def test_a_longer_collection_begins_with_the_shorter() -> None:
    short = [(row, photo) for row, photo, _ in draw_collection(replace(CLEAN, photos=12))]
    long = [(row, photo) for row, photo, _ in draw_collection(replace(CLEAN, photos=20))]
    assert len(short) == 12
    assert long[:12] == short


def test_ham10000_layout(collection: Path, photos: dict[str, Path]) -> None:
    rows = table(collection / "HAM10000_metadata.csv")
    assert list(rows[0]) == ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    assert len(rows) == SPEC.photos
    assert {row["image_id"] for row in rows} == set(photos)
    parts = Counter(path.parent.name for path in photos.values())
    assert parts == {"HAM10000_images_part_1": 30, "HAM10000_images_part_2": 30}
    masks = collection / "HAM10000_segmentations_lesion_tschandl"
    assert {path.name for path in masks.iterdir()} == {
        f"{name}_segmentation.png" for name in photos
    }
    assert {row["dx"] for row in rows} == set(DIAGNOSES)
    truth = {row["image_id"]: row["drawn"] for row in table(collection / "truth.csv")}
    assert all(row["dx_type"] == "histo" for row in rows if truth[row["image_id"]] == "mel")


def test_masks_fit_their_photos(collection: Path, photos: dict[str, Path]) -> None:
    corrupt = {row["image_id"] for row in planted(collection, "truncated", "text")}
    masks = collection / "HAM10000_segmentations_lesion_tschandl"
    for name in sorted(set(photos) - corrupt):
        with (
            Image.open(photos[name]) as photo,
            Image.open(masks / f"{name}_segmentation.png") as mask,
        ):
            assert mask.size == photo.size
            assert set(np.unique(np.asarray(mask))) == {0, 255}


def test_planted_counts(collection: Path) -> None:
    kinds = Counter(row["kind"] for row in table(collection / "planted.csv"))
    assert kinds == {
        "identical": 3,
        "resized": 1,
        "recompressed": 1,
        "flipped": 1,
        "cropped": 1,
        "wrong_label": 3,
        "truncated": 1,
        "text": 1,
    }


def test_copies_are_copies(collection: Path, photos: dict[str, Path]) -> None:
    lesions = {
        row["image_id"]: row["lesion_id"] for row in table(collection / "HAM10000_metadata.csv")
    }
    for row in planted(collection, "identical"):
        assert photos[row["image_id"]].read_bytes() == photos[row["of"]].read_bytes()
    near = planted(collection, "resized", "recompressed", "flipped", "cropped")
    for row in near:
        copy, original = (
            cv2.imread(str(photos[row[key]]), cv2.IMREAD_GRAYSCALE) for key in ("image_id", "of")
        )
        if row["kind"] == "resized":
            copy = cv2.resize(copy, original.shape[::-1])
        turned = [copy, cv2.flip(copy, 0), cv2.flip(copy, 1)]
        scores = [cv2.matchTemplate(original, turn, cv2.TM_CCOEFF_NORMED).max() for turn in turned]
        assert max(scores) > 0.9
        assert (scores[0] > 0.9) == (row["kind"] != "flipped")
        assert (copy.shape != original.shape) == (row["kind"] == "cropped")
        assert photos[row["image_id"]].read_bytes() != photos[row["of"]].read_bytes()
    assert all(
        lesions[row["image_id"]] != lesions[row["of"]]
        for row in planted(collection, "identical") + near
    )


def test_wrong_labels_are_wrong(collection: Path) -> None:
    recorded = {row["image_id"]: row["dx"] for row in table(collection / "HAM10000_metadata.csv")}
    truth = {row["image_id"]: row["drawn"] for row in table(collection / "truth.csv")}
    wrong = {row["image_id"]: row["of"] for row in planted(collection, "wrong_label")}
    assert {name for name, dx in recorded.items() if dx != truth[name]} == set(wrong)
    assert all(truth[name] == dx for name, dx in wrong.items())


def test_corrupt_files_fail_and_others_do_not(collection: Path, photos: dict[str, Path]) -> None:
    corrupt = {row["image_id"] for row in planted(collection, "truncated", "text")}
    failed = set()
    for name, path in photos.items():
        try:
            with Image.open(path) as photo:
                photo.load()
        except OSError:
            failed.add(name)
    assert failed == corrupt


def test_folders_layout(tmp_path: Path) -> None:
    folder = generate(tmp_path / "folders", SPEC, "folders")
    files = [path.relative_to(folder).parts for path in folder.rglob("*.jpg")]
    assert len(files) == SPEC.photos
    assert {part for part, _, _ in files} == {"Train", "Test"}
    assert {name for _, name, _ in files} == {
        "actinic keratosis",
        "basal cell carcinoma",
        "dermatofibroma",
        "melanoma",
        "nevus",
        "pigmented benign keratosis",
        "vascular lesion",
    }
    parts: dict[str, set[str]] = {}
    lesion_of = {row["image_id"]: row["lesion_id"] for row in table(folder / "truth.csv")}
    for part, _, name in files:
        parts.setdefault(lesion_of[Path(name).stem], set()).add(part)
    assert any(len(found) == 2 for found in parts.values())


def test_ph2_layout(tmp_path: Path) -> None:
    folder = generate(tmp_path / "ph2", SPEC, "ph2")
    text = io.StringIO((folder / "PH2_dataset.txt").read_text())
    rows = list(csv.DictReader(text, delimiter="\t"))
    assert list(rows[0]) == ["Name", "Clinical Diagnosis", "Asymmetry"]
    assert {row["Clinical Diagnosis"] for row in rows} == {"0", "1", "2"}
    names = {path.name for path in (folder / "PH2 Dataset images").iterdir()}
    assert {row["Name"] for row in rows} == names
    assert "IMD001" in names
    for name in names:
        place = folder / "PH2 Dataset images" / name
        assert (place / f"{name}_Dermoscopic_Image" / f"{name}.jpg").is_file()
        assert (place / f"{name}_lesion" / f"{name}_lesion.png").is_file()


def test_default_collection_is_imbalanced_and_complete() -> None:
    rows = plan(replace(SyntheticSpec(), photos=400), "ISIC_", 9_000_000, 7)
    rows = [row for row in rows if not row.planted]
    lesions = {row.lesion_id: row for row in rows}
    counts = Counter(row.drawn for row in lesions.values())
    assert counts.most_common(1)[0][0] == "nv"
    assert min(counts[dx] for dx in DIAGNOSES) >= 0.05 * len(lesions)
    assert len({row.tone for row in rows}) == TONES
    assert 0.1 < np.mean([row.clinical for row in rows]) < 0.3
    assert any(row.age is None for row in rows)
    assert 1.2 < len(rows) / len(lesions) < 1.8


def test_colour_alone_hardly_separates_diagnoses() -> None:
    colours: dict[str, list[np.ndarray]] = {}
    for dx in DIAGNOSES:
        for seed in range(12):
            photo, mask = draw_lesion(dx, seed, width=96, height=72)
            colours.setdefault(dx, []).append(photo[mask].mean(0))
    means = np.array([np.mean(values, 0) for values in colours.values()])
    within = np.mean([np.std(values, 0) for values in colours.values()], 0)
    assert (means.std(0) < within).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"near_share": 1.5}, "share between 0 and 1"),
        ({"photos": 3}, "cannot hold"),
        ({"width": 8}, "too small"),
        ({"diagnosis_shares": (("melanoma", 1.0),)}, "melanoma"),
    ],
)
def test_impossible_specs(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SyntheticSpec(), **change)  # type: ignore[arg-type]


def test_unknown_layout_and_foreign_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'ham10000'"):
        generate(tmp_path / "x", SPEC, "ham1000")  # type: ignore[arg-type]
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something else"):
        generate(tmp_path, SPEC)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_contact_sheet(tmp_path: Path) -> None:
    path = contact_sheet(tmp_path / "sheet.jpg", dermoscopic=2, clinical=1, width=80)
    with Image.open(path) as sheet:
        assert sheet.size == (240, 420)
