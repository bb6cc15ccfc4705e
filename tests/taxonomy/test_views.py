"""Views: those that come with Cutis, and a user's."""

import pickle
from pathlib import Path

import pytest

from cutis.errors import InputError
from cutis.taxonomy import diagnoses, map_label, view, view_names


def test_views_that_come_with_cutis() -> None:
    assert set(view_names()) == {"ham7", "benign-malignant", "isic9", "azeem6", "sattarzadeh30"}
    sizes = {name: len(view(name).classes) for name in view_names()}
    assert sizes == {
        "ham7": 7,
        "benign-malignant": 2,
        "isic9": 9,
        "azeem6": 6,
        "sattarzadeh30": 30,
    }


@pytest.mark.parametrize("name", ["ham7", "benign-malignant", "isic9", "azeem6", "sattarzadeh30"])
def test_classes_exist_are_named_and_reached(name: str) -> None:
    found = view(name)
    reached = {found.class_of(id) for id in diagnoses()} - {None}
    assert reached == set(found.classes)
    assert set(found.names) == set(found.classes)
    for class_id, names in found.names.items():
        assert names["en"]
        assert names["fa"]
        assert class_id in diagnoses() or name == "benign-malignant"
    assert found.note.strip()


def test_ham7_is_in_ham10000s_order_and_takes_leaves() -> None:
    ham = view("ham7")
    order = [map_label(dx) for dx in ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")]
    assert list(ham.classes) == order
    assert ham.class_of("solar_lentigo") == "benign_keratosis"
    assert ham.class_of("bowen_disease") == "actinic_keratosis_bowen"
    assert ham.class_of("cherry_angioma") == "vascular_lesion"
    assert ham.class_of("atypical_nevus") == "melanocytic_nevus"
    assert ham.class_of("squamous_cell_carcinoma") is None
    assert ham.class_of("acne") is None


def test_precancer_falls_on_the_malignant_side_and_the_view_says_so() -> None:
    binary = view("benign-malignant")
    assert binary.class_of("actinic_keratosis") == "malignant"
    assert binary.class_of("skin_cancer_or_precancer") == "malignant"
    assert binary.class_of("melanoma_in_situ") == "malignant"
    assert binary.class_of("eczema") == "benign"
    assert binary.class_of("normal_skin") is None
    assert binary.class_of("tumour") is None
    assert "MALIGNANT side" in binary.note


def test_isic9_tells_ham10000s_groups_apart() -> None:
    isic = view("isic9")
    assert isic.class_of("benign_keratosis") == "benign_keratosis"
    assert isic.class_of("seborrheic_keratosis") == "seborrheic_keratosis"
    assert isic.class_of("bowen_disease") == "squamous_cell_carcinoma"
    assert isic.class_of("actinic_keratosis_bowen") is None


def test_azeem6_takes_unknown_normal_but_not_unknown() -> None:
    azeem = view("azeem6")
    assert azeem.class_of("no_diagnosis") == "normal_skin"
    assert azeem.class_of("undetermined") is None
    assert azeem.class_of("atopic_dermatitis") == "eczema"
    assert azeem.class_of("actinic_keratosis") is None


def test_sattarzadeh30_says_that_the_names_are_our_choice() -> None:
    names = view("sattarzadeh30")
    assert "OUR CHOICE" in names.note
    assert names.class_of("atopic_dermatitis") == "atopic_dermatitis"
    assert names.class_of("nummular_eczema") == "eczema"
    assert names.class_of("precancer") == "keratinocyte_carcinoma"
    assert names.class_of("tumour") is None


def test_a_view_travels_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(view("ham7")))
    assert copy == view("ham7")


def test_unknown_view_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'ham7'"):
        view("ham77")


def test_unknown_diagnosis_has_no_class() -> None:
    with pytest.raises(InputError, match="no diagnosis"):
        view("ham7").class_of("melanomma")


HEAD = 'note = "mine"\n'


def entry(id: str, rest: str = "") -> str:
    return f'[[classes]]\nid = "{id}"\n{rest}\n'


def test_users_view(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    text = (
        HEAD
        + 'excluded = ["blue_nevus"]\n'
        + entry("melanocytic_nevus")
        + entry("cancer", 'en = "Cancer"\nfa = "سرطان"\nmalignancy = ["malignant"]')
    )
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    mine = view(file)
    assert mine.name == "mine"
    assert mine.classes == ("melanocytic_nevus", "cancer")
    assert mine.class_of("blue_nevus") is None
    assert mine.class_of("common_nevus") == "melanocytic_nevus"
    assert mine.class_of("basal_cell_carcinoma") == "cancer"
    assert mine.class_of("actinic_keratosis") is None
    assert mine.names["cancer"]["fa"] == "سرطان"
    assert view(str(file)) == mine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + entry("melanomma"), "did you mean 'melanoma'"),
        (HEAD + entry("acne") + entry("acne"), "stands twice"),
        (HEAD + entry("acne", 'members = ["acnne"]'), "did you mean 'acne'"),
        (HEAD + entry("acne") + entry("eczema", 'members = ["eczema", "acne"]'), "mapped twice"),
        (HEAD + 'excluded = ["acne"]\n' + entry("acne"), "mapped twice"),
        (
            HEAD + entry("acne", 'members = ["eczema"]') + entry("eczema", 'members = ["acne"]'),
            "cyc",
        ),
        (HEAD + entry("acne", "members = []"), "no members"),
        (
            HEAD
            + entry("acne", 'malignancy = ["benign"]')
            + entry("eczema", 'malignancy = ["benign"]'),
            "goes to two classes",
        ),
        (HEAD + entry("acne", 'malignancy = ["bad"]'), "malignancy"),
        (HEAD + entry("acne", 'member = ["acne"]'), "member"),
        (HEAD + "classes = []\n", "classes"),
        (entry("acne"), "note"),
        ("classes = [\n", "not valid TOML"),
    ],
)
def test_bad_view_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        view(file)
    assert "bad.toml" in str(caught.value)


def test_missing_view_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        view(tmp_path / "none.toml")
