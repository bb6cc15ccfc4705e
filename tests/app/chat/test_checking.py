"""An answer while it comes: what is let out, what is taken away, and what ends it."""

import time

import pytest

from cutis.app.chat import checking
from cutis.app.chat.checking import Checker, RefusedError
from cutis.app.chat.support import Grounds
from cutis.app.chat.texts import Passage

RESULT = Passage("result", "The result", "Go to a doctor early. زود به پزشک مراجعه کنید.", "/")
SPREAD = Passage(
    "spread",
    "Melanoma",
    "Melanoma can spread to other parts of the body. Found early, it is cured. "
    "ملانوم ممکن است به جاهای دیگر بدن پخش شود. درماتوفیبروم برجستگی کوچکی است.",
    "/",
)
READ = Passage("read", "Read", "Read more now. Dermatofibroma is small.", "/")
GIVEN = (RESULT, SPREAD, READ)
SAID = "Melanoma can spread to other parts [2]."


def checked(answer: str, language: str = "en", size: int = 3) -> str:
    """What an answer that comes in pieces of `size` letters ends as."""
    checker = Checker(language, GIVEN)
    shown = [checker.feed(answer[k : k + size]) for k in range(0, len(answer), size)]
    shown.append(checker.finish(whole=True))
    assert "".join(shown) == checker.text
    return checker.text


def refused(answer: str, language: str = "en") -> str:
    with pytest.raises(RefusedError) as caught:
        checked(answer, language)
    return str(caught.value)


def test_sentences_come_out_one_by_one_when_they_are_whole() -> None:
    checker = Checker("en", GIVEN)
    assert checker.feed("Melanoma can spread [2") == ""
    assert checker.feed("]. It is") == "Melanoma can spread [2]."
    assert checker.feed(" cured early [2]. So") == " It is cured early [2]."
    assert checker.feed(" go early") == ""
    assert checker.finish(whole=True) == " So go early"
    assert checker.cited == (2,)


def test_a_citation_may_follow_the_stop() -> None:
    assert checked("Melanoma can spread. [2] Go early. [1]") == (
        "Melanoma can spread. [2] Go early. [1]"
    )


def test_nothing_comes_out_before_a_citation() -> None:
    checker = Checker("en", GIVEN)
    assert checker.feed("Melanoma can spread. So") == ""
    assert checker.feed(" it is cured early [2]. Go").startswith("Melanoma can spread. So")


def test_an_answer_without_a_citation_is_refused() -> None:
    assert refused("Melanoma can spread.") == "citation"
    assert refused("Melanoma can spread [7].") == "citation"
    assert refused("") == "citation"


def test_each_sentence_stands_beside_a_citation() -> None:
    assert refused(f"{SAID} Found early. It is cured. Go early.") == "citation"


def test_unknown_numbers_are_removed() -> None:
    assert checked("Melanoma can spread [2][9] to parts [4], to others [0] or [1, 8, 3].") == (
        "Melanoma can spread [2] to parts , to others  or [1][3]."
    )


def test_persian_citations_count() -> None:
    assert checked("ملانوم ممکن است پخش شود [۲].", "fa") == "ملانوم ممکن است پخش شود [2]."


@pytest.mark.parametrize(
    "answer",
    [
        f"{SAID} Take 5 mg.",
        f"{SAID} Take 5. mg of it.",
        f"{SAID}\nTwo\ntablets",
        f"{SAID} Take 5 [9] mg.",
        f"{SAID} Take [2] mg.",
        f"{SAID} Take 5 [m](http://a.b)g.",
        f"{SAID} You have\u200b melanoma.",
        "You most likely have:\n1. Melanoma [2].",
        "You most likely have:\n\n- Melanoma [2].",
        "The body has\n\n2. Melanoma [2].",
    ],
)
def test_a_forbidden_sentence_ends_the_answer_even_in_parts(answer: str) -> None:
    refused(answer)


def test_sentences_are_read_with_the_two_before(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(checking, "broken_rule", lambda said: read.append(said))
    checked("Melanoma can spread [2]. Found early [2]. It is cured [2].")
    assert "Melanoma can spread [2] Found early [2] It is cured [2]" in read


def test_what_came_before_a_forbidden_sentence_is_all_that_comes_out() -> None:
    checker = Checker("en", GIVEN)
    assert checker.feed(f"{SAID} Now") == SAID
    with pytest.raises(RefusedError):
        checker.feed(" take 5 mg. More")
    assert checker.text == SAID


@pytest.mark.parametrize(
    ("answer", "language"),
    [
        (SAID, "fa"),
        ("ملانوم ممکن است به جاهای دیگر پخش شود [2].", "en"),
        ("ملانوم ممکن است melanoma can spread to parts [2].", "fa"),
    ],
)
def test_an_answer_in_another_script_is_refused(answer: str, language: str) -> None:
    assert refused(answer, language) == "language"


def test_foreign_names_may_stand_in_an_answer() -> None:
    assert "dermatofibroma" in checked(
        "درماتوفیبروم (dermatofibroma) برجستگی کوچکی است [2][3].", "fa"
    )


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
    shown = checked(f"Read more {link} now [3].")
    assert "evil" not in shown
    assert "alert" not in shown
    assert "](" not in shown
    assert shown.startswith("Read more")
    assert shown.endswith("[3].")


@pytest.mark.parametrize("mark", ["<", ">", "＜", "**", "`", "#", "|", "\\", "\u200b", "\x07"])
def test_marks_are_neither_shown_nor_do_they_hide_anything(mark: str) -> None:
    assert checked(f"Melanoma can {mark}spread{mark} [2].") == "Melanoma can spread [2]."
    refused(f"Melanoma can spread {mark}you have melanoma{mark} [2].")


def test_signs_that_nobody_sees_go_but_the_half_space_stays() -> None:
    assert checked("ملانوم پخش می‌شود\u202e \x07 [2].", "fa") == "ملانوم پخش می‌شود  [2]."


def test_what_is_too_long_for_a_sentence_is_refused() -> None:
    assert refused("Melanoma [2] can spread " + "to parts " * 100) == "too long"
    assert refused("Melanoma [2] can spread " + "to parts " * 100 + ". And") == "too long"


def test_an_answer_of_very_many_sentences_is_refused_in_good_time() -> None:
    began = time.monotonic()
    assert refused(f"{SAID} " * 300) == "too long"
    assert time.monotonic() - began < 3
    checker = Checker("en", GIVEN)
    with pytest.raises(RefusedError):
        checker.feed("a\n" * 3000)
    assert time.monotonic() - began < 3


def test_the_last_words_of_a_cut_answer_are_dropped() -> None:
    checker = Checker("en", GIVEN)
    checker.feed(f"{SAID} Take 5 m")
    assert checker.finish(whole=False) == ""
    assert checker.text == SAID


@pytest.mark.parametrize("part", ["broken_rule", "Grounds", "cleaned"])
def test_each_check_is_needed(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "broken_rule": "Melanoma is found early [2].",
        "Grounds": "Clouds bring rain [2].",
        "cleaned": "Read https://evil.example more [3].",
    }[part]
    if part == "broken_rule":
        monkeypatch.setattr(checking, part, lambda _: "a rule")
        assert refused(said) == "a rule"
        return
    assert part == "cleaned" or refused(said) == "support"
    monkeypatch.setattr(checking, "broken_rule", lambda _: None)
    monkeypatch.setattr(Grounds, "broken_rule", lambda *_: None)
    monkeypatch.setattr(checking, "cleaned", lambda text, _: text)
    assert checked(said) == said
