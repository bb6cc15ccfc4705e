"""Answers are held to the passages that they cite: each rule, and what all of them let through."""

import re
from collections.abc import Sequence

import pytest

from cutis.app.chat import checking, rules, support
from cutis.app.chat.checking import Checker, RefusedError
from cutis.app.chat.claims import is_claim
from cutis.app.chat.folding import readings
from cutis.app.chat.questions import topic_of
from cutis.app.chat.support import SUPPORT_RULES, Grounds
from cutis.app.chat.texts import Passage, passages
from cutis.app.i18n import translator
from cutis.app.views import Bar
from cutis.taxonomy import diagnosis

from .conftest import make_result
from .sentences import FORBIDDEN, HARMLESS, LATER, PARAPHRASES

SHARES = {
    "melanoma": 0.6,
    "melanocytic_nevus": 0.3,
    "seborrheic_keratosis": 0.05,
    "eczema": 0.03,
    "psoriasis": 0.02,
}


def given(language: str) -> tuple[Passage, ...]:
    """Passages of a case with five possible diagnoses, calming and grave ones."""
    words = translator(language)
    bars = tuple(
        Bar(id, words.pick(diagnosis(id).name), words.percent(share), "0", True)
        for id, share in SHARES.items()
    )
    names = ", ".join(bar.name for bar in bars)
    possible = words.text("set.possible", count=len(bars), names=names)
    return passages(make_result(language, bars=bars, possible=possible), words)


GIVEN = {language: given(language) for language in ("en", "fa")}


def language_of(sentence: str) -> str:
    return "fa" if re.search("[\u0600-\u06ff]", sentence) else "en"


def shown(sentence: str, passages: Sequence[Passage]) -> str:
    """What is let out of an answer; raises RefusedError."""
    checker = Checker(language_of(sentence), passages)
    checker.feed(sentence)
    checker.finish(whole=True)
    return checker.text


def citing_all(sentence: str) -> str:
    """The sentence as it has most to stand on."""
    marks = "".join(f"[{number}]" for number in range(1, len(GIVEN["en"]) + 1))
    bare = re.sub(r" ?\[[1۱]\]", "", sentence)
    return re.sub(r"([.!?؟])$", rf" {marks}\1", bare)


@pytest.mark.parametrize("sentence", FORBIDDEN + LATER)
def test_forbidden_sentences_are_refused_whatever_they_cite(sentence: str) -> None:
    passages = GIVEN[language_of(sentence)]
    for said in (sentence, citing_all(sentence), f"{sentence} [1]"):
        with pytest.raises(RefusedError):
            shown(said, passages)


@pytest.mark.parametrize("sentence", HARMLESS)
def test_harmless_sentences_are_shown(sentence: str) -> None:
    assert shown(sentence, GIVEN[language_of(sentence)])


@pytest.mark.parametrize(
    "question",
    [
        "How can I prevent skin cancer?",
        "What does the diagnosis mean?",
        "Should I take this seriously?",
        "چند عکس استفاده کنم؟",
    ],
)
def test_harmless_questions_are_asked(question: str) -> None:
    assert topic_of(question) is None


@pytest.mark.parametrize(
    "question", ["<Do I have melanoma?>", "‹چند قرص بخورم؟>", "Is it can-cer?"]
)
def test_marks_hide_no_question(question: str) -> None:
    assert topic_of(question) is not None


def paraphrase_passes(language: str, id: str, sentence: str) -> bool:
    passages = [GIVEN[language][0], *(one for one in GIVEN[language] if one.id == id)]
    return Grounds(passages, "").broken_rule(sentence, [len(passages)]) is None


def test_most_paraphrases_of_our_texts_pass() -> None:
    passed = sum(paraphrase_passes(*one) for one in PARAPHRASES)
    assert len(PARAPHRASES) == 55
    assert passed >= 49


def test_support_alone_refuses_most_of_what_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurement of LEAST_SUPPORT in docs/chat.md."""
    monkeypatch.setattr(support, "SUPPORT_RULES", {"support": SUPPORT_RULES["support"]})
    refused = sum(
        Grounds(GIVEN[language_of(one)], "").broken_rule(one, range(1, len(GIVEN["en"]) + 1))
        is not None
        for one in FORBIDDEN
    )
    assert len(FORBIDDEN) == 75
    assert refused >= 58
    assert sum(paraphrase_passes(*one) for one in PARAPHRASES) >= 52


SUN = Passage("sun", "The sun", "The sun burns pale skin within 20 minutes. Shade helps.", "/")
CREAM = Passage("cream", "Care", "A cream keeps the skin moist. It does not cure psoriasis.", "/")
WART = Passage("wart", "Warts", "Warts are harmless and common. Psoriasis lasts for years.", "/")

OWN = {
    "claim": ["The finding is psoriasis [3].", "یافته: صدفک [3]."],
    "support": ["Clouds and rain bring relief [1]."],
    "number": ["Pale skin burns within 30 minutes [1].", "Pale skin burns within two minutes [1]."],
    "name": ["Eczema lasts for years [3]."],
    "means": ["A lotion keeps the skin moist [2].", "The sun burns pale skin each night [1]."],
    "calm": ["Psoriasis is common and harmless [3]."],
    "negation": ["A cream does not keep skin moist [2].", "Shade never helps [1]."],
}


@pytest.mark.parametrize("rule", SUPPORT_RULES)
def test_each_rule_of_support_is_needed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for sentence in OWN[rule]:
        cited = {int(number) for number in re.findall(r"\[(\d)\]", sentence)}
        grounds = Grounds([SUN, CREAM, WART], "")
        assert grounds.broken_rule(sentence, cited) == rule
        rest = {name: forbids for name, forbids in SUPPORT_RULES.items() if name != rule}
        with monkeypatch.context() as patch:
            patch.setattr(support, "SUPPORT_RULES", rest)
            assert grounds.broken_rule(sentence, cited) != rule


def test_what_our_texts_say_word_for_word_is_supported() -> None:
    grounds = Grounds([SUN, CREAM], "")
    assert grounds.broken_rule("It does not cure psoriasis [2].", [2]) is None
    assert grounds.broken_rule("It does not cure psoriasis [1].", [1]) is not None


def test_a_word_of_the_question_supports_nothing() -> None:
    assert Grounds([SUN], "clouds rain relief").broken_rule("Clouds bring rain [1].", [1])


def test_a_percentage_belongs_to_its_diagnosis() -> None:
    result = GIVEN["en"][0]
    grounds = Grounds([result], "")
    assert grounds.broken_rule("The probability of melanoma is 60% [1].", [1]) is None
    assert grounds.broken_rule("The probability of eczema is 60% [1].", [1]) == "number"


def test_a_sentence_beside_a_cited_one_stands_on_its_passage() -> None:
    near = "The sun burns pale skin within 20 minutes [1]. Shade helps then. "
    assert shown(f"{near}Shade helps [1].", [SUN]).startswith("The sun burns pale skin")
    with pytest.raises(RefusedError):
        shown("Shade helps [1]. Clouds bring rain and relief. Shade helps [1].", [SUN])
    with pytest.raises(RefusedError):
        shown("Shade helps [1]. Clouds bring rain and relief.", [SUN])


@pytest.mark.parametrize(
    "sentence",
    ["Yes, shade helps [1].", "No.", "بله، کمک می‌کند.", "ملانوم است.", "The border is even."],
)
def test_an_answer_or_a_look_at_the_spot_is_a_claim(sentence: str) -> None:
    assert any(is_claim(one) for one in readings(sentence))


@pytest.mark.parametrize("sentence", ["Melanоma grows.", "Меланома", "ɑ mole", "ملانومX"])
def test_letters_that_look_like_others_are_refused(
    sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rules.broken_rule(sentence) == "letters"
    monkeypatch.setattr(rules, "has_foreign_letters", lambda _: False)
    assert rules.broken_rule(sentence) != "letters"


def test_the_lists_and_the_support_are_both_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = Passage("evil", "Evil", "You have melanoma.", "/")
    with pytest.raises(RefusedError):  # by the lists, though it is quoted
        shown("You have melanoma [1].", [evil])
    monkeypatch.setattr(checking, "broken_rule", lambda _: None)
    assert shown("You have melanoma [1].", [evil])
