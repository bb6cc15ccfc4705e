"""Certificates for splits that a table states, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cutis.data.catalog import Catalog
from cutis.data.certificate import (
    AuditCertificate,
    examine,
    read_subject,
)
from cutis.data.splits import make_split
from cutis.errors import InputError

from .conftest import audited, failed, same_file, table_lines, write_table


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
