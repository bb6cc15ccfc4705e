"""The readers: what each takes from its layout, and what it tolerates."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cutis.data.sources import READERS, SOURCE_COLUMNS, SourceTable, read_source
from cutis.data.sources.base import name_key, part_name, stem_key
from cutis.errors import InputError

Draw = Callable[..., Path]


def rows_by_name(source: SourceTable) -> pd.DataFrame:
    assert list(source.rows.columns) == list(SOURCE_COLUMNS)
    assert source.rows["name"].is_unique
    return source.rows.set_index("name")


def test_ham10000(ham: Path) -> None:
    source = read_source(ham)
    rows = rows_by_name(source)
    assert source.format == "ham10000"
    assert source.licence == "CC BY-NC 4.0"
    assert source.warnings == ()
    assert len(rows) == 12
    row = rows.loc["ISIC_0000009"]
    assert row["source_label"] == "mel"
    assert row["lesion_id"] == "HAM_0000001"
    assert (row["age"], row["sex"], row["site"]) == (41.0, "male", "lower extremity")
    assert (row["confirmed_by"], row["modality"]) == ("histology", "dermoscopic")
    assert row["mask"].endswith("ISIC_0000009_segmentation.png")
    assert row["patient_id"] is None


def test_ham10000_from_dataverse_in_one_folder(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "images" / "ISIC_1.JPG", 1)
    draw(tmp_path / "images" / "isic_2.jpeg", 2)
    (tmp_path / "HAM10000_metadata.tab").write_bytes(
        b"\xef\xbb\xbf"
        b'Lesion_ID\timage_id\tdx\tdx_type\tage\tsex\tlocalization\r\n"H1"\t"ISIC_1"\tnv\tfollow_up'
        b"\t\tunknown\tunknown\r\nH2\tISIC_2.jpg\tmel\thisto\t80.0\tF\tback\r\n"
    )
    rows = rows_by_name(read_source(tmp_path))
    assert list(rows.index) == ["ISIC_1", "isic_2"]
    first, second = rows.loc["ISIC_1"], rows.loc["isic_2"]
    assert (first["age"], first["sex"], first["site"]) == (None, None, None)
    assert first["confirmed_by"] == "follow_up"
    assert (second["age"], second["sex"], second["lesion_id"]) == (80.0, "female", "H2")


def test_rows_without_photos_and_photos_without_rows_are_named(ham: Path, draw: Draw) -> None:
    (ham / "HAM10000_images_part_1" / "ISIC_0000002.jpg").unlink()
    draw(ham / "HAM10000_images_part_2" / "ISIC_0000077.jpg", 77)
    source = read_source(ham)
    rows = rows_by_name(source)
    assert "ISIC_0000002" not in rows.index
    assert rows.loc["ISIC_0000077", "source_label"] is None
    assert source.warnings == (
        "1 rows of the metadata have no photo and are left out: ISIC_0000002",
        "1 photos have no row in the metadata and get no diagnosis: ISIC_0000077",
    )


def test_metadata_that_matches_no_photo_is_refused(ham: Path) -> None:
    for photo in ham.glob("HAM*/*.jpg"):
        photo.rename(photo.with_name("x" + photo.name))
    with pytest.raises(InputError, match=r"no row of the metadata has(.|\n)*ISIC_0000000"):
        read_source(ham)


def test_a_photo_in_two_folders_counts_once_unless_the_files_differ(ham: Path) -> None:
    photo = ham / "HAM10000_images_part_1" / "ISIC_0000002.jpg"
    twin = ham / "HAM10000_images_part_2" / photo.name
    twin.write_bytes(photo.read_bytes())
    source = read_source(ham)
    assert len(source.rows) == 12
    assert source.warnings == ("1 photos stand in two folders; the first is used: ISIC_0000002",)
    twin.write_bytes(photo.read_bytes() + b"more")
    with pytest.raises(InputError, match="several different photos answer to 'ISIC_0000002'"):
        read_source(ham)


def test_contradicting_rows_are_refused_and_repeated_ones_are_not(ham: Path) -> None:
    metadata = ham / "HAM10000_metadata.csv"
    lines = metadata.read_text().splitlines()
    metadata.write_text("\n".join([*lines, lines[-1]]))
    source = read_source(ham)
    assert len(source.rows) == 12
    assert "same row twice" in source.warnings[0]
    metadata.write_text("\n".join([*lines, lines[-1].replace("mel", "bcc")]))
    with pytest.raises(InputError, match="'ISIC_0000011' in rows that differ"):
        read_source(ham)


def isic2017(folder: Path, draw: Draw) -> Path:
    for number in range(3):
        draw(folder / "ISIC-2017_Training_Data" / f"ISIC_{number}.jpg", number)
        draw(folder / "ISIC-2017_Training_Data" / f"ISIC_{number}_superpixels.png", number)
        draw(folder / "ISIC-2017_Training_Part1_GroundTruth" / f"ISIC_{number}_segmentation.png", 9)
    (folder / "ISIC-2017_Training_Part3_GroundTruth.csv").write_text(
        "image_id,melanoma,seborrheic_keratosis\nISIC_0,0.0,0.0\nISIC_1,1.0,0.0\nISIC_2,0.0,1.0\n"
    )
    (folder / "ISIC-2017_Training_Data_metadata.csv").write_text(
        "image_id,age_approximate,sex\nISIC_0,55,female\nISIC_1,unknown,unknown\n"
    )
    return folder


def test_isic2017(tmp_path: Path, draw: Draw) -> None:
    source = read_source(isic2017(tmp_path, draw))
    rows = rows_by_name(source)
    assert source.format == "isic2017"
    assert source.warnings == ()
    assert list(rows["source_label"]) == ["nevus", "melanoma", "seborrheic_keratosis"]
    assert list(rows["age"]) == [55.0, None, None]
    assert list(rows["sex"]) == ["female", None, None]
    assert set(rows["source_part"]) == {"train"}
    assert rows["mask"].str.endswith("_segmentation.png").all()


def test_isic_one_hot_with_lesions_and_metadata(tmp_path: Path, draw: Draw) -> None:
    for number in range(4):
        draw(tmp_path / "ISIC2018_Task3_Training_Input" / f"ISIC_{number}.jpg", number)
    (tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv").write_text(
        "image,MEL,NV,BCC,UNK\nISIC_0,1.0,0.0,0.0,0\nISIC_1,0.0,1.0,0.0,0\nISIC_2,0,0,0,1\n"
        "ISIC_3,0.0,0.0,0.0,0\n"
    )
    (tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv").write_text(
        "image,lesion_id,diagnosis_confirm_type\nISIC_0,HAM_1,histopathology\n"
        "ISIC_1,HAM_1,single image expert consensus\n"
    )
    source = read_source(tmp_path)
    rows = rows_by_name(source)
    assert source.format == "isic-onehot"
    assert source.licence == "CC BY-NC 4.0"
    assert list(rows["source_label"]) == ["MEL", "NV", "UNK", None]
    assert list(rows["lesion_id"]) == ["HAM_1", "HAM_1", None, None]
    assert list(rows["confirmed_by"]) == ["histology", "consensus", None, None]
    assert set(rows["source_part"]) == {"train"}


@pytest.mark.parametrize("above", ["", "set/Train/", "deep/er/images/"])
def test_class_folders_at_any_depth(tmp_path: Path, draw: Draw, above: str) -> None:
    draw(tmp_path / f"{above}melanoma" / "a.jpg", 1)
    draw(tmp_path / f"{above}nevus" / "a.png", 2)
    draw(tmp_path / f"{above}nevus" / "images" / "b.tif", 3)
    source = read_source(tmp_path)
    rows = rows_by_name(source)
    assert source.format == "folders"
    assert list(rows.index) == ["melanoma/a", "nevus/a", "nevus/images/b"]
    assert list(rows["source_label"]) == ["melanoma", "nevus", "nevus"]
    assert set(rows["source_part"]) == ({"train"} if "Train" in above else {None})
    assert source.licence is None


def test_class_folders_keep_the_published_part(tmp_path: Path, draw: Draw) -> None:
    for seed, part in enumerate(("Train", "valid", "TEST")):
        draw(tmp_path / part / "melanoma" / "a.jpg", seed)
    rows = rows_by_name(read_source(tmp_path))
    assert rows["source_part"].to_dict() == {
        "TEST/melanoma/a": "test",
        "Train/melanoma/a": "train",
        "valid/melanoma/a": "validation",
    }


def test_photos_outside_class_folders_get_no_diagnosis(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "melanoma" / "a.jpg", 1)
    draw(tmp_path / "loose.jpg", 2)
    draw(tmp_path / ".thumbnails" / "hidden.jpg", 2)
    draw(tmp_path / "__MACOSX" / "melanoma" / "._a.jpg", 2)
    source = read_source(tmp_path)
    assert list(source.rows["name"]) == ["loose", "melanoma/a"]
    assert source.rows["source_label"][0] is None
    assert source.warnings == ("1 photos lie in no class folder and get no diagnosis: loose",)


def test_an_empty_class_is_refused_unless_another_part_fills_it(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "train" / "nevus" / "a.jpg", 1)
    draw(tmp_path / "train" / "melanoma" / "a.jpg", 2)
    draw(tmp_path / "val" / "nevus" / "b.jpg", 3)
    (tmp_path / "val" / "melanoma").mkdir()
    assert read_source(tmp_path).warnings == ("1 class folders hold no photo: val/melanoma",)
    (tmp_path / "val" / "psoriasis").mkdir()
    with pytest.raises(InputError, match="the class 'psoriasis' has no photos"):
        read_source(tmp_path)


def test_photos_of_one_stem_keep_apart(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "nevus" / "a.jpg", 1)
    draw(tmp_path / "nevus" / "a.png", 2)
    assert list(read_source(tmp_path).rows["name"]) == ["nevus/a.jpg", "nevus/a.png"]


PH2_TEXT = {
    "tabs": "Name\tClinical Diagnosis\tAsymmetry\r\nIMD003\t0\t0\r\nIMD009\t1\t0\r\n"
    "IMD016\t2\t2\r\n\t\t\r\ngends f\t\t\r\n0 - Co\t\t\r\n",
    "bars": "||   Name   ||   Histological Diagnosis   ||   Clinical Diagnosis   ||\n"
    "||  IMD003  ||                            ||           0            ||\n"
    "||  IMD009  ||                            ||           1            ||\n"
    "||  IMD016  ||   Melanoma                 ||           2            ||\n",
}


def ph2_photos(folder: Path, draw: Draw) -> None:
    for seed, name in enumerate(("IMD003", "IMD009", "IMD016")):
        place = folder / "PH2 Dataset images" / name
        draw(place / f"{name}_Dermoscopic_Image" / f"{name}.bmp", seed)
        draw(place / f"{name}_lesion" / f"{name}_lesion.bmp", seed + 10)
        draw(place / f"{name}_roi" / f"{name}_R1_Label3.bmp", seed + 20)


@pytest.mark.parametrize("form", PH2_TEXT)
def test_ph2_text(tmp_path: Path, draw: Draw, form: str) -> None:
    ph2_photos(tmp_path, draw)
    (tmp_path / "PH2_dataset.txt").write_text(PH2_TEXT[form], newline="")
    source = read_source(tmp_path)
    rows = rows_by_name(source)
    assert source.format == "ph2"
    assert source.warnings == ()
    assert rows["source_label"].to_dict() == {"IMD003": "0", "IMD009": "1", "IMD016": "2"}
    assert rows["mask"].str.endswith("_lesion.bmp").all()
    assert rows.loc["IMD016", "confirmed_by"] == ("histology" if form == "bars" else None)


def test_ph2_xlsx(tmp_path: Path, draw: Draw) -> None:
    ph2_photos(tmp_path, draw)
    header = ["Image Name", "Histological Diagnosis", "Common Nevus", "Atypical Nevus", "Melanoma"]
    cells = [
        [None, None, "Clinical Diagnosis", None, None],
        header,
        ["IMD003", None, "X", None, None],
        ["IMD009", None, None, "X", None],
        ["IMD016", "Melanoma", None, None, "X"],
    ]
    table = pd.DataFrame(cells)
    table.to_excel(tmp_path / "PH2_dataset.xlsx", header=False, index=False)
    rows = rows_by_name(read_source(tmp_path))
    assert rows["source_label"].to_dict() == {"IMD003": "0", "IMD009": "1", "IMD016": "2"}
    assert rows["confirmed_by"].to_dict() == {"IMD003": None, "IMD009": None, "IMD016": "histology"}


def test_ph2_with_another_table_is_refused(tmp_path: Path, draw: Draw) -> None:
    ph2_photos(tmp_path, draw)
    (tmp_path / "PH2_dataset.txt").write_text("nothing of the kind\n")
    with pytest.raises(InputError, match="not the table of PH2"):
        read_source(tmp_path)


PAD = {
    "image": "img_id",
    "diagnosis": "diagnostic",
    "patient_id": "patient_id",
    "lesion_id": "lesion_id",
    "age": "age",
    "sex": "gender",
    "site": "region",
    "confirmed_by": "biopsed",
}


@pytest.fixture
def pad(tmp_path: Path, draw: Draw) -> Path:
    """The layout of PAD-UFES-20."""
    folder = tmp_path / "pad-ufes-20"
    draw(folder / "images" / "imgs_part_1" / "PAT_8_15_820.png", 1)
    draw(folder / "images" / "imgs_part_2" / "PAT_9_16_821.png", 2)
    (folder / "metadata.csv").write_text(
        "patient_id,lesion_id,age,gender,region,diagnostic,img_id,biopsed\n"
        "PAT_8,15,55,FEMALE,NECK,BCC,PAT_8_15_820.png,True\n"
        "PAT_9,16,,,FACE,ACK,PAT_9_16_821.png,False\n"
    )
    return folder


@pytest.mark.parametrize("source", [".", "metadata.csv"])
def test_table_reads_pad_ufes_20(pad: Path, source: str) -> None:
    rows = rows_by_name(read_source(pad / source, "table", PAD))
    first, second = rows.loc["PAT_8_15_820"], rows.loc["PAT_9_16_821"]
    assert first["source_label"] == "BCC"
    assert (first["patient_id"], first["lesion_id"]) == ("PAT_8", "15")
    assert (first["age"], first["sex"], first["site"]) == (55.0, "female", "neck")
    assert (first["confirmed_by"], second["confirmed_by"]) == ("histology", None)
    assert (second["age"], second["sex"]) == (None, None)


def test_table_as_parquet_with_folders_parts_and_masks(tmp_path: Path, draw: Draw) -> None:
    for part in ("a", "b"):
        draw(tmp_path / part / "1.jpg", ord(part))
    draw(tmp_path / "a" / "outline.png", 5)
    pd.DataFrame(
        {
            "file": ["a\\1.jpg", "b/1"],
            "dx": ["mel", "nv"],
            "set": ["Train", "val"],
            "outline": ["a/outline.png", None],
            "years": [40, 200],
            "kind": ["Dermoscopy", "clinical close-up"],
        }
    ).to_parquet(tmp_path / "photos.parquet")
    columns = {
        "image": "file",
        "diagnosis": "dx",
        "part": "set",
        "mask": "outline",
        "age": "years",
        "modality": "kind",
    }
    source = read_source(tmp_path / "photos.parquet", "table", columns)
    rows = rows_by_name(source)
    assert list(rows.index) == ["a/1", "b/1", "outline"]
    assert list(rows["source_part"])[:2] == ["train", "validation"]
    assert rows.loc["a/1", "mask"] == str(tmp_path / "a" / "outline.png")
    assert list(rows["age"])[:2] == [40.0, None]
    assert list(rows["modality"])[:2] == ["dermoscopic", "clinical"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": "img_id"}, r"which column holds the diagnosis\?(.|\n)*diagnosis=COLUMN"),
        ({**PAD, "diagnosis": "diagnostics"}, r"no column 'diagnostics'(.|\n)*'diagnostic'\?"),
        ({**PAD, "diagnose": "diagnostic"}, r"'diagnose' is nothing(.|\n)*mean 'diagnosis'"),
    ],
)
def test_table_says_which_columns_there_are(
    pad: Path, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_source(pad, "table", columns)


def test_table_wants_one_table(pad: Path) -> None:
    (pad / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"has 2 tables \(metadata.csv, other.csv\)"):
        read_source(pad, "table", PAD)
    with pytest.raises(InputError, match="the folder has no table"):
        read_source(pad / "images", "table", PAD)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b'image,dx\n"open'])
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photos.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"photos\.csv"):
        read_source(path, "table", {"image": "image", "diagnosis": "dx"})


def test_persian_names_match_whatever_keyboard_wrote_them(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "علی کریمی.jpg", 1)  # Persian ye and kaf
    (tmp_path / "table.csv").write_text("photo;dx\r\nعلي كريمي.JPG;mel\r\n", encoding="utf-8-sig")
    source = read_source(tmp_path, "table", {"image": "photo", "diagnosis": "dx"})
    assert list(source.rows["source_label"]) == ["mel"]


def test_a_folder_that_no_reader_knows_lists_them_all(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("nothing here")
    with pytest.raises(InputError) as caught:
        read_source(tmp_path)
    for reader in READERS:
        assert f"{reader.name}: {reader.looks_for}" in str(caught.value)


@pytest.mark.parametrize(
    ("format", "columns", "message"),
    [
        ("ham1000", {}, r"no reader is called 'ham1000'(.|\n)*'ham10000'\?"),
        ("folders", {"image": "x"}, "only the format 'table' takes them"),
    ],
)
def test_wrong_options(ham: Path, format: str, columns: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_source(ham, format, columns)


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the source does not exist"):
        read_source(tmp_path / "nowhere")


def test_folders_without_classes_are_refused(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "train" / "a.jpg", 1)
    with pytest.raises(InputError, match="no class folders"):
        read_source(tmp_path, "folders")


def test_keys_of_names() -> None:
    assert name_key(" A\\B/C.JPG ") == "a/b/c.jpg"
    assert stem_key("x/ISIC_1.v2.jpeg") == "isic_1.v2"
    assert stem_key("ISIC_1.v2") == "isic_1.v2"
    assert [part_name(word) for word in ("Training", "VAL", "test", "images")] == [
        "train",
        "validation",
        "test",
        None,
    ]
