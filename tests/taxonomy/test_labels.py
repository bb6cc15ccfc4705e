"""Labels of collections and of users' mapping files."""

import tomllib
from pathlib import Path

import pytest

from cutis.errors import InputError
from cutis.taxonomy import (
    ancestors,
    children,
    diagnoses,
    load_label_map,
    map_label,
    nearest_labels,
    normalise_label,
)
from cutis.taxonomy.labels import read_aliases

PUBLISHED = tomllib.loads(Path(__file__).with_name("published_labels.toml").read_text("utf-8"))
CASES = [(name, label, id) for name, group in PUBLISHED.items() for label, id in group.items()]
GROUP_LABELS = [
    label for label in PUBLISHED["folders"] if " and " in label or " other " in label.lower()
]


def test_all_published_labels_are_listed() -> None:
    assert len(CASES) == 153
    assert len(GROUP_LABELS) == 20


@pytest.mark.parametrize(("collection", "label", "id"), CASES)
def test_published_label_has_its_place(collection: str, label: str, id: str) -> None:
    assert map_label(label, collection) == id


@pytest.mark.parametrize("label", GROUP_LABELS)
def test_group_label_is_an_inner_node(label: str) -> None:
    id = map_label(label)
    assert id is not None
    assert children(id)


@pytest.mark.parametrize(
    ("label", "id"),
    [
        ("  MELANOMA ", "melanoma"),
        ("melanocytic-naevus", "melanocytic_nevus"),
        ("Seborrhoeic_Keratosis", "seborrheic_keratosis"),
        ("infantile hemangioma", "infantile_haemangioma"),
        ("vascular tumor", "vascular_tumour"),
        ("01_basal_cell_carcinoma", "basal_cell_carcinoma"),
        ("3) Psoriasis", "psoriasis"),
        ("psoriasis (1,250)", "psoriasis"),
        ("Café au lait macule", "cafe_au_lait_macule"),
        ("Bowen’s disease", "bowen_disease"),
        ("Melanocytic Nevi (NV)", "melanocytic_nevus"),
        ("ملانوم", "melanoma"),
        ("کراتوز آكتينيك", "actinic_keratosis"),  # Arabic kaf and ye
        ("خال درون پوستی", "dermal_nevus"),  # a space for the half-space
        ("ضايعه عروقى", "vascular_lesion"),
    ],
)
def test_spelling_makes_no_difference(label: str, id: str) -> None:
    assert map_label(label) == id


@pytest.mark.parametrize("label", ["", "?", "0", "12", "melanomaa", "melanoma (excluded)", "1."])
def test_unknown_label_is_none(label: str) -> None:
    assert map_label(label) is None


def test_numbers_mean_something_in_ph2_only() -> None:
    assert map_label("2", "ph2") == "melanoma"
    assert map_label("2", "ham10000") is None


def test_a_users_map_goes_first() -> None:
    assert map_label("NV ", extra={"nv": "common_nevus"}) == "common_nevus"
    assert map_label("mel", extra={"nv": "common_nevus"}) == "melanoma"


def test_every_name_and_id_maps_to_its_own_diagnosis() -> None:
    for node in diagnoses().values():
        for spelling in (
            node.id,
            *node.name.values(),
            *(s for g in node.synonyms.values() for s in g),
        ):
            assert map_label(spelling) == node.id, spelling


def test_no_spelling_is_written_twice() -> None:
    for node in diagnoses().values():
        for language, name in node.name.items():
            spellings = [normalise_label(text) for text in (name, *node.synonyms[language])]
            assert len(spellings) == len(set(spellings)), (node.id, language)


def test_persian_digits_and_vowel_marks_are_folded() -> None:
    assert normalise_label("تودهٔ ۱۲ـي") == normalise_label("توده 12 ی")


def test_nearest_labels() -> None:
    assert nearest_labels("3. melanocytic navus 200")[0] == "melanocytic_nevus"
    assert "acne" in nearest_labels("acnee")
    assert nearest_labels("zzzzzz") == []
    assert len(nearest_labels("nevus", count=5)) <= 5


def test_aliases_refuse_two_meanings_and_unknown_ids(tmp_path: Path) -> None:
    file = tmp_path / "aliases.toml"
    file.write_text('[any]\nmelanoma = ["x"]\nacne = ["X."]\n')
    with pytest.raises(InputError, match="given to two diagnoses"):
        read_aliases(file, diagnoses())
    file.write_text('[any]\nmelanomo = ["x"]\n')
    with pytest.raises(InputError, match="did you mean 'melanoma'"):
        read_aliases(file, diagnoses())


# ---- mapping files


def test_csv_map_with_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    text = 'label,diagnosis\r\n"warts, plantar", wart \r\n\r\nخال,melanocytic_nevus\r\n'
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_label_map(file) == {"warts, plantar": "wart", "خال": "melanocytic_nevus"}


def test_csv_map_without_a_heading(tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text("spots,acne\n")
    assert load_label_map(file) == {"spots": "acne"}


def test_toml_map(tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_bytes(b'\xef\xbb\xbf"Spots" = "acne"\r\n"class 3" = "melanoma"\r\n')
    assert load_label_map(file) == {"Spots": "acne", "class 3": "melanoma"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "a,acne\nA.,melanoma\n", "mapped twice"),
        ("m.csv", "a,acne\na,acne\n", "mapped twice"),
        ("m.csv", "كك,acne\nکک,acne\n", "mapped twice"),
        ("m.csv", "a,melanomma\n", "did you mean 'melanoma'"),
        ("m.csv", "a,acne,b\n", "3 columns"),
        ("m.csv", "a;acne\n", "1 columns"),
        ("m.csv", " ,acne\n", "no label"),
        ("m.csv", "label,diagnosis\n", "is empty"),
        ("m.toml", "a = 'acne'\na = 'acne'\n", "not valid TOML"),
        ("m.toml", "a = 1\n", "no diagnosis id"),
        ("m.toml", "[a]\nb = 'acne'\n", "no diagnosis id"),
    ],
)
def test_bad_map_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_label_map(file)
    assert str(file) in str(caught.value)


def test_map_that_is_missing_or_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_label_map(tmp_path / "none.csv")
    file = tmp_path / "m.csv"
    file.write_bytes("a,acne".encode("utf-16"))
    with pytest.raises(InputError, match="not UTF-8"):
        load_label_map(file)


def test_ancestors_of_a_mapped_label() -> None:
    assert ancestors("solar_lentigo") == ("benign_keratosis", "benign_tumour", "tumour")
