"""The error family: every message says what is wrong, where, what was expected and what to do."""

import copyreg
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class CutisError(Exception):
    """Base of all errors that Cutis raises on purpose; `exit_code` is the command line's."""

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        where: str | Path | None = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem = problem
        self.where = str(where) if where is not None else None
        self.expected = expected
        self.fix = fix
        named = (("where", self.where), ("expected", expected), ("to do", fix))
        lines = [problem, *(f"  {name}: {text}" for name, text in named if text)]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is, whatever the subclass takes: errors come from other processes too.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class InputError(CutisError):
    """Wrong use or bad input: a file, a row, an option, a value."""


class PhotoError(InputError):
    """One photo cannot be read; long work records it and goes on."""


class RecipeError(InputError):
    """A recipe that is misspelt, contradicts itself or does not fit the data."""


class MissingDependencyError(InputError):
    """An optional library is needed for this and is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"{library} is not installed", fix=f"pip install 'cutis[{extra}]' and run this again"
        )


class CheckFailedError(CutisError):
    """A check that Cutis was asked to make came out negative (a leak, a failed parity)."""

    exit_code = 1


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """The closest spellings as a phrase for a message, e.g. ``did you mean 'melanoma'?``.

    Empty when nothing is close. Case is ignored in the comparison.
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=count, cutoff=0.6)
    if not close:
        return ""
    return "did you mean " + " or ".join(f"'{by_lower[name]}'" for name in close) + "?"
