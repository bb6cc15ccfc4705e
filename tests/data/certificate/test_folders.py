"""Certificates for anybody's folders: each fault is planted once, and found; without it, none."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from cutis.errors import InputError

from .conftest import audited, failed, same_file, seen


def test_a_sound_split_passes(sound: Path) -> None:
    certificate = audited(sound / "train", sound / "test")
    assert (certificate.passed, failed(certificate), seen(certificate)) == (True, {}, {})
    assert certificate.verdict == (
        "PASSED: train and test shares no lesion, patient or duplicate that is known; could not "
        "be checked: lesions, patients, ISIC numbers"
    )
    assert certificate.counts == {
        "train": {"melanoma": 6, "nevus": 6},
        "test": {"melanoma": 3, "nevus": 3},
    }
    assert (certificate.sibling_rate, certificate.sibling_rate_by_image) == (0, 0)
    assert certificate.oracle is not None
    assert (certificate.oracle.with_sibling, certificate.oracle.accuracy_with_sibling) == (0, None)
    assert certificate.pairs == certificate.conflicts == certificate.copies == ()


def same_pixels(split: Path) -> None:
    Image.open(split / "train/nevus/p00.png").save(split / "test/nevus/copy.bmp")


def changed_photo(split: Path) -> None:
    small = Image.open(split / "train/nevus/p00.png").resize((140, 105))
    small.save(split / "test/nevus/copy.jpg", quality=85)


def same_number(split: Path) -> None:
    (split / "train/nevus/p00.png").rename(split / "train/nevus/ISIC_0012345.png")
    (split / "test/nevus/p12.png").rename(split / "test/nevus/isic-0012345_new.png")


ACROSS = {
    "identical_bytes": (same_file, {"identical files", "identical pixels", "groups"}),
    "identical_pixels": (same_pixels, {"identical pixels", "groups"}),
    "same_photograph": (changed_photo, {"same photograph", "groups"}),
    "same_isic_number": (same_number, {"ISIC numbers", "groups"}),
}


@pytest.mark.parametrize("kind", ACROSS)
def test_what_stands_on_both_sides_is_found(split: Path, kind: str) -> None:
    plant, names = ACROSS[kind]
    plant(split)
    certificate = audited(split)
    assert failed(certificate) == {f"{name} across parts": 1 for name in names}
    assert not certificate.passed
    assert certificate.verdict.startswith("FAILED: split leaks; ")
    pair = certificate.pairs[0]
    assert (len(certificate.pairs), pair.kind, pair.part_a, pair.part_b) == (
        1,
        kind,
        "train",
        "test",
    )
    assert certificate.oracle is not None
    assert (certificate.oracle.with_sibling, certificate.oracle.accuracy_with_sibling) == (1, 1)


@pytest.mark.parametrize("kind", ["identical_bytes", "identical_pixels", "same_photograph"])
def test_copies_within_train_are_a_remark_and_no_leak(split: Path, kind: str) -> None:
    ACROSS[kind][0](split)
    for copy in split.glob("test/nevus/copy.*"):
        copy.rename(split / "train/nevus" / copy.name)
    certificate = audited(split)
    assert (certificate.passed, seen(certificate)) == (True, {"copies within train": 1})
    remark = next(r for r in certificate.remarks if r.name == "copies within train")
    exact = int(kind == "identical_bytes")
    assert f"{exact} byte for byte, {1 - exact} changed" in remark.detail
    assert "most in nevus (a copy of 28.6% of its photos)" in remark.detail
    assert [pair.kind for pair in certificate.copies] == [kind]


@pytest.mark.parametrize("kind", ["identical_bytes", "same_photograph"])
def test_one_photograph_under_two_labels_is_found(split: Path, kind: str) -> None:
    ACROSS[kind][0](split)
    copy = next(split.glob("test/nevus/copy.*"))
    copy.rename(split / "test/melanoma" / copy.name)
    certificate = audited(split)
    assert seen(certificate) == {"photographs under two labels": 1}
    remark = certificate.remarks[0]
    assert f"{int(kind == 'identical_bytes')} files do so byte for byte" in remark.detail
    assert "most often melanoma and nevus (1)" in remark.detail
    labels = {(pair.label_a, pair.label_b) for pair in certificate.conflicts}
    assert labels == {("melanoma", "nevus")}
    assert certificate.oracle is not None
    assert certificate.oracle.accuracy_with_sibling == 0


def test_case_makes_no_other_label(split: Path) -> None:
    (split / "test/nevus").rename(split / "test/Nevus")
    same_file_target = split / "test/Nevus/copy.png"
    shutil.copy(split / "train/nevus/p00.png", same_file_target)
    certificate = audited(split)
    assert seen(certificate) == {}
    assert set(certificate.counts["test"]) <= {"Nevus", "melanoma"}
    assert len({label for held in certificate.counts.values() for label in held}) == 2


def test_a_label_that_train_lacks_is_seen(split: Path) -> None:
    (split / "test/nevus").rename(split / "test/blue nevus")
    assert seen(audited(split)) == {"every label in every part": 2}


def test_a_table_reveals_lesions_and_patients(split: Path, tmp_path: Path) -> None:
    table = tmp_path / "meta.csv"
    table.write_text("image_id,lesion_id,patient_id\np00,L1,P1\np12.png,L1,P2\np01,L2,P2\n")
    certificate = audited(split, lesions=table)
    assert failed(certificate) == {
        "lesions across parts": 1,
        "patients across parts": 1,
        "groups across parts": 1,
    }
    assert "meta.csv names the lesion of 3 of 18 photos" in certificate.notes
    kinds = {pair.kind: {pair.image_id_a, pair.image_id_b} for pair in certificate.pairs}
    assert kinds == {"same_lesion": {"train/nevus/p00.png", "test/nevus/p12.png"}}


def test_a_table_of_lesions_is_matched_by_isic_number(split: Path, tmp_path: Path) -> None:
    for number, name in ((0, "train"), (12, "test")):
        place = split / name / "nevus"
        (place / f"p{number:02d}.png").rename(place / f"x_ISIC_{number:07d}_small.png")
    table = tmp_path / "meta.csv"
    table.write_text("image_id,lesion_id\nISIC_0000000,L1\nISIC_0000012,L1\n")
    assert failed(audited(split, lesions=table))["lesions across parts"] == 1
    table.write_text("image_id,lesion_id\nISIC_0000001,L1\n")
    with pytest.raises(InputError, match="no photo stands in the table"):
        audited(split, lesions=table)


# folders


def test_siblings_and_oracle_by_hand(split: Path) -> None:
    train, test = split / "train", split / "test"
    shutil.copy(train / "nevus/p00.png", test / "nevus/a.png")
    shutil.copy(train / "nevus/p02.png", test / "melanoma/b.png")
    certificate = audited(train, test)
    assert certificate.tested == ("test",)
    assert certificate.sibling_rate == 2 / 8
    # four of 20 photos have one sibling, which is on the other side with 12 in 20
    assert certificate.sibling_rate_by_image == pytest.approx(4 / 20 * 12 / 20)
    oracle = certificate.oracle
    assert oracle is not None
    assert (oracle.photos, oracle.with_sibling) == (8, 2)
    assert oracle.accuracy_with_sibling == 0.5  # b is a nevus in train
    # the commonest label, alphabetically the first of two, is right for 4 of 8 test photos; a is
    # answered by its sibling, and b no longer
    assert (oracle.commonest_label, oracle.accuracy_of_commonest) == ("melanoma", 4 / 8)
    assert oracle.accuracy == 4 / 8


def test_validation_is_tested_where_there_is_no_test_part(split: Path) -> None:
    same_file(split)
    (split / "test").rename(split / "val")
    certificate = audited(split)
    assert certificate.tested == ("validation",)
    assert certificate.sibling_rate == 1 / 7


def test_three_folders_and_a_leak_into_validation(split: Path) -> None:
    (split / "val/nevus").mkdir(parents=True)
    shutil.copy(split / "train/nevus/p00.png", split / "val/nevus/copy.png")
    by_name = audited(split / "test", split / "val", split / "train")
    assert list(by_name.counts) == ["train", "validation", "test"]
    assert sum(by_name.counts["train"].values()) == 12
    assert (by_name.pairs[0].part_a, by_name.pairs[0].part_b) == ("train", "validation")
    assert by_name.sibling_rate == 0  # of the test part
    for name, part in (("one", "train"), ("two", "val"), ("three", "test")):
        (split / part).rename(split / name)
    by_order = audited(split / "one", split / "two", split / "three")
    assert by_order.counts == by_name.counts
    assert "train is one, validation is two, test is three" in by_order.notes


def test_a_known_name_leaves_the_other_part_to_the_other_folder(split: Path) -> None:
    (split / "test").rename(split / "unseen")
    certificate = audited(split / "unseen", split / "train")
    assert "test is unseen, train is train" in certificate.notes
    assert sum(certificate.counts["test"].values()) == 6


def test_parts_below_a_wrapper_and_below_classes(split: Path, tmp_path: Path) -> None:
    wrapped = tmp_path / "download" / "A published set"
    wrapped.parent.mkdir()
    split.rename(wrapped)
    (wrapped / "loose.png").write_bytes((wrapped / "train/nevus/p00.png").read_bytes())
    (wrapped / "train").rename(wrapped / "Training")
    certificate = audited(wrapped.parent)
    assert certificate.passed
    assert "1 photos lie in no part and are left out: loose.png" in certificate.notes
    turned = tmp_path / "turned"
    for place in wrapped.glob("*/*/*.png"):
        target = turned / place.parent.name / place.parent.parent.name
        target.mkdir(parents=True, exist_ok=True)
        place.rename(target / place.name)
    assert audited(turned).counts == certificate.counts


def test_flat_folders_have_no_labels(split: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "flat" / part / "images").mkdir(parents=True)
        for place in (split / part).rglob("*.png"):
            shutil.copy(place, tmp_path / "flat" / part / "images")
    certificate = audited(tmp_path / "flat")
    assert (certificate.passed, certificate.oracle) == (True, None)
    assert certificate.counts == {"train": {"(none)": 12}, "test": {"(none)": 6}}
    assert certificate.remarks[0].passed is None


def test_damaged_photos_are_named_and_still_compared_as_files(split: Path) -> None:
    for place in (split / "train/nevus/bad.jpg", split / "test/nevus/bad.jpg"):
        place.write_bytes(b"\xff\xd8 no photo")
    certificate = audited(split)
    assert failed(certificate) == {"identical files across parts": 1}
    assert any("2 photos cannot be read" in note for note in certificate.notes)


# tables


@pytest.mark.real
def test_published_arrangements(real_data: Path, tmp_path: Path) -> None:
    """The lesions that HAM10000 reveals in split_smol; the photos in both folders of isic9."""
    lesions = real_data / "ham10000" / "HAM10000_metadata.csv"
    smol = audited(real_data / "split_smol", lesions=lesions)
    assert failed(smol)["lesions across parts"] == 30
    assert "identical files across parts" not in failed(smol)
    test = next(real_data.glob("isic9/*/Test"))
    names = {place.name for place in test.rglob("*.jpg")}
    for place in sorted(test.parent.rglob("*.jpg")):
        if place.name in names or place.name.endswith("7.jpg"):
            link = tmp_path / place.relative_to(test.parent)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(place)
    assert failed(audited(tmp_path))["identical files across parts"] == 18
