"""What is known about a diagnosis."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Malignancy(StrEnum):
    """Benign means "not a cancer", so it also holds for inflammation and infection."""

    BENIGN = "benign"
    MALIGNANT = "malignant"
    PRECANCER = "precancer"
    """Precancer or carcinoma in situ."""


class Urgency(StrEnum):
    """How soon a doctor should see it, as a rule."""

    EMERGENCY = "emergency"
    """The same day."""
    WEEKS = "weeks"
    """Within about two weeks."""
    ROUTINE = "routine"
    """At an ordinary appointment."""
    SELF_CARE = "self-care"
    """Only if it troubles, changes or does not heal."""


@dataclass(frozen=True)
class DiagnosisText:
    """Two or three plain sentences a field, in one language; not reviewed by a clinician."""

    what: str
    looks: str
    course: str
    helps: str
    see_doctor: str


@dataclass(frozen=True)
class Link:
    """A page of somebody else about a diagnosis; `title` is keyed by language."""

    title: Mapping[str, str]
    url: str
    language: str
    """Of the page."""
    publisher: str
    """A table of publishers.toml."""


@dataclass(frozen=True)
class Diagnosis:
    """One node of the hierarchy.

    `name`, `synonyms` and `text` are keyed by language ("en", "fa"); `text` may be empty.
    `malignancy` and `urgency` are inherited from the parent where the data file does not set them,
    and None where they differ below this node or do not apply. `icd11` is None where not sure.
    `links` are those of the nearest node with any, after one to look up its own ICD-11 code.
    """

    id: str
    parent: str | None
    name: Mapping[str, str]
    synonyms: Mapping[str, tuple[str, ...]]
    malignancy: Malignancy | None
    urgency: Urgency | None
    icd11: str | None
    text: Mapping[str, DiagnosisText]
    links: tuple[Link, ...] = ()
