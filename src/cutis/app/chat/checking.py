"""An answer checked while it comes: nothing is shown that has not passed the rules."""

import re
import unicodedata

from cutis.app.chat.folding import script_share
from cutis.app.chat.rules import broken_rule

_END = re.compile(r"[.!?؟…][\"'»”)\]*_]*(?=\s)|\n")
_LONGEST = 600  # letters after which a sentence without an end is taken as one
_CITATION = re.compile(r"\[\s*\d+(?:\s*[,،;–-]\s*\d+)*\s*\]")
_LINKS = (
    (re.compile(r"!?\[(\d+)\]\([^()]*\)"), r"[\1]"),  # Markdown's
    (re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)"), r"\1"),  # likewise; the words stay
    (re.compile(r"(?i)\b(?:https?|ftp|file|data|javascript|mailto|tel)\s?:\s?/{0,2}[^\s\]]+"), ""),
    (re.compile(r"(?i)\bwww\.[^\s\]]+"), ""),
    (
        re.compile(
            r"(?i)\b(?:[\w-]+\.)+(?:com|org|net|info|biz|ir|io|co|eu|shop|store|online|site|app)\b"
            r"(?:/[^\s\]]*)?"
        ),
        "",
    ),
)
_BETWEEN = " .:-•*\n"  # what parts a sentence from the next, and items of a list
_FEWEST_LETTERS = 20  # for which a script's share says something
_LEAST_SHARE = 0.6  # of the language's own letters; drugs and names may be foreign


class RefusedError(Exception):
    """An answer that may not be shown; the text names the rule."""


class Checker:
    """Takes an answer's pieces in and lets whole sentences out.

    Args:
        language: that the answer must be written in.
        given: passages that it may cite, numbered from 1.
    """

    def __init__(self, language: str, given: int) -> None:
        self.text = ""  # what was let out
        self.letters = 0  # that have come in
        self._language = language
        self._given = given
        self._rest = ""
        self._held = ""  # until the first citation shows what it stands on
        self._before = ""

    @property
    def cited(self) -> tuple[int, ...]:
        """The passages that the answer cites, in order."""
        return tuple(sorted({int(number) for number in re.findall(r"\[(\d+)\]", self.text)}))

    def feed(self, piece: str) -> str:
        """What may be shown after a further piece, perhaps nothing yet; raises RefusedError."""
        self.letters += len(piece)
        self._rest += piece
        shown = ""
        while (end := self._sentence_end()) is not None:
            sentence, self._rest = self._rest[:end], self._rest[end:]
            shown += self._passed(sentence)
        return shown

    def finish(self, *, whole: bool) -> str:
        """What may be shown besides at the end; raises RefusedError.

        Args:
            whole: False where the answer was cut: then its last words make no sentence.
        """
        shown = self._passed(self._rest) if whole else ""
        if not self.cited:
            raise RefusedError("citation")
        self._check_language(self.text, fewest=0)
        return shown

    def _sentence_end(self) -> int | None:
        found = _END.search(self._rest)
        if found is not None:
            return found.end()
        return _LONGEST if len(self._rest) > _LONGEST else None

    def _passed(self, sentence: str) -> str:
        said = self._cited(_without_links(sentence))
        # A dose may be parted: "Take 5." "mg".
        joined = f"{self._before.strip(_BETWEEN)} {said.strip(_BETWEEN)}"
        rule = broken_rule(said) or broken_rule(joined)
        if rule is not None:
            raise RefusedError(rule)
        if said.strip():
            self._before = said
        self._held += said
        self._check_language(self.text + self._held, fewest=_FEWEST_LETTERS)
        if not self.text and re.search(r"\[\d+\]", self._held) is None:
            return ""
        shown, self._held = self._held, ""
        self.text += shown
        return shown

    def _cited(self, sentence: str) -> str:
        """The sentence with the citations that mean a passage, and without all others."""

        def known(found: re.Match[str]) -> str:
            numbers = [int(number) for number in re.findall(r"\d+", found[0])]
            return "".join(f"[{number}]" for number in numbers if 1 <= number <= self._given)

        return _CITATION.sub(known, sentence)

    def _check_language(self, text: str, fewest: int) -> None:
        share = script_share(text, self._language)
        letters = sum(sign.isalpha() for sign in text)
        if letters >= fewest and (share is None or share < _LEAST_SHARE):
            raise RefusedError("language")


def _without_links(sentence: str) -> str:
    visible = "".join(s for s in sentence if s in "\u200c\u200d\n" or _is_visible(s))
    for pattern, kept in _LINKS:
        visible = pattern.sub(kept, visible)
    return visible


def _is_visible(sign: str) -> bool:
    return unicodedata.category(sign) not in ("Cf", "Cc", "Cs", "Co")
