"""The tree of diagnoses: its shape, grades, and what the loader refuses."""

import re
from pathlib import Path

import pytest

from cutis.errors import InputError
from cutis.taxonomy import (
    Malignancy,
    Urgency,
    ancestors,
    children,
    diagnoses,
    diagnosis,
    is_within,
)
from cutis.taxonomy.tree import load_diagnoses

TOPS = {
    "tumour",
    "inflammatory",
    "infectious",
    "light_or_pigment_disorder",
    "vascular",
    "hair_and_nail",
    "systemic_disease",
    "no_diagnosis",
    "not_skin",
}


def test_tops_of_the_tree() -> None:
    assert {node.id for node in diagnoses().values() if node.parent is None} == TOPS
    assert len(diagnoses()) > 150


def test_every_node_reaches_a_top_and_its_parent_lists_it() -> None:
    for node in diagnoses().values():
        assert (ancestors(node.id) or (node.id,))[-1] in TOPS
        if node.parent is not None:
            assert node.id in children(node.parent)


def test_ids_are_snake_case_and_stand_under_their_own_key() -> None:
    for id, node in diagnoses().items():
        assert id == node.id
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", id)


def test_ham10000s_groups_hold_their_diagnoses() -> None:
    assert set(children("actinic_keratosis_bowen")) == {"actinic_keratosis", "bowen_disease"}
    assert set(children("benign_keratosis")) == {
        "seborrheic_keratosis",
        "solar_lentigo",
        "lichenoid_keratosis",
    }
    for id in ("cherry_angioma", "angiokeratoma", "pyogenic_granuloma", "skin_haemorrhage"):
        assert is_within(id, "vascular_lesion")
    assert not is_within("melanoma", "benign_tumour")
    assert is_within("melanoma", "melanoma")


def test_every_leaf_has_a_grade_and_an_urgency() -> None:
    for node in diagnoses().values():
        if not children(node.id) and node.id not in ("undetermined", "not_skin"):
            assert node.urgency is not None, node.id
            assert node.malignancy is not None or node.id == "normal_skin", node.id


def test_a_grade_holds_for_everything_below() -> None:
    for node in diagnoses().values():
        for above in ancestors(node.id):
            assert diagnosis(above).malignancy in (None, node.malignancy), (above, node.id)


def test_grades() -> None:
    expected = {
        "melanoma": Malignancy.MALIGNANT,
        "lentigo_maligna": Malignancy.MALIGNANT,
        "keratoacanthoma": Malignancy.MALIGNANT,
        "actinic_keratosis": Malignancy.PRECANCER,
        "bowen_disease": Malignancy.PRECANCER,
        "atypical_nevus": Malignancy.BENIGN,
        "psoriasis": Malignancy.BENIGN,
        "skin_cancer_or_precancer": None,
        "tumour": None,
        "normal_skin": None,
    }
    assert {id: diagnosis(id).malignancy for id in expected} == expected


def test_cancer_is_never_left_to_self_care_or_routine() -> None:
    malignant = [n for n in diagnoses().values() if n.malignancy is Malignancy.MALIGNANT]
    assert len(malignant) > 10
    for node in malignant:
        assert node.urgency in (Urgency.WEEKS, Urgency.EMERGENCY), node.id
    for node in diagnoses().values():
        if node.malignancy is Malignancy.PRECANCER:
            assert node.urgency is not Urgency.SELF_CARE, node.id


def test_icd11_codes_have_the_form_of_icd11() -> None:
    codes = [node.icd11 for node in diagnoses().values() if node.icd11]
    assert len(codes) > 20
    for code in codes:
        assert re.fullmatch(r"[0-9A-Z][A-HJ-NP-Z][0-9A-HJ-NP-Z]{2}(\.[0-9A-Z]{1,2})?", code)


def test_unknown_id_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'melanoma'"):
        diagnosis("melanomma")
    with pytest.raises(InputError, match="no diagnosis"):
        children("nonsense")
    with pytest.raises(InputError, match="no diagnosis"):
        is_within("melanoma", "nonsense")


def test_the_cached_mapping_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        diagnoses()["melanoma"] = diagnosis("acne")  # type: ignore[index]


NODE = '[{id}]\nen = ["{id}"]\nfa = ["الف"]\n'


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_cycle_is_refused(tmp_path: Path) -> None:
    text = NODE.format(id="a") + 'parent = "b"\n' + NODE.format(id="b") + 'parent = "a"\n'
    with pytest.raises(InputError, match="cyclic: a -> b -> a"):
        load_diagnoses([write(tmp_path / "n.toml", text)], [])


def test_unknown_parent_is_refused(tmp_path: Path) -> None:
    text = NODE.format(id="tumour") + NODE.format(id="b") + 'parent = "tumor"\n'
    with pytest.raises(InputError, match="did you mean 'tumour'"):
        load_diagnoses([write(tmp_path / "n.toml", text)], [])


def test_node_in_two_files_is_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / name, NODE.format(id="a")) for name in ("1.toml", "2.toml")]
    with pytest.raises(InputError, match="defined twice"):
        load_diagnoses(files, [])


def test_unknown_key_is_refused(tmp_path: Path) -> None:
    text = NODE.format(id="a") + 'urgent = "weeks"\n'
    with pytest.raises(InputError, match="urgent"):
        load_diagnoses([write(tmp_path / "n.toml", text)], [])


def test_text_of_an_unknown_diagnosis_is_refused(tmp_path: Path) -> None:
    fields = "".join(f'{key} = "x"\n' for key in ("what", "looks", "course", "helps", "see_doctor"))
    texts = write(tmp_path / "t.toml", f"[ab.en]\n{fields}[ab.fa]\n{fields}")
    nodes = write(tmp_path / "n.toml", NODE.format(id="a"))
    with pytest.raises(InputError, match="unknown diagnosis 'ab'"):
        load_diagnoses([nodes], [texts])


def test_text_in_one_language_only_is_refused(tmp_path: Path) -> None:
    fields = "".join(f'{key} = "x"\n' for key in ("what", "looks", "course", "helps", "see_doctor"))
    texts = write(tmp_path / "t.toml", f"[a.en]\n{fields}")
    nodes = write(tmp_path / "n.toml", NODE.format(id="a"))
    with pytest.raises(InputError, match="fa"):
        load_diagnoses([nodes], [texts])
