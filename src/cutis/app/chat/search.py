"""Search in a few passages: BM25 over folded words."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from cutis.app.chat.folding import fold
from cutis.app.chat.texts import Passage

K1, B = 1.2, 0.75
"""The usual constants (Robertson and Zaragoza 2009, section 3.4)."""

_WORD = re.compile(r"[^\W_]+")
_COMMON_WORDS = """
a about an and any are as at be been but by can could did do does for from get had has have how i
if in is it its me my no not of on or our please should so some tell than that the their them then
there these they thing this those to us was we were what when where which who why will with would
you your از است اش ام ان اند او اگر ای ایا این اینکه با باشد باید بر برای بود به بی تا تر ترین تو
چه چرا چطور چگونه چیست چی چیه خود دارد دارم دارند در را رو شد شده شود شما ش من می ما ن نه نمی و
ولی ها های هر هم هست هستند ی یا یک کرد کردن کند کنم کنید کدام کی که لطفا درباره
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_SHORTEST = 4  # letters of a word that loses an ending


class Found(NamedTuple):
    """A passage that a search found, with its score."""

    passage: Passage
    score: float


def words_of(text: str) -> list[str]:
    """The words of a text that a search goes by."""
    return [_stem(word) for word in _WORD.findall(fold(text)) if word not in _COMMON]


class Index:
    """Passages ready to be searched; a passage's title counts as its first words.

    The score is BM25 (Robertson and Zaragoza 2009, Foundations and Trends in Information Retrieval
    3:333, equation 3.15), with the inverse document frequency log(1 + (N - n + 0.5) / (n + 0.5)),
    which is never negative.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = tuple(passages)
        self._counts = [Counter(words_of(f"{one.title} {one.text}")) for one in passages]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._mean = sum(self._lengths) / max(1, len(passages))
        self._holders = Counter(word for counts in self._counts for word in counts)

    def search(self, question: str, most: int) -> list[Found]:
        """The best passages, best first; empty where none holds a word of the question.

        Those whose title holds every word of the question come first, in their own order: else a
        text that repeats a name would come before the one that explains it.
        """
        asked = set(words_of(question))
        scored = [Found(one, self._score(k, asked)) for k, one in enumerate(self.passages)]
        found = [one for one in scored if one.score > 0]
        titled = [one for one in found if asked <= set(words_of(one.passage.title))]
        rest = sorted((one for one in found if one not in titled), key=lambda one: -one.score)
        return [*titled, *rest][:most]

    def _score(self, number: int, asked: set[str]) -> float:
        counts, score = self._counts[number], 0.0
        for word in asked & counts.keys():
            holders = self._holders[word]
            rarity = math.log(1 + (len(self.passages) - holders + 0.5) / (holders + 0.5))
            length = 1 - B + B * self._lengths[number] / self._mean
            score += rarity * counts[word] * (K1 + 1) / (counts[word] + K1 * length)
        return score


def _stem(word: str) -> str:
    """A word without the plural's ending; nothing more, since more would join unlike words."""
    if len(word) < _SHORTEST:
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word.removesuffix("های") if word.endswith("های") else word.removesuffix("ها")
