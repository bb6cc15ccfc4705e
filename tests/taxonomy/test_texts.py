"""Names and texts in two languages: complete, and Persian that is spelt as Persian."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import cutis.taxonomy
from cutis.taxonomy import diagnoses, view, view_names

FIELDS = ("what", "looks", "course", "helps", "see_doctor")
FIRST = (
    *view("ham7").classes,
    *view("isic9").classes,
    *view("azeem6").classes,
    *view("sattarzadeh30").classes,
)
DATA = Path(cutis.taxonomy.__file__).parent / "data"


def texts(language: str) -> Iterator[tuple[str, str]]:
    for node in diagnoses().values():
        if node.text:
            for field, value in dataclasses.asdict(node.text[language]).items():
                yield f"{node.id}.{field}", value


def persian() -> Iterator[tuple[str, str]]:
    yield from texts("fa")
    for node in diagnoses().values():
        for spelling in (node.name["fa"], *node.synonyms["fa"]):
            yield node.id, spelling
    for name in view_names():
        for id, names in view(name).names.items():
            yield f"{name}.{id}", names["fa"]


def test_at_least_thirty_diagnoses_have_texts_those_of_the_papers_among_them() -> None:
    with_text = {node.id for node in diagnoses().values() if node.text}
    assert len(with_text) >= 30
    assert set(FIRST) <= with_text


def test_both_languages_have_every_field() -> None:
    for node in diagnoses().values():
        if node.text:
            assert set(node.text) == {"en", "fa"}
            for language in ("en", "fa"):
                assert tuple(dataclasses.asdict(node.text[language])) == FIELDS
        assert set(node.name) == set(node.synonyms) == {"en", "fa"}


@pytest.mark.parametrize("language", ["en", "fa"])
def test_fields_are_whole_sentences_and_short(language: str) -> None:
    seen = list(texts(language))
    assert len(seen) >= 30 * len(FIELDS)
    for place, text in seen:
        assert text.endswith("."), place
        assert 1 <= len(re.findall(r"[.](?:\s|$)", text)) <= 4, place
        assert 30 < len(text) < 420, place


def test_persian_is_written_in_persian() -> None:
    seen = list(persian())
    assert len(seen) > 500
    for place, text in seen:
        wrong = re.findall(r"[A-Za-z0-9,;?يىكةٱ٠-٩]", text)
        assert not wrong, (place, wrong)
        assert re.search("[آابپتجچدرزسشعفقکگلمنوهی]", text), place


def test_persian_uses_half_spaces() -> None:
    # A verb prefix or a plural ending that stands alone should be joined by a half-space.
    loose = re.compile(r"(?:^|\s)(?:می|نمی)\s|\s(?:ها|های|هایی|تر|ترین|ام|اند)(?:\s|[.،؛]|$)")
    for place, text in persian():
        assert not loose.search(text), (place, loose.search(text))
        assert not re.search(r"\s[،؛؟.]|[،؛؟](?=\S)|\s{2}", text), place


def test_english_has_no_persian_letters() -> None:
    for place, text in texts("en"):
        assert not re.search(r"[\u0600-\u06ff]", text), place


def test_no_text_names_a_dose() -> None:
    dose = re.compile(r"\b\d+\s*(?:mg|g|ml|%)|میلی‌گرم|درصد|\btablets? a day")
    for language in ("en", "fa"):
        for place, text in texts(language):
            assert not dose.search(text), place


def test_the_text_of_a_cancer_sends_to_a_doctor_soon() -> None:
    for node in diagnoses().values():
        if node.text and node.malignancy == "malignant":
            assert re.search("weeks", node.text["en"].see_doctor), node.id
            assert "هفته" in node.text["fa"].see_doctor, node.id


def test_every_text_file_says_that_no_clinician_has_reviewed_it() -> None:
    files = sorted((DATA / "texts").glob("*.toml"))
    assert len(files) == 4
    for file in files:
        assert "NO CLINICIAN HAS REVIEWED" in file.read_text("utf-8").split("[", 1)[0]
