"""The certificate as a file and as a page."""

import json
from pathlib import Path

import pytest

from cutis.data.certificate import (
    Pair,
    certificate_page,
    examine,
    read_certificate,
    read_subject,
    verify,
)
from cutis.data.certificate.page import spread
from cutis.data.links import isic_number
from cutis.errors import InputError

from .conftest import audited, same_file, table_lines, write_table


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
