"""An answer checked while it comes: nothing is shown that has not passed the rules."""

import contextlib
import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from cutis.app.chat.cleaning import cited, cleaned
from cutis.app.chat.folding import script_counts
from cutis.app.chat.rules import broken_rule
from cutis.app.chat.support import Grounds
from cutis.app.chat.texts import Passage

_END = re.compile(
    r"[.!?؟…][\"'»”)\]*_]*(?:\s*\[[\d\s,،;–-]+\])*(?=\s+[^\s\[])"  # a citation may follow the stop
)
_LIST_NUMBER = re.compile(r"(?:^|\n)\W*\d{1,2}[.)]$")
_LONGEST = 600  # letters of a sentence; what is longer cannot be held to a passage
_MOST_SENTENCES = 60
_EARLIER = 2  # sentences with which one is read together: a dose may be parted
_BETWEEN = " .:-•*\n"  # what parts a sentence from the next, and items of a list
_FEWEST_LETTERS = 20  # for which a script's share says something
_LEAST_SHARE = 0.6  # of the language's own letters; drugs and names may be foreign


class RefusedError(Exception):
    """An answer that may not be shown; the text names the rule."""


def prepare() -> None:
    """Compiles the rules, which takes a second: better now than while the first person waits."""
    text = "The model names melanoma. A nevus is benign."
    checker = Checker("en", [Passage("", "", text, "")])
    with contextlib.suppress(RefusedError):
        checker.feed(text.replace(".", " [1]. "))
        checker.finish(whole=True)


class _Held(NamedTuple):
    """A sentence that waits for the next one's citation, and what it broke without."""

    text: str
    rule: str


class Checker:
    """Takes an answer's pieces in and lets whole sentences out.

    Args:
        language: that the answer must be written in.
        given: passages that it may cite, numbered from 1, the case's result first.
        question: that it answers.
    """

    def __init__(self, language: str, given: Sequence[Passage], question: str = "") -> None:
        self.text = ""  # what was let out
        self.letters = 0  # that have come in
        self._language = language
        self._given = len(given)
        self._grounds = Grounds(given, question)
        self._rest = ""
        self._held: _Held | None = None
        self._near: frozenset[int] = frozenset()  # what the sentence before cites
        self._earlier: deque[str] = deque(maxlen=_EARLIER)
        self._own = self._counted = self._sentences = 0

    @property
    def cited(self) -> tuple[int, ...]:
        """The passages that the answer cites, in order."""
        return tuple(sorted(cited(self.text)))

    def feed(self, piece: str) -> str:
        """What may be shown after a further piece, perhaps nothing yet; raises RefusedError."""
        self.letters += len(piece)
        self._rest += piece
        shown = ""
        while (end := self._sentence_end()) is not None:
            sentence, self._rest = self._rest[:end], self._rest[end:]
            shown += self._passed(sentence)
        if len(self._rest) > _LONGEST:
            raise RefusedError("too long")
        return shown

    def finish(self, *, whole: bool) -> str:
        """What may be shown besides at the end; raises RefusedError.

        Args:
            whole: False where the answer was cut: then its last words make no sentence.
        """
        shown = self._passed(self._rest) if whole and self._rest.strip() else ""
        if self._held is not None and whole:
            raise RefusedError(self._held.rule)
        if not self.cited:
            raise RefusedError("citation")
        self._check_language(fewest=0)
        return shown

    def _sentence_end(self) -> int | None:
        """Where the first whole sentence ends. Lines of a list belong to what stands before it,
        and a piece without letters to what comes after it."""
        for found in _END.finditer(self._rest):
            before = self._rest[: found.end()]
            if any(sign.isalpha() for sign in before) and not _LIST_NUMBER.search(before):
                return found.end()
        return None

    def _passed(self, sentence: str) -> str:
        self._sentences += 1
        if len(sentence) > _LONGEST or self._sentences > _MOST_SENTENCES:
            raise RefusedError("too long")
        said = cleaned(sentence, self._given)
        self._check_lists(said)
        own, letters = script_counts(said, self._language)
        self._own, self._counted = self._own + own, self._counted + letters
        self._check_language(fewest=_FEWEST_LETTERS)
        return self._grounded(said)

    def _check_lists(self, said: str) -> None:
        parts = [part.strip(_BETWEEN) for part in (*self._earlier, said)]
        for first in range(len(parts)):
            rule = broken_rule(" ".join(parts[first:]) if first < len(parts) - 1 else said)
            if rule is not None:
                raise RefusedError(rule)
        self._earlier.append(said)

    def _grounded(self, said: str) -> str:
        """What may be shown now: a sentence stands on what it cites, or its neighbours do."""
        shown, numbers = "", cited(said)
        if self._held is not None:
            rule = self._grounds.broken_rule(self._held.text, self._near | numbers)
            if rule is not None:
                raise RefusedError(rule)
            shown, self._held = self._held.text, None
            self._near = frozenset()
        rule = self._grounds.broken_rule(said, numbers or self._near)
        if rule is not None and (numbers or (self._near and rule == "claim")):
            raise RefusedError(rule)
        if rule is not None:
            self._held = _Held(said, rule)
        else:
            shown += said
            self._near = numbers
        self.text += shown
        return shown

    def _check_language(self, fewest: int) -> None:
        enough = self._counted >= max(1, fewest)
        if (enough or not fewest) and self._own < _LEAST_SHARE * max(1, self._counted):
            raise RefusedError("language")
