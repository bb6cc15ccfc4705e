"""The hierarchy of diagnoses, read from the package's data files."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from pydantic import Field

from cutis.errors import InputError, nearest
from cutis.taxonomy.files import DATA, Entry, read_tables
from cutis.taxonomy.links import Publisher, build_links, load_pages, load_publishers
from cutis.taxonomy.model import Diagnosis, DiagnosisText, Malignancy, Urgency


class _Node(Entry):
    parent: str | None = None
    en: tuple[str, ...] = Field(min_length=1)
    fa: tuple[str, ...] = Field(min_length=1)
    malignancy: Malignancy | None = None
    urgency: Urgency | None = None
    icd11: str | None = None


class _Text(Entry):
    what: str
    looks: str
    course: str
    helps: str
    see_doctor: str


class _Texts(Entry):
    en: _Text
    fa: _Text


@cache
def diagnoses() -> Mapping[str, Diagnosis]:
    """All diagnoses by id, leaves and inner nodes, in the order of the data files."""
    node_files = sorted((DATA / "diagnoses").glob("*.toml"))
    text_files = sorted((DATA / "texts").glob("*.toml"))
    return MappingProxyType(load_diagnoses(node_files, text_files, [DATA / "links.toml"]))


def diagnosis(id: str) -> Diagnosis:
    """One diagnosis; InputError with the nearest ids when there is none of this id."""
    known = diagnoses()
    if id not in known:
        raise InputError(
            f"no diagnosis has the id '{id}'",
            expected="an id of the taxonomy, such as 'melanocytic_nevus'",
            fix=nearest(id, known) or None,
        )
    return known[id]


def ancestors(id: str) -> tuple[str, ...]:
    """The nodes above a diagnosis, the nearest first; empty at the top."""
    above: list[str] = []
    parent = diagnosis(id).parent
    while parent is not None:
        above.append(parent)
        parent = diagnosis(parent).parent
    return tuple(above)


def children(id: str) -> tuple[str, ...]:
    """The nodes directly below a diagnosis; empty for a leaf."""
    diagnosis(id)
    return _children().get(id, ())


def is_within(id: str, ancestor: str) -> bool:
    """Whether a diagnosis is the given one or stands below it."""
    diagnosis(ancestor)
    return id == ancestor or ancestor in ancestors(id)


@cache
def _children() -> Mapping[str, tuple[str, ...]]:
    below: dict[str, tuple[str, ...]] = {}
    for node in diagnoses().values():
        if node.parent is not None:
            below[node.parent] = (*below.get(node.parent, ()), node.id)
    return below


def load_diagnoses(
    node_files: Iterable[Path], text_files: Iterable[Path], link_files: Iterable[Path] = ()
) -> dict[str, Diagnosis]:
    """Reads a hierarchy; InputError for an unknown parent, a cycle, a text or link without a node.

    Links are checked as `load_pages` says.
    """
    nodes = read_tables(_Node, node_files)
    texts = read_tables(_Texts, text_files)
    for id in texts:
        if id not in nodes:
            raise InputError(
                f"a text is given for the unknown diagnosis '{id}'", fix=nearest(id, nodes) or None
            )
    publishers = load_publishers()
    pages = load_pages(link_files, publishers, nodes)
    return {id: _build(id, nodes, texts.get(id), pages, publishers) for id in nodes}


def _build(
    id: str,
    nodes: Mapping[str, _Node],
    texts: _Texts | None,
    pages: Mapping[str, Mapping[str, str]],
    publishers: Mapping[str, Publisher],
) -> Diagnosis:
    line = _line_up(id, nodes)
    node = nodes[id]
    return Diagnosis(
        id=id,
        parent=node.parent,
        name=_names(node),
        synonyms={"en": node.en[1:], "fa": node.fa[1:]},
        malignancy=next((above.malignancy for above in line.values() if above.malignancy), None),
        urgency=next((above.urgency for above in line.values() if above.urgency), None),
        icd11=node.icd11,
        text={} if texts is None else _by_language(texts),
        links=build_links(
            [(above, _names(its)) for above, its in line.items()], node.icd11, pages, publishers
        ),
    )


def _names(node: _Node) -> dict[str, str]:
    return {"en": node.en[0], "fa": node.fa[0]}


def _by_language(texts: _Texts) -> dict[str, DiagnosisText]:
    return {
        "en": DiagnosisText(**texts.en.model_dump()),
        "fa": DiagnosisText(**texts.fa.model_dump()),
    }


def _line_up(id: str, nodes: Mapping[str, _Node]) -> dict[str, _Node]:
    """The node and all above it by id, the nearest first; checked."""
    line = {id: nodes[id]}
    last = id
    while (parent := nodes[last].parent) is not None:
        if parent not in nodes:
            raise InputError(
                f"'{last}' names the unknown parent '{parent}'",
                fix=nearest(parent, nodes) or None,
            )
        if parent in line:
            raise InputError(
                f"the hierarchy is cyclic: {' -> '.join([*line, parent])}",
                fix="give one of these another parent",
            )
        line[parent] = nodes[parent]
        last = parent
    return line
