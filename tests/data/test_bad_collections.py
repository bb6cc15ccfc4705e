"""Collections as they really come: odd encodings, clashing ids, mappings that contradict, size."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cutis.data.importer import import_sources
from cutis.data.sources import read_source
from cutis.data.splits import make_split
from cutis.errors import InputError

Draw = Callable[..., Path]

COLUMNS = {"image": "Bild", "diagnosis": "Befund", "lesion_id": "Lesion"}


@pytest.fixture
def classes(tmp_path: Path, draw: Draw) -> Path:
    for seed, name in enumerate(("Melanoma", "NEVUS")):
        for number in range(3):
            draw(tmp_path / "photos" / name / f"{name}{number}.jpg", 700 + 10 * seed + number)
    return tmp_path / "photos"


# Mappings


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "labels.csv",
            "label,diagnosis\nNevus,melanoma\nnevus,melanocytic_nevus\n",
            "mapped twice",
        ),
        ("labels.csv", "Nevus,melanocytic_nevus\r\nNEVUS ,melanoma\r\n", "line 2, first at line 1"),
        ("labels.toml", '"nevus" = "melanoma"\n"nevus" = "melanocytic_nevus"\n', "not valid TOML"),
        ("labels.toml", '"nevus" = "melanoma"\n"N-evus" = "melanoma"\n', "mapped twice"),
        ("labels.csv", "nevus,mole_of_mine\n", "which is no diagnosis"),
        ("labels.csv", "nevus,melanoma,3\n", "3 columns"),
        ("labels.csv", "", "empty"),
    ],
)
def test_a_mapping_that_contradicts_itself_stops_the_import(
    classes: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        import_sources([classes], tmp_path / "catalog", map_file=path)
    assert not (tmp_path / "catalog").exists()


def test_a_mapping_with_a_mark_and_windows_line_ends_is_read(classes: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("label,diagnosis\r\nnevus,blue_nevus\r\n".encode("utf-8-sig"))
    catalog = import_sources([classes], tmp_path / "catalog", map_file=path).catalog
    assert catalog.info.counts.diagnoses == {"blue_nevus": 3, "melanoma": 3}


CYCLE = """
note = "test"
[[classes]]
id = "melanoma"
members = ["melanocytic_nevus"]
[[classes]]
id = "melanocytic_nevus"
members = ["melanoma"]
"""
TWICE = """
note = "test"
[[classes]]
id = "melanoma"
[[classes]]
id = "dark"
en = "Dark"
fa = "تیره"
members = ["melanoma"]
"""


@pytest.mark.parametrize(("content", "message"), [(CYCLE, "cyclic"), (TWICE, "mapped twice")])
def test_a_cyclic_or_double_view_stops_the_import(
    classes: Path, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "view.toml").write_text(content)
    with pytest.raises(InputError, match=message):
        import_sources([classes], tmp_path / "catalog", view=str(tmp_path / "view.toml"))
    assert not (tmp_path / "catalog").exists()


# Ids


def test_two_sources_that_claim_one_lesion_id_mean_two_lesions(tmp_path: Path, draw: Draw) -> None:
    for source, seed in (("north", 10), ("south", 30)):
        lines = ["Bild,Befund,Lesion"]
        for number in range(8):
            draw(tmp_path / source / f"{number}.jpg", seed + number)
            lines.append(f"{number},{('mel', 'nv')[number % 2]},L{number % 4}")
        (tmp_path / source / "list.csv").write_text("\n".join(lines))
    sources = [tmp_path / "north", tmp_path / "south"]
    catalog = import_sources(sources, tmp_path / "catalog", format="table", columns=COLUMNS).catalog
    assert catalog.info.counts.lesions == 8
    lesions = catalog.links[catalog.links["kind"] == "same_lesion"]
    sides = lesions[["image_id_a", "image_id_b"]].map(lambda name: name.partition("/")[0])
    assert len(sides) == 8
    assert (sides["image_id_a"] == sides["image_id_b"]).all()
    split = make_split(catalog, shares=(50, 25, 25))
    assert split.table["group"].nunique() == 8
    assert split.info.certificate is not None
    assert split.info.certificate.passed


# Texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_from_any_office(
    tmp_path: Path, draw: Draw, encoding: str, line_end: str, separator: str
) -> None:
    for number in range(2):
        draw(tmp_path / "clinic" / f"IMG_{number}.JPG", number)
    lines = [["Bild", "Befund", "Lesion"], ["img_0.jpg", "MEL", "a"], ["IMG_1", "Nävus", ""]]
    text = line_end.join(separator.join(cells) for cells in lines) + line_end
    (tmp_path / "clinic" / "list.csv").write_bytes(text.encode(encoding))
    (tmp_path / "map.csv").write_text("nävus,melanocytic_nevus\n", "utf-8")
    catalog = import_sources(
        [tmp_path / "clinic"],
        tmp_path / "catalog",
        format="table",
        columns=COLUMNS,
        map_file=tmp_path / "map.csv",
    ).catalog
    rows = catalog.photos.set_index("image_id")
    assert rows["diagnosis"].to_dict() == {
        "clinic/IMG_0": "melanoma",
        "clinic/IMG_1": "melanocytic_nevus",
    }
    assert rows.loc["clinic/IMG_0", "lesion_id"] == "a"
    assert pd.isna(rows.loc["clinic/IMG_1", "lesion_id"])


def test_arabic_and_persian_letters_mean_the_same(tmp_path: Path, draw: Draw) -> None:
    """Class folders and names typed on an Arabic keyboard (ye U+064A, kaf U+0643), photos not."""
    arabic = {"ی": "ي", "ک": "ك"}
    label = "کراتوز اکتینیک"
    typed = "".join(arabic.get(letter, letter) for letter in label)
    assert typed != label
    for number, folder in enumerate((label, typed)):
        draw(tmp_path / "folders" / folder / f"{number}.jpg", number)
    catalog = import_sources([tmp_path / "folders"], tmp_path / "one").catalog
    assert catalog.info.counts.diagnoses == {"actinic_keratosis": 2}

    draw(tmp_path / "table" / "یک.jpg", 5)
    name = "يك.jpg"
    assert name != "یک.jpg"
    (tmp_path / "table" / "t.csv").write_text(f"Bild,Befund,Lesion\n{name},{typed},x\n", "utf-8")
    catalog = import_sources(
        [tmp_path / "table"], tmp_path / "two", format="table", columns=COLUMNS
    ).catalog
    assert catalog.info.counts.diagnoses == {"actinic_keratosis": 1}
    assert catalog.info.counts.undiagnosed == 0


# Size


def seconds_to_read(folder: Path, photos: int, draw: Draw) -> float:
    """Processor time for the list of a folder of so many photos, found through its table."""
    first = draw(folder / "photos" / "0.jpg", 1, (8, 6))
    for number in range(1, photos):
        os.link(first, folder / "photos" / f"{number}.jpg")
    rows = "".join(f"{number},{('nv', 'mel')[number % 2]},\n" for number in range(photos))
    (folder / "list.csv").write_text("Bild,Befund,Lesion\n" + rows)
    start = time.process_time()
    table = read_source(folder, "table", COLUMNS)
    taken = time.process_time() - start
    assert len(table.rows) == photos
    assert table.warnings == ()
    return taken


def test_reading_a_large_folder_takes_time_in_proportion(tmp_path: Path, draw: Draw) -> None:
    small = seconds_to_read(tmp_path / "small", 4_000, draw)
    large = seconds_to_read(tmp_path / "large", 32_000, draw)
    # 8 times the photos; a comparison of all with all would take 64 times as long
    assert large < 32 * small


def test_the_listing_of_100_000_class_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names alone, without files behind them."""
    root = tmp_path / "large"
    (root / "train" / "nevus").mkdir(parents=True)
    (root / "train" / "melanoma").mkdir()
    names = [f"ISIC_{number:07d}.jpg" for number in range(50_000)]

    def walk(top: Path) -> list[tuple[str, list[str], list[str]]]:
        train = root / "train"
        return [
            (str(root), ["train"], []),
            (str(train), ["melanoma", "nevus"], []),
            (str(train / "melanoma"), [], names),
            (str(train / "nevus"), [], names),
        ]

    monkeypatch.setattr(os, "walk", walk)
    start = time.process_time()
    rows = read_source(root).rows
    assert time.process_time() - start < 60
    assert len(rows) == 100_000
    assert rows["name"].is_unique
    assert rows["source_label"].value_counts().to_dict() == {"melanoma": 50_000, "nevus": 50_000}


def test_ham10000_with_the_columns_alone_that_it_is_known_by(ham: Path) -> None:
    (metadata,) = ham.glob("*.csv")
    pd.read_csv(metadata)[["lesion_id", "image_id", "dx"]].to_csv(metadata, index=False)
    row = read_source(ham).rows.set_index("name").loc["ISIC_0000009"]
    assert (row["source_label"], row["lesion_id"]) == ("mel", "HAM_0000001")
    assert row[["confirmed_by", "age", "sex", "site"]].isna().all()
