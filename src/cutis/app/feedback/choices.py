"""The diagnoses that a clinician chooses from, in words."""

from collections.abc import Sequence
from typing import NamedTuple

from cutis.app.feedback.agreement import OTHER
from cutis.app.i18n import Translator
from cutis.taxonomy import ancestors, diagnoses, view, view_names


class Choice(NamedTuple):
    """A diagnosis of the list."""

    id: str
    name: str
    also: str  # other names, to search by


class Group(NamedTuple):
    """Diagnoses under one heading."""

    name: str
    choices: tuple[Choice, ...]


def make_groups(own: Sequence[str], words: Translator, *, ordered: bool) -> tuple[Group, ...]:
    """All diagnoses of the taxonomy: the model's first, then the others by kind and name.

    Args:
        own: the model's, the most probable first.
        ordered: whether they may stand in that order, which tells what the model says.
    """
    known = diagnoses()
    first = [make_choice(id, words) for id in own if id in known]
    if not ordered:
        first.sort(key=_by_name)
    kinds: dict[str, list[Choice]] = {}
    for id in known:
        if id not in own:
            kinds.setdefault((id, *ancestors(id))[-1], []).append(make_choice(id, words))
    rest = (
        Group(name_of(kind, words), tuple(sorted(found, key=_by_name)))
        for kind, found in kinds.items()
    )
    return Group(words.text("opinion.choices.own"), tuple(first)), *rest


def make_choice(id: str, words: Translator) -> Choice:
    """A diagnosis of the taxonomy as it stands in the list."""
    found = diagnoses()[id]
    return Choice(id, words.pick(found.name), " ".join(found.synonyms.get(words.language, ())))


def name_of(id: str, words: Translator) -> str:
    """A diagnosis or a class of a view in words; an id that nobody knows stays as it is."""
    if id == OTHER:
        return words.text("agreement.class.other")
    if id in diagnoses():
        return words.pick(diagnoses()[id].name)
    views = (view(name).names for name in view_names())
    return next((words.pick(names[id]) for names in views if id in names), id)


def _by_name(choice: Choice) -> str:
    return choice.name.casefold()
