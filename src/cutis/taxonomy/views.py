"""Views reduce the hierarchy to the classes of one task."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import Field

from cutis.errors import InputError, nearest
from cutis.taxonomy.files import DATA, Entry, parse, read_toml
from cutis.taxonomy.model import Malignancy
from cutis.taxonomy.tree import ancestors, diagnoses, diagnosis


class _ClassEntry(Entry):
    id: str
    en: str | None = None
    fa: str | None = None
    members: tuple[str, ...] | None = None
    malignancy: tuple[Malignancy, ...] = ()


class _ViewEntry(Entry):
    note: str
    excluded: tuple[str, ...] = ()
    classes: tuple[_ClassEntry, ...] = Field(min_length=1)


@dataclass(frozen=True)
class View:
    """The classes of one task, in the order of a model's outputs.

    `names` gives every class its name by language. `claims` says which class (or None: excluded)
    takes a diagnosis and all below it, the nearest claim winning; `by_malignancy` takes those that
    no claim reaches.
    """

    name: str
    note: str
    classes: tuple[str, ...]
    names: Mapping[str, Mapping[str, str]]
    claims: Mapping[str, str | None]
    by_malignancy: Mapping[Malignancy, str]

    def class_of(self, diagnosis_id: str) -> str | None:
        """The class a diagnosis falls in; None where the view has no place for it."""
        node = diagnosis(diagnosis_id)
        for id in (diagnosis_id, *ancestors(diagnosis_id)):
            if id in self.claims:
                return self.claims[id]
        return None if node.malignancy is None else self.by_malignancy.get(node.malignancy)


@cache
def view_names() -> tuple[str, ...]:
    """The views that come with Cutis."""
    return tuple(sorted(path.stem for path in (DATA / "views").glob("*.toml")))


def view(name_or_path: str | Path) -> View:
    """A view by its name, or from a user's TOML file (see docs/taxonomy.md for the keys).

    InputError for an unknown name or diagnosis, a class that stands twice, a diagnosis claimed by
    two classes, and classes that contain one another's diagnoses.
    """
    if str(name_or_path) in view_names():
        return _own_view(str(name_or_path))
    path = Path(name_or_path)
    if path.suffix.lower() == ".toml":
        return _read_view(path)
    raise InputError(
        f"no view is called '{name_or_path}'",
        expected="one of " + ", ".join(view_names()) + ", or the path of a TOML file",
        fix=nearest(str(name_or_path), view_names()) or None,
    )


@cache
def _own_view(name: str) -> View:
    return _read_view(DATA / "views" / f"{name}.toml")


def _read_view(path: Path) -> View:
    entry = parse(_ViewEntry, read_toml(path), str(path))
    claims: dict[str, str | None] = {}
    by_malignancy: dict[Malignancy, str] = {}
    names: dict[str, Mapping[str, str]] = {}
    for item in entry.classes:
        if item.id in names:
            raise InputError(f"the class '{item.id}' stands twice", where=path)
        names[item.id] = _class_names(item, path)
        for member in _members(item):
            _claim(claims, member, item.id, path)
        for grade in item.malignancy:
            if by_malignancy.setdefault(grade, item.id) != item.id:
                raise InputError(
                    f"'{grade}' goes to two classes, '{by_malignancy[grade]}' and '{item.id}'",
                    where=path,
                    fix="leave it in one of them",
                )
    for id in entry.excluded:
        _claim(claims, id, None, path)
    result = View(
        name=path.stem,
        note=entry.note,
        classes=tuple(names),
        names=names,
        claims=claims,
        by_malignancy=by_malignancy,
    )
    _check(result, path)
    return result


def _members(item: _ClassEntry) -> tuple[str, ...]:
    if item.members is not None:
        return item.members
    return () if item.malignancy else (item.id,)


def _class_names(item: _ClassEntry, path: Path) -> Mapping[str, str]:
    node = diagnoses().get(item.id)
    en = item.en or (node.name["en"] if node else None)
    fa = item.fa or (node.name["fa"] if node else None)
    if en is None or fa is None:
        raise InputError(
            f"the class '{item.id}' has no name",
            where=path,
            expected="en and fa, since its id is not that of a diagnosis",
            fix=nearest(item.id, diagnoses()) or 'add en = "…" and fa = "…"',
        )
    return {"en": en, "fa": fa}


def _claim(claims: dict[str, str | None], id: str, owner: str | None, path: Path) -> None:
    if id not in diagnoses():
        raise InputError(
            f"no diagnosis has the id '{id}'", where=path, fix=nearest(id, diagnoses()) or None
        )
    if id in claims:
        first, second = (f"'{name}'" if name else "excluded" for name in (claims[id], owner))
        raise InputError(
            f"'{id}' is mapped twice: to {first} and to {second}",
            where=path,
            fix="leave it in one place",
        )
    claims[id] = owner


def _check(result: View, path: Path) -> None:
    """Each class takes something, and none is called after a diagnosis that another takes."""
    filled = set(result.claims.values()) | set(result.by_malignancy.values())
    for name in result.classes:
        if name not in filled:
            raise InputError(
                f"the class '{name}' has no members", where=path, fix="add members or remove it"
            )
        if name in diagnoses() and result.class_of(name) not in (name, None):
            raise InputError(
                f"the classes are cyclic: '{name}' is the name of a class and a member of "
                f"'{result.class_of(name)}'",
                where=path,
                fix="rename the class, or move the diagnosis to it",
            )
