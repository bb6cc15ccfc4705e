"""Certificates for anybody's split: each fault is planted once, and found; without it, nothing is.

The photos have the fine detail that tells one photograph from another.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.data.catalog import Catalog
from cutis.data.certificate import (
    AuditCertificate,
    Pair,
    certificate_page,
    examine,
    read_certificate,
    read_subject,
    verify,
)
from cutis.data.certificate.page import spread
from cutis.data.links import isic_number
from cutis.data.splits import make_split
from cutis.errors import InputError

SIZE = (160, 120)
LABELS = ("nevus", "melanoma")


def photo(seed: int) -> Image.Image:
    """Skin with a dark lesion, dots and hairs."""
    rng = np.random.default_rng(seed)
    width, height = SIZE
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    noise = [
        cv2.resize(rng.standard_normal((cells, cells)), SIZE, interpolation=cv2.INTER_CUBIC)
        for cells in (6, 40, 12)
    ]
    reach = np.hypot(x - rng.uniform(-0.2, 0.2), y - rng.uniform(-0.2, 0.2))
    lesion = 1 / (1 + np.exp(14 * (reach + 0.15 * noise[0] - 0.5)))
    light = 190 - 90 * lesion + 12 * noise[1] * (0.5 + lesion) + 5 * noise[2]
    colour = light[..., None] * np.array([1.0, 0.8, 0.72])
    for _ in range(6):
        start, stop = rng.uniform(0, 1, (2, 2)) * SIZE
        ends = [tuple(int(value) for value in end) for end in (start, stop)]
        cv2.line(colour, ends[0], ends[1], (50, 40, 35), 2)
    return Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs in train/ and six in test/, under two labels, nothing shared."""
    folder = tmp_path_factory.mktemp("sound")
    for number in range(18):
        part = "train" if number < 12 else "test"
        place = folder / part / LABELS[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        photo(number).save(place / f"p{number:02d}.png")
    return folder


@pytest.fixture
def split(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound split that a test may spoil."""
    return Path(shutil.copytree(sound, tmp_path / "split"))


def audited(*places: Path, **options: object) -> AuditCertificate:
    return examine(read_subject(places, **options)).certificate  # type: ignore[arg-type]


def failed(certificate: AuditCertificate) -> dict[str, int]:
    return {check.name: check.found for check in certificate.checks if check.passed is False}


def seen(certificate: AuditCertificate) -> dict[str, int]:
    return {check.name: check.found for check in certificate.remarks if check.passed is False}


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


def same_file(split: Path) -> None:
    shutil.copy(split / "train/nevus/p00.png", split / "test/nevus/copy.png")


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


def write_table(split: Path, *, header: str, lines: Sequence[str], name: str = "mine.csv") -> Path:
    text = "\ufeff" + "\r\n".join([header, *lines]) + "\r\n"
    path = split / name
    path.write_bytes(text.encode())
    return path


def table_lines(split: Path) -> list[str]:
    return [
        f"{place.relative_to(split).as_posix()},{place.parts[-3]},{place.parts[-2]},{place.stem}"
        for place in sorted(split.rglob("*.png"))
    ]


def test_a_table_with_mark_and_windows_line_ends(split: Path) -> None:
    lines = table_lines(split)
    path = write_table(split, header="Image Path,Split,DX,patient ID", lines=lines)
    certificate = audited(path)
    assert (certificate.passed, certificate.kind) == (True, "table")
    note = "columns taken: path = Image Path, part = Split, label = DX, patient_id = patient ID"
    assert note in certificate.notes
    patients = next(c for c in certificate.checks if c.name.startswith("patients"))
    assert patients.passed is True
    again = [line.replace(",p12", ",p00") for line in lines]
    path = write_table(split, header="Image Path,Split,DX,patient ID", lines=again)
    assert failed(audited(path)) == {"patients across parts": 1}


def test_arabic_and_persian_letters_are_the_same(split: Path) -> None:
    (split / "train/nevus/p00.png").rename(split / "train/nevus/خال یک.png")
    lines = table_lines(split)
    lines = [line.replace("خال یک", "خال يك").replace(",nevus,", ",كهير,") for line in lines]
    lines[-1] = lines[-1].replace(",كهير,", ",کهیر,")
    certificate = audited(write_table(split, header="file,set,label,x", lines=lines))
    assert certificate.passed
    assert not [note for note in certificate.notes if "no photo on disk" in note]
    assert len({label for held in certificate.counts.values() for label in held}) == 2


def test_one_photo_in_two_rows_of_two_parts_is_a_leak(split: Path) -> None:
    lines = [*table_lines(split), "train/nevus/p00.png,test,nevus,p00"]
    certificate = audited(write_table(split, header="image,part,label,x", lines=lines))
    assert failed(certificate)["identical files across parts"] == 1


def test_folds_in_a_parquet_table_with_photos_elsewhere(split: Path, tmp_path: Path) -> None:
    same_file(split)
    names = sorted(place.name for place in split.rglob("*.png"))
    folds = [2 if name == "copy.png" else number % 2 for number, name in enumerate(names)]
    path = tmp_path / "folds.parquet"
    pd.DataFrame({"image": names, "fold": folds}).to_parquet(path)
    certificate = audited(path, photos=split)
    assert list(certificate.counts) == ["fold 0", "fold 1", "fold 2"]
    assert certificate.tested == ("fold 0", "fold 1", "fold 2")
    assert failed(certificate)["identical files across parts"] == 1
    assert certificate.sibling_rate == 2 / 19


def test_a_table_without_photos_is_judged_by_its_ids(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("isic_id,part,lesion_id\nISIC_0000001,train,A\nISIC_0000002,test,A\n")
    certificate = audited(path)
    assert failed(certificate) == {"lesions across parts": 1, "groups across parts": 1}
    silent = {check.name for check in certificate.checks if check.passed is None}
    assert silent >= {"identical files across parts", "same photograph across parts"}


# catalogs


def test_a_catalog_of_two_sources_that_share_isic_numbers(
    make_catalog: Callable[..., Catalog],
) -> None:
    def certified(second: int) -> tuple[AuditCertificate, pd.Series]:
        """Of 40 photos from one source and 40, from the number `second` on, of another."""
        names = [f"one/ISIC_{n:07d}" for n in range(40)]
        names += [f"two/ISIC_{n:07d}" for n in range(second, second + 40)]
        rows = [
            {"image_id": name, "source": name[:3], "diagnosis": diagnosis}
            for name, diagnosis in zip(names, ["melanoma", "melanocytic_nevus"] * 40, strict=True)
        ]
        catalog = make_catalog(rows, name=f"catalog{second}")
        table = make_split(catalog).table.set_index("image_id")["part"]
        return examine(read_subject([catalog.folder])).certificate, table

    apart, _ = certified(second=40)
    assert (apart.passed, apart.kind) == (True, "catalog")
    shared, part = certified(second=0)
    split = sum(part[f"one/ISIC_{n:07d}"] != part[f"two/ISIC_{n:07d}"] for n in range(40))
    assert split > 0
    assert failed(shared) == {"ISIC numbers across parts": split}
    assert shared.found["pairs: same_isic_number"] == split


# hashes, page, wrong use


def test_a_certificate_belongs_to_its_data_wherever_they_lie(split: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(audited(split).model_dump_json())
    certificate = read_certificate(path)
    split = split.rename(tmp_path / "elsewhere")
    assert verify(read_subject([split]), certificate).matches
    with (split / "test/nevus/p12.png").open("ab") as file:
        file.write(b" ")
    assert not verify(read_subject([split]), certificate).matches


def test_a_certificate_does_not_fit_other_labels_parts_or_ids(split: Path, tmp_path: Path) -> None:
    certificate = audited(split)
    table = tmp_path / "meta.csv"
    table.write_text("image_id,lesion_id\np00,L1\n")
    assert not verify(read_subject([split], lesions=table), certificate).matches
    place = split / "test/nevus/p12.png"
    for target in ("test/melanoma/p12.png", "train/nevus/p12.png"):
        place = place.rename(split / target)
        assert not verify(read_subject([split]), certificate).matches
    place.rename(split / "test/nevus/p12.png")
    assert verify(read_subject([split]), certificate).matches


@pytest.mark.parametrize("column", range(1, 5))
def test_each_column_of_a_table_is_part_of_the_hash(split: Path, column: int) -> None:
    header = "image,part,label,lesion_id,patient_id"
    lines = [f"{line},P" for line in table_lines(split)]
    certificate = audited(write_table(split, header=header, lines=lines))
    cells = lines[0].split(",")
    cells[column] = {1: "train", 2: "nevus"}.get(column, "other")
    assert lines[0] != ",".join(cells)
    changed = write_table(split, header=header, lines=[",".join(cells), *lines[1:]])
    assert not verify(read_subject([changed]), certificate).matches
    same = write_table(split, header=header, lines=lines)
    assert verify(read_subject([same]), certificate).matches


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, sound: Path) -> None:
    path = tmp_path / "certificate.json"
    with pytest.raises(InputError, match="no such certificate"):
        read_certificate(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="no certificate that this version"):
        read_certificate(path)
    later = json.loads(audited(sound).model_dump_json()) | {"format_version": 99}
    path.write_text(json.dumps(later))
    with pytest.raises(InputError, match="later version"):
        read_certificate(path)


def test_the_page_shows_both_photos_and_follows_no_link(split: Path) -> None:
    same_file(split)
    (split / "test/nevus/copy.png").rename(split / "test/nevus/<b>copy.png")
    page = certificate_page(examine(read_subject([split])))
    assert page.count("data:image/jpeg;base64,") == 2
    assert "1 of 1 pairs are shown." in page
    assert "FAILED: split leaks" in page
    assert "<b>copy" not in page
    assert "http" not in page
    assert "<script" not in page


def pairs(kind: str, count: int) -> list[Pair]:
    return [
        Pair(
            kind=kind,
            image_id_a=f"a{n}",
            image_id_b=f"b{n}",
            part_a="train",
            part_b="test",
            label_a=None,
            label_b=None,
            score=1 - n / 1000,
            reason="",
        )
        for n in range(count)
    ]


def test_the_page_is_capped_and_shows_every_kind() -> None:
    chosen = spread([*pairs("same_lesion", 500), *pairs("same_photograph", 7)], 60)
    kinds = [pair.kind for pair in chosen]
    assert (len(kinds), kinds.count("same_photograph")) == (60, 7)
    lesions = [pair for pair in chosen if pair.kind == "same_lesion"]
    assert (lesions[0].image_id_a, lesions[-1].image_id_a) == ("a0", "a499")
    assert len({pair.image_id_a for pair in lesions}) == 53


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("ISIC_0024306.jpg", "0024306"),
        ("Train/nevus/isic_0024306_rot90.jpg", "0024306"),
        ("ISIC_0024306/other.jpg", None),
        ("ISIC_00243061.jpg", None),
        ("IMD002.bmp", None),
    ],
)
def test_isic_numbers(name: str, number: str | None) -> None:
    assert isic_number(name) == number


def refuse(message: str, *places: Path, **options: object) -> None:
    with pytest.raises(InputError, match=message):
        read_subject(places, **options)  # type: ignore[arg-type]


def test_wrong_use_is_refused(split: Path, tmp_path: Path) -> None:
    train, test = split / "train", split / "test"
    refuse("nothing to audit")
    refuse("no such file or folder", tmp_path / "nowhere")
    refuse("no such folder", train, tmp_path / "nowhere")
    refuse("4 folders are not a split", train, test, tmp_path, split)
    refuse("one folder lies in the other", split, train)
    refuse("one folder lies in the other", train, train)
    refuse("neither a catalog nor a split", train)
    (tmp_path / "empty").mkdir()
    refuse("holds no photo", train, tmp_path / "empty")
    (tmp_path / "other/train").mkdir(parents=True)
    refuse("two folders call themselves train", train, tmp_path / "other/train")
    refuse("--split names a split of a catalog", train, test, split="default")
    refuse("--photos says where", train, test, photos=split)
    (tmp_path / "text.pdf").write_text("no table")
    refuse("this is not a table", tmp_path / "text.pdf")


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("image,label", "p00.png,nevus", "no column looks like the part"),
        ("picture,part", "p00.png,train", "no column looks like the path"),
        ("image,part", "p00.png,holdout", "the part column holds holdout"),
        ("image,part", "p00.png,train", "all photos stand in one part"),
        ("image,part", ",train", "no row names a photo"),
    ],
)
def test_tables_that_say_too_little(split: Path, header: str, line: str, message: str) -> None:
    refuse(message, write_table(split, header=header, lines=[line]))


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
