"""What a drug store says of a product, and what it may say."""

import re
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StrictBool

from cutis.errors import nearest
from cutis.records import Record
from cutis.taxonomy import diagnoses

LONGEST_NAME = 120
"""Characters."""
LONGEST_TEXT = 800
"""Characters of contraindications, and of a note."""
LONGEST_LINK = 500
MOST_DIAGNOSES = 50
"""Of one product."""

_LANGUAGES = ("en", "fa")
_JOINERS = "\u200c\u200d\u200e\u200f"  # that Persian needs: zero-width joiners and marks
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_PRINTED = re.compile(r"[!-~]+")  # ASCII without spaces and control characters


class Form(StrEnum):
    """What a product is; messages name it, `drug_store.form.VALUE`."""

    BANDAGE = "bandage"
    COMB = "comb"
    CREAM = "cream"
    GEL = "gel"
    LOTION = "lotion"
    OINTMENT = "ointment"
    PASTE = "paste"
    PATCH = "patch"
    POWDER = "powder"
    SHAMPOO = "shampoo"
    SOLUTION = "solution"
    SPRAY = "spray"
    SUNSCREEN = "sunscreen"
    TABLET = "tablet"
    OTHER = "other"


def _plain(text: str) -> str:
    """A text on one line; ValueError for signs that cannot be seen."""
    line = " ".join(text.split())
    if not line:
        raise ValueError("it is empty")
    hidden = [sign for sign in line if not sign.isprintable() and sign not in _JOINERS]
    if hidden:
        raise ValueError(f"it holds the hidden sign U+{ord(hidden[0]):04X}")
    return line


def _known(id: str) -> str:
    if id not in diagnoses():
        raise ValueError(" ".join(filter(None, [f"no diagnosis '{id}';", _near(id)])))
    return id


def _near(id: str) -> str:
    return nearest(id, diagnoses()) or "docs/taxonomy.md says where the ids stand"


def link_host(link: str) -> str:
    """The host that a link leads to.

    Raises ValueError for everything but a plain https address of a named host: other schemes,
    names and passwords, ports, numbers for hosts, letters that only look like others.
    """
    if len(link) > LONGEST_LINK:
        raise ValueError(f"it is longer than {LONGEST_LINK} characters")
    if not _PRINTED.fullmatch(link) or set(link) & set("\\\"'<>`"):
        raise ValueError("it holds a space, a quote or a sign that is not ASCII")
    parts = urlsplit(link)
    if parts.scheme != "https" or not link.lower().startswith("https://"):
        raise ValueError("it does not begin with https://")
    if not _HOST.fullmatch(parts.netloc.lower()):
        raise ValueError(f"'{parts.netloc}' is not the name of a host")
    return parts.netloc.lower()


def _checked_link(link: str) -> str:
    link_host(link)
    return link


def _both(texts: dict[str, str]) -> dict[str, str]:
    for language in _LANGUAGES:
        if language not in texts:
            raise ValueError(f"it lacks the language '{language}'")
    if len(texts) > len(_LANGUAGES):
        raise ValueError("it holds a language beside 'en' and 'fa'")
    return texts


_Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_plain)]
_Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_plain)]
_DiagnosisId = Annotated[str, AfterValidator(_known)]


class Product(Record):
    """One product; texts are keyed by language."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]
    name: Annotated[dict[str, _Name], AfterValidator(_both)]
    form: Form
    over_the_counter: StrictBool  # without a prescription
    diagnoses: Annotated[
        tuple[_DiagnosisId, ...], Field(min_length=1, max_length=MOST_DIAGNOSES)
    ]  # ids of the taxonomy that it is meant for
    contraindications: Annotated[dict[str, _Text], AfterValidator(_both)]
    link: Annotated[str, AfterValidator(_checked_link)] | None = None  # to a shop
    note: Annotated[dict[str, _Text], AfterValidator(_both)] | None = None
