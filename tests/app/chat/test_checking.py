"""An answer while it comes: what is let out, what is taken away, and what ends it."""

import pytest

from cutis.app.chat import checking
from cutis.app.chat.checking import Checker, RefusedError


def checked(answer: str, language: str = "en", given: int = 3, size: int = 3) -> str:
    """What an answer that comes in pieces of `size` letters ends as."""
    checker = Checker(language, given)
    shown = [checker.feed(answer[k : k + size]) for k in range(0, len(answer), size)]
    shown.append(checker.finish(whole=True))
    assert "".join(shown) == checker.text
    return checker.text


def refused(answer: str, language: str = "en") -> str:
    with pytest.raises(RefusedError) as caught:
        checked(answer, language)
    return str(caught.value)


def test_sentences_come_out_one_by_one_when_they_are_whole() -> None:
    checker = Checker("en", 2)
    assert checker.feed("Melanoma can spread [2") == ""
    assert checker.feed("]. It is found") == "Melanoma can spread [2]."
    assert checker.feed(" early? Yes") == " It is found early?"
    assert checker.finish(whole=True) == " Yes"
    assert checker.cited == (2,)


def test_nothing_comes_out_before_a_citation() -> None:
    checker = Checker("en", 2)
    assert checker.feed("Melanoma can spread. Mostly late. ") == ""
    assert checker.feed("So go early [1]. ").startswith("Melanoma can spread. Mostly late.")


def test_an_answer_without_a_citation_is_refused() -> None:
    assert refused("Melanoma can spread.") == "citation"
    assert refused("Melanoma can spread [7].") == "citation"
    assert refused("") == "citation"


def test_unknown_numbers_are_removed() -> None:
    assert checked("It can spread [2][9]. Late [4], [0] or [1, 8, 3].") == (
        "It can spread [2]. Late ,  or [1][3]."
    )


def test_persian_citations_count() -> None:
    assert checked("ملانوم ممکن است پخش شود [۲].", "fa") == "ملانوم ممکن است پخش شود [2]."


@pytest.mark.parametrize(
    "answer",
    [
        "Melanoma can spread [2]. Take 5 mg.",
        "Melanoma can spread [2]. Take 5. mg of it.",
        "Melanoma can spread [2].\nTwo\ntablets",
        "Melanoma can spread [2]. Take 5 [9] mg.",
        "Melanoma can spread [2]. Take [2] mg.",
        "Melanoma can spread [2]. Take 5 [m](http://a.b)g.",
        "Melanoma can spread [2]. You have\u200b melanoma.",
    ],
)
def test_a_forbidden_sentence_ends_the_answer_even_in_parts(answer: str) -> None:
    refused(answer)


def test_what_came_before_a_forbidden_sentence_is_all_that_comes_out() -> None:
    checker = Checker("en", 2)
    assert checker.feed("It can spread [2]. ") == "It can spread [2]."
    with pytest.raises(RefusedError):
        checker.feed("Take 5 mg. More")
    assert checker.text == "It can spread [2]."


@pytest.mark.parametrize(
    ("answer", "language"),
    [
        ("Melanoma can spread to other parts [2].", "fa"),
        ("ملانوم ممکن است به جاهای دیگر پخش شود [2].", "en"),
        ("Меланома может распространяться [2].", "en"),
        ("[2]", "en"),
        ("Ja [2].", "fa"),
    ],
)
def test_an_answer_in_another_script_is_refused(answer: str, language: str) -> None:
    assert refused(answer, language) == "language"


def test_foreign_names_may_stand_in_an_answer() -> None:
    assert "dermatofibroma" in checked("درماتوفیبروم (dermatofibroma) برجستگی کوچکی است [2].", "fa")


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/x?y=1",
        "www.evil.example",
        "evil-shop.com/pills",
        "javascript:alert(1)",
        "data:text/html,x",
        "[here](https://evil.example)",
        "![here](http://evil.example/p.png)",
        "<https://evil.example>",
        "ht\u200btps://evil.example",
    ],
)
def test_links_are_removed(link: str) -> None:
    shown = checked(f"Read more {link} now [2].")
    assert "evil" not in shown
    assert "alert" not in shown
    assert "](" not in shown
    assert shown.startswith("Read more")
    assert shown.endswith("[2].")


def test_signs_that_nobody_sees_go_but_the_half_space_stays() -> None:
    assert checked("می‌شود\u202e پخش\x07 [2].", "fa") == "می‌شود پخش [2]."


def test_a_sentence_without_an_end_is_checked_all_the_same() -> None:
    checker = Checker("en", 2)
    assert len(checker.feed("melanoma [2] " + "word " * 200)) > 500
    with pytest.raises(RefusedError):
        checker.feed("take 5 mg " + "word " * 200)


def test_the_last_words_of_a_cut_answer_are_dropped() -> None:
    checker = Checker("en", 2)
    checker.feed("It can spread [2]. Take 5 m")
    assert checker.finish(whole=False) == ""
    assert checker.text == "It can spread [2]."


@pytest.mark.parametrize("part", ["broken_rule", "_without_links"])
def test_each_check_is_needed(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    off = (lambda _: None) if part == "broken_rule" else (lambda text: text)
    monkeypatch.setattr(checking, part, off)
    said = "See https://evil.example [2]." if part == "_without_links" else "Take 5 mg [2]."
    assert checked(said) == said
