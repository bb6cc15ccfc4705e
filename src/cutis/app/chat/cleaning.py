"""What of an answer is shown at all: without links, marks, and signs that nobody sees."""

import re
import unicodedata
from collections.abc import Iterable

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
_MARKS = frozenset("<>*_`~#|\\")  # of HTML and Markdown, also in their wide forms
_KEPT = "\u200c\n"  # the half-space of Persian, and the line's end


def cleaned(sentence: str, given: int) -> str:
    """A sentence as it is checked and shown; of its citations those of 1 to `given`, as [n]."""
    spaced = re.sub(r"[^\S\n]", " ", sentence)
    shown = "".join(sign for sign in spaced if sign in _KEPT or _is_shown(sign))
    for pattern, kept in _LINKS:
        shown = pattern.sub(kept, shown)
    return _CITATION.sub(lambda found: _as_cited(_numbers(found[0]), given), shown)


def cited(text: str) -> frozenset[int]:
    """The numbers that a cleaned text cites."""
    return frozenset(_numbers("".join(re.findall(r"\[\d+\]", text))))


def without_citations(text: str) -> str:
    """A cleaned text without its citations."""
    return re.sub(r" ?\[\d+\]", "", text)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _as_cited(numbers: Iterable[int], given: int) -> str:
    return "".join(f"[{number}]" for number in numbers if 1 <= number <= given)


def _is_shown(sign: str) -> bool:
    plain = unicodedata.normalize("NFKC", sign)
    hidden = unicodedata.category(sign) in ("Cf", "Cc", "Cs", "Co")
    return not hidden and not _MARKS.intersection(plain)
