"""Collections that lie in a storage elsewhere, known by URL."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cutis.errors import CutisError, InputError

Place = Path | str
"""Where a photo lies: a path, or a URL, which stays a str since a Path would shorten its `//`."""

State = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds; where both stay the photo does."""


def is_url(place: str) -> bool:
    """Whether a place is a URL and no path."""
    return "://" in place


def refuse_urls(places: Iterable[Place]) -> None:
    """Raises InputError for a URL, where no cluster is given."""
    for place in places:
        if is_url(str(place)):
            raise InputError(
                "photos of a storage are read with --cluster alone",
                where=str(place),
                fix="add --cluster local, or the address of a cluster",
            )


@dataclass(frozen=True)
class RemoteSource:
    """A collection in a storage, with a stand-in of it that readers read.

    The stand-in is a folder that holds the tables of the collection. In place of each photo and
    mask it has a file of its name and size without its content.
    """

    folder: Path  # absolute
    table: str | None  # the file in the folder that is the source, where it is not the folder
    url: str  # of the folder
    states: Mapping[str, State]  # of all files by URL, when they were listed
    read: Callable[[str], Path | bytes]  # URL to content; the path of nothing if that is gone

    @property
    def stand_in(self) -> Path:
        """What a reader is given as the source."""
        return self.folder if self.table is None else self.folder / self.table

    def locate(self, path: str) -> str | None:
        """The URL of a file of the stand-in; None for any other path, which the storage lacks."""
        below = Path(os.path.relpath(path, self.folder)).as_posix()
        url = f"{self.url}/{below}"
        return url if url in self.states else None

    def renamed(self, text: str) -> str:
        """A text, such as a path, with the URL wherever it names the stand-in."""
        return text.replace(str(self.folder), self.url)


@contextmanager
def renamed_errors(sources: Sequence[RemoteSource]) -> Iterator[None]:
    """Errors of Cutis that name a stand-in name the URL instead."""
    try:
        yield
    except CutisError as error:
        texts = [error.problem, error.where or "", error.expected or "", error.fix or ""]
        for source in sources:
            texts = [source.renamed(text) for text in texts]
        problem, where, expected, fix = texts
        # Of the base class, whatever the subclass takes.
        CutisError.__init__(
            error, problem, where=where or None, expected=expected or None, fix=fix or None
        )
        raise
