"""Folding and search, against values computed by hand."""

import math

import pytest

from cutis.app.chat.folding import fold, language_of_text, script_share
from cutis.app.chat.search import Index, words_of
from cutis.app.chat.texts import Passage


def passages(*texts: str) -> list[Passage]:
    return [Passage(str(k), "", text, "/") for k, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("كتاب يك", "کتاب یک"),
        ("می‌شود", "می شود"),
        ("لکۀ قهوه‌ای", "لکه قهوه ای"),
        ("لکهٔ", "لکه"),
        ("آفتاب", "افتاب"),
        ("۱۲٫۵ و ٣", "12.5 و 3"),
        ("خـــال", "خال"),
        ("５ ｍｇ", "5 mg"),
        ("m\u200bg", "mg"),
        ("Naïve  CAFÉ", "naive cafe"),
        ("You’re", "you're"),
    ],
)
def test_one_spelling(written: str, folded: str) -> None:
    assert fold(written) == folded


def test_words_lose_plurals_and_common_words_go() -> None:
    assert words_of("What are the moles and the biopsies of a virus?") == [
        "mole",
        "biopsy",
        "virus",
    ]
    assert words_of("لکه‌ها چیست؟ لكه ها، لکهها") == ["لکه", "لکه", "لکه"]


def test_scores_are_those_computed_by_hand() -> None:
    index = Index(passages("sun sun skin", "skin mole", "mole border colour edge"))
    # N = 3, mean length 3. "sun": n = 1, "skin": n = 2.
    sun = math.log(1 + 2.5 / 1.5)
    skin = math.log(1 + 1.5 / 2.5)
    # Lengths 3 and 2: the norm is 1.2 * (0.25 + 0.75 * length / 3).
    first = sun * 2 * 2.2 / (2 + 1.2) + skin * 1 * 2.2 / (1 + 1.2)
    second = skin * 1 * 2.2 / (1 + 1.2 * 0.75)
    found = index.search("sun on the skin", 3)
    assert [one.passage.id for one in found] == ["0", "1"]
    assert [one.score for one in found] == pytest.approx([first, second])
    assert first == pytest.approx(1.8187, abs=1e-4)
    assert second == pytest.approx(0.5442, abs=1e-4)


def test_a_word_said_twice_in_the_question_counts_once() -> None:
    index = Index(passages("sun skin", "mole"))
    assert index.search("sun", 1)[0].score == index.search("sun sun", 1)[0].score


def test_titles_that_hold_the_whole_question_come_first_in_their_order() -> None:
    parts = [
        Passage("what", "Melanoma: what it is", "A cancer.", "/"),
        Passage("looks", "Melanoma: how it looks", "Brown.", "/"),
        Passage("course", "Melanoma: course", "Melanoma, melanoma, melanoma.", "/"),
    ]
    index = Index(parts)
    assert [one.passage.id for one in index.search("What is melanoma?", 9)] == [
        "what",
        "looks",
        "course",
    ]
    assert index.search("How does melanoma look?", 1)[0].passage.id == "looks"


def test_nothing_found_says_so() -> None:
    index = Index(passages("sun skin"))
    assert index.search("football results", 3) == []
    assert index.search("what is the", 3) == []
    assert Index([]).search("sun", 3) == []


def test_persian_is_found_in_other_spellings() -> None:
    index = Index(passages("ملانوم سرطان سلول‌های رنگدانه است", "زگیل با ویروس پدید می‌آید"))
    assert index.search("سلولهاي رنگدانه", 1)[0].passage.id == "0"
    assert index.search("ويروس", 1)[0].passage.id == "1"


def test_the_language_of_a_text_is_that_of_its_script() -> None:
    assert language_of_text("ملانوم melanoma چیست و چرا", "en") == "fa"
    assert language_of_text("What is ملانوم called?", "fa") == "en"
    assert language_of_text("؟؟ 12", "fa") == "fa"
    assert script_share("ab چپ", "fa") == 0.5
    assert script_share("12", "en") is None
