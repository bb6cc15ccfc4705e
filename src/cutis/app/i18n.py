"""The app's words, numbers and dates in each language.

A language is one file of `messages/`: flat keys, texts with named placeholders. Direction, digits,
marks, calendar and months stand there too, so that a further language needs no code. See
docs/app-languages.md.
"""

import json
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from persiantools.jdatetime import JalaliDate

from cutis.errors import InputError

MESSAGES = Path(__file__).parent / "messages"
DEFAULT = "en"
"""The language of those who ask for none that there is."""

_ISOLATE, _END = "\u2068", "\u2069"  # of UAX 9, section 2.4.2
_LATIN = r"[A-Za-z](?:[A-Za-z0-9 .:/+-]*[A-Za-z0-9])?"
_PIECES = re.compile(rf"\{{\w+\}}|{_LATIN}")  # a placeholder, or a Latin name
_AGAINST = {"ltr": {"R", "AL"}, "rtl": {"L"}}  # bidirectional classes of the other direction

T = TypeVar("T")


@cache
def languages() -> tuple[str, ...]:
    """The codes of all languages, the default one first."""
    return tuple(sorted((path.stem for path in MESSAGES.glob("*.json")), key=_default_first))


@cache
def translator(language: str) -> "Translator":
    """The translator of a language; InputError for a code that `languages` does not list."""
    if language not in languages():
        raise InputError(f"the app does not speak '{language}'", expected=" or ".join(languages()))
    text = (MESSAGES / f"{language}.json").read_text(encoding="utf-8")
    return Translator(language, json.loads(text))


def preferred(accepted: str) -> str:
    """The language that an Accept-Language header asks for (RFC 9110, section 12.5.4).

    Dialects count as their language; of equal weights the first is taken. DEFAULT where none is
    known, or the header makes no sense.
    """
    asked = []
    for item in accepted.split(","):
        code, _, weight = item.lower().partition(";")
        found = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", weight) if weight else None
        share = float(found[1]) if found else float(not weight)
        asked.append((share, code.strip().split("-")[0]))
    share, code = max(
        (pair for pair in asked if pair[1] in languages()), key=_share, default=(0.0, DEFAULT)
    )
    return code if share else DEFAULT


class Translator:
    """One language's texts, with numbers and dates as it writes them.

    Attributes:
        language: its code.
        direction: "ltr" or "rtl", as in HTML's `dir`.
    """

    def __init__(self, language: str, messages: Mapping[str, str]) -> None:
        self.language = language
        self.direction = messages["format.direction"]
        self._signs = str.maketrans(
            {
                **dict(zip(string.digits, messages["format.digits"], strict=True)),
                ".": messages["format.decimal_mark"],
                ",": messages["format.thousands_mark"],
            }
        )
        self._texts = {
            key: text if key.startswith("format.") else self._isolate_names(text)
            for key, text in messages.items()
        }

    def text(self, key: str, **values: str | int) -> str:
        """The text of a key, its placeholders filled.

        A key with the plurals `.one` and `.other` is asked for without them, with a `count`. Whole
        numbers take the language's digits; write fractions with `number` or `percent` first.
        Texts in letters of the other direction are isolated, so that they do not disturb the
        order of the sentence. KeyError for an unknown key or a missing value.
        """
        if key not in self._texts and "count" in values:
            key = f"{key}.{'one' if values['count'] == 1 else 'other'}"
        filled = {
            name: self.number(value) if isinstance(value, int) else self._isolated(value)
            for name, value in values.items()
        }
        return self._texts[key].format(**filled)

    def term(self, group: str, value: str) -> str:
        """The word for a value of the program, such as `term("verdict", "cannot tell")`."""
        return self.text(f"{group}.{value.replace(' ', '_').replace('-', '_')}")

    def texts(self, group: str) -> dict[str, str]:
        """The texts of a group by whole key, placeholders unfilled: for a script to fill."""
        return {key: text for key, text in self._texts.items() if key.startswith(f"{group}.")}

    def pick(self, words: Mapping[str, T]) -> T:
        """From words by language, such as a diagnosis's name: this language's, else English."""
        return words.get(self.language, words[DEFAULT])

    def number(self, value: float, digits: int = 0) -> str:
        """A number with so many decimals, in the language's digits and marks."""
        return f"{value:,.{digits}f}".translate(self._signs)

    def percent(self, share: float, digits: int = 0) -> str:
        """A share of 1 as a percentage."""
        return self._texts["format.percent"].format(value=self.number(100 * share, digits))

    def length_mm(self, millimetres: float) -> str:
        """A length in millimetres, to a tenth."""
        return self._texts["unit.mm"].format(value=self.number(millimetres, 1))

    def date(self, moment: datetime) -> str:
        """The day in the language's calendar; the moment's own time zone counts."""
        day = self._day(moment)
        return self._texts["format.date"].format(
            day=self.number(day[2]),
            month=self._texts[f"month.{day[1]}"],
            year=str(day[0]).translate(self._signs),
        )

    def time(self, moment: datetime) -> str:
        """Hour and minute, of twenty-four."""
        hour, minute = (f"{n:02}".translate(self._signs) for n in (moment.hour, moment.minute))
        return self._texts["format.time"].format(hour=hour, minute=minute)

    def date_time(self, moment: datetime) -> str:
        """Day and time."""
        return self._texts["format.date_time"].format(
            date=self.date(moment), time=self.time(moment)
        )

    def listing(self, items: Sequence[str], word: Literal["and", "or"] = "and") -> str:
        """Texts one after another: "a, b and c"; empty without any."""
        *first, last = [self._isolated(item) for item in items] or [""]
        if not first:
            return last
        before = self._texts["format.list_comma"].join(first)
        return self._texts[f"format.list_{word}"].format(first=before, last=last)

    def _day(self, moment: datetime) -> tuple[int, int, int]:
        if self._texts["format.calendar"] == "jalali":
            there = JalaliDate(moment.date())  # type: ignore[no-untyped-call]
            return there.year, there.month, there.day
        return moment.year, moment.month, moment.day

    def _isolated(self, text: str) -> str:
        if any(unicodedata.bidirectional(sign) in _AGAINST[self.direction] for sign in text):
            return f"{_ISOLATE}{text}{_END}"
        return text

    def _isolate_names(self, text: str) -> str:
        if self.direction == "ltr":
            return text
        return _PIECES.sub(
            lambda found: found[0] if found[0].startswith("{") else self._isolated(found[0]), text
        )


def _default_first(code: str) -> tuple[bool, str]:
    return code != DEFAULT, code


def _share(pair: tuple[float, str]) -> float:
    return pair[0]
