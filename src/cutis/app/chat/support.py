"""Whether a sentence of an answer stands in the passages that it cites.

No list of forbidden words is ever complete. So a sentence must be supported: its words, numbers and
names have to stand in what it cites. What nobody has written for Cutis is not said.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from cutis.app.chat import vocabulary as v
from cutis.app.chat.claims import SETTLED_NOT, is_calm, is_claim, without_safe_phrases
from cutis.app.chat.cleaning import without_citations
from cutis.app.chat.folding import readings
from cutis.app.chat.search import words_of
from cutis.app.chat.texts import Passage

LEAST_SUPPORT = 0.6
"""The share of a sentence's words that must stand in the passages; docs/chat.md says why."""
_LEAST_IN_SENTENCE = 0.75  # likewise, in one sentence, of a negation or a medicine

_SENTENCE = re.compile(r"(?<=[.!?؟])\s+")
_CLAUSE = re.compile(
    r"[,،;؛:–—]|\b(?:but|so|because|and|although)\b|(?<!\w)(?:ولی|اما|پس|چون)(?!\w)"
)
_ENDINGS = re.compile(r"(?:ing|ed|es|ly|er|e)$")
_FEWEST_LETTERS = 4  # of a word's rest without its ending
_LONGEST_EMPTY = 4  # words of a clause that hold nothing that could be supported
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d{1,2}[.)]\s")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[a-z]+)?")


class Said(NamedTuple):
    """A sentence as the rules see it."""

    text: str  # folded, without citations, with phrases that leave all open as one word
    plain: str  # the same with those phrases
    asked: frozenset[str]  # roots of the question
    given: tuple["Ground", ...]  # passages that it cites
    result: "Ground"


class Ground:
    """A passage as the rules see it: the roots, numbers and names of all its sentences."""

    def __init__(self, passage: Passage) -> None:
        self.sentences = [readings(one)[0] for one in _SENTENCE.split(passage.text)]
        whole = readings(f"{passage.title}. {passage.text}")[0]
        self.text = whole
        self.roots = frozenset(_roots(whole))
        self.numbers = frozenset(_numbers(whole))
        self.names = _diagnoses_in(whole)


class Grounds:
    """The passages of one answer.

    Args:
        given: numbered from 1; the first is the case's result.
        question: its words count neither for nor against a sentence.
    """

    def __init__(self, given: Sequence[Passage], question: str) -> None:
        self._given = tuple(Ground(one) for one in given)
        self._asked = frozenset(_roots(readings(question)[0]))

    def broken_rule(self, sentence: str, cited: Collection[int]) -> str | None:
        """The rule of SUPPORT_RULES that forbids a cleaned sentence; None where it may be said."""
        plain = _LIST_NUMBER.sub("\n", without_citations(sentence))
        given = tuple(self._given[number - 1] for number in sorted(cited))
        if not given:
            return "citation"
        if _is_quoted(plain, given):
            return None
        for text in readings(plain):
            open_ = without_safe_phrases(text)
            said = Said(open_, text, self._asked, given, self._given[0])
            for name, forbids in SUPPORT_RULES.items():
                if (text == readings(plain)[0] or name in _OF_ALL_READINGS) and forbids(said):
                    return name
        return None


def _unsupported(said: Said) -> bool:
    """Too few words of one of its clauses stand in any one of the passages."""
    clauses = _CLAUSE.split(said.text)
    if any(_is_empty(clause) for clause in clauses):
        return True
    counted = [words for clause in clauses if (words := _counted(clause, said.asked))]
    if not counted:
        return not _says_nothing_new(said.text)
    known = [said.result.roots | ground.roots for ground in said.given]
    return any(max(_share(words, one) for one in known) < LEAST_SUPPORT for words in counted)


def _foreign_number(said: Said) -> bool:
    """A number that the cited passages do not hold, or hold of another diagnosis."""
    numbers = set(_numbers(said.plain))
    if not numbers <= frozenset[str]().union(*(ground.numbers for ground in said.given)):
        return True
    names = _diagnoses_in(said.plain)
    if len(names) != 1 or not re.search(r"%|٪|percent|درصد", said.plain):
        return False
    return not any(
        names[0] & frozenset().union(*_diagnoses_in(one)) and numbers <= set(_numbers(one))
        for ground in said.given
        for one in ground.sentences
        if _diagnoses_in(one)
    )


def _foreign_name(said: Said) -> bool:
    """A diagnosis that the cited passages do not name."""
    known = frozenset[str]().union(*(name for ground in said.given for name in ground.names))
    return any(not name & known for name in _diagnoses_in(said.plain))


def _foreign_means(said: Said) -> bool:
    """A medicine, something to do with one, or a time that the cited passages do not name."""
    known = frozenset[str]().union(*(ground.roots for ground in said.given))
    tokens = _TOKEN.findall(said.text)
    if any(not set(_roots(one)) <= known for one in tokens if _means().fullmatch(one)):
        return True
    words = _roots(said.text.replace(SETTLED_NOT, ""))
    return any(_medicine().fullmatch(one) for one in tokens) and not any(
        _share(words, set(_roots(one))) >= _LEAST_IN_SENTENCE
        for ground in said.given
        for one in ground.sentences
    )


def _foreign_calm(said: Said) -> bool:
    """A calming word of which no sentence of the passages says the same."""
    if not is_calm(said.text):
        return False
    names = [*_diagnoses_in(said.text)]
    return not names or not any(
        is_calm(one) and all(any(name & other for other in _diagnoses_in(one)) for name in names)
        for ground in said.given
        for one in ground.sentences
    )


def _unsupported_negation(said: Said) -> bool:
    """A "no" or "not" that no single sentence of the passages says of the same thing."""
    for clause in _CLAUSE.split(said.text):
        if not _negation().search(clause):
            continue
        words = _roots(clause.replace(SETTLED_NOT, ""))
        grounds = (one for ground in (*said.given, said.result) for one in ground.sentences)
        if not words or not any(_denies_too(one, said.text, words) for one in grounds):
            return True
    return False


SUPPORT_RULES: Mapping[str, Callable[[Said], bool]] = {
    "claim": lambda said: is_claim(said.text),
    "support": _unsupported,
    "number": _foreign_number,
    "name": _foreign_name,
    "means": _foreign_means,
    "calm": _foreign_calm,
    "negation": _unsupported_negation,
}
"""By name; a sentence that one of them forbids is never shown."""
_OF_ALL_READINGS = ("claim", "name")


def _denies_too(ground: str, sentence: str, words: Collection[str]) -> bool:
    if not _negation().search(ground) or _share(words, set(_roots(ground))) < _LEAST_IN_SENTENCE:
        return False
    named = _diagnoses_in(sentence)
    return all(any(one & other for other in named) for one in _diagnoses_in(ground))


def _is_quoted(plain: str, given: Iterable[Ground]) -> bool:
    quoted = readings(plain)[0].strip(" .\n")
    return any(quoted == one.strip(" .\n") for ground in given for one in ground.sentences)


def _says_nothing_new(text: str) -> bool:
    """Names only what the page shows anyway, or leaves open what something is."""
    points = _points().search(text) is not None and _negation().search(text) is None
    return SETTLED_NOT in text or points


def _is_empty(clause: str) -> bool:
    """Whether a clause speaks to the person, or at length, in words that say nothing alone."""
    tokens = _TOKEN.findall(clause)
    told = re.search(r"\b(?:you|yours?)\b|(?<!\w)(?:شما|تو)(?!\w)", clause) is not None
    return not words_of(clause) and (told or len(tokens) > _LONGEST_EMPTY)


def _counted(clause: str, asked: Collection[str]) -> list[str]:
    """The roots of the words that must be supported; names have rules of their own."""
    without = _names_and_more().sub(" ", clause)
    apart = _neutral().union(asked)
    return [root for root in _roots(without) if root not in apart and not root.isdigit()]


def _share(words: Collection[str], known: Collection[str]) -> float:
    return sum(word in known for word in words) / len(words)


def _roots(text: str) -> list[str]:
    """The words as the search has them, without the endings of English verbs."""
    return [_root(word) for word in words_of(text)]


def _root(word: str) -> str:
    short = _ENDINGS.sub("", word)
    return short if len(short) >= _FEWEST_LETTERS and short.isascii() else word


def _numbers(text: str) -> list[str]:
    """Digits and number words, as digits."""
    words = (v.NUMBER_WORDS.get(token, token) for token in _TOKEN.findall(text))
    return [word for word in words if word[0].isdigit()]


def _diagnoses_in(text: str) -> list[frozenset[str]]:
    """For each name in a folded text the diagnoses that it may mean."""
    ids = v.diagnoses_by_name()
    return [ids[found[0]] for found in _names().finditer(text)]


@cache
def _names() -> re.Pattern[str]:
    names = sorted(v.diagnoses_by_name(), key=len, reverse=True)
    return re.compile(rf"(?<![^\W\d_])(?:{'|'.join(map(re.escape, names))})")


@cache
def _names_and_more() -> re.Pattern[str]:
    return re.compile(
        rf"(?<![^\W\d_])(?:{v.names()}|{v.CANCER}|{v.CALM}|{v.GRAVE}|{SETTLED_NOT})s?"
    )


@cache
def _means() -> re.Pattern[str]:
    return re.compile(rf"(?:{v.FORM}|{v.DRUG}|{v.ACT}|{v.PORTION}|{v.TIME})s?")


@cache
def _medicine() -> re.Pattern[str]:
    return re.compile(rf"(?:{v.FORM}|{v.DRUG}|{v.PORTION})s?")


@cache
def _neutral() -> frozenset[str]:
    return frozenset(_roots(v.NEUTRAL))


@cache
def _points() -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W\d_])(?:{v.CARE}|{v.SHOWN})")


@cache
def _negation() -> re.Pattern[str]:
    return re.compile(v.NEGATION)
