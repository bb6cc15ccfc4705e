"""Pages of others about a diagnosis: which publishers, and which of their addresses.

An address is shown for a person to open; the program itself opens none.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from cutis.errors import InputError, nearest
from cutis.taxonomy.files import DATA, Entry, read_tables, read_toml
from cutis.taxonomy.model import Link

_BY_CODE = "who"  # the publisher whose index is searched by ICD-11 code
_ADDRESS = re.compile(r"https://(?P<host>[a-z0-9.-]+)(?:/[A-Za-z0-9._/-]*)?")


class Publisher(Entry):
    """A table of publishers.toml: names and index in both languages."""

    host: str
    language: str  # of its pages
    en: str
    fa: str
    index: str | None = None
    index_en: str = ""
    index_fa: str = ""

    def link(self, id: str, url: str, names: Mapping[str, str], code: str = "") -> Link:
        """A page of this publisher on a diagnosis of these names, by language."""
        if url == self.index:
            names = {"en": self.index_en.format(code=code), "fa": self.index_fa.format(code=code)}
        title = {"en": f"{self.en}: {names['en']}", "fa": f"{self.fa}: {names['fa']}"}
        return Link(title=title, url=url, language=self.language, publisher=id)


def load_publishers(path: Path = DATA / "publishers.toml") -> dict[str, Publisher]:
    """The publishers by id; InputError for an index that is not on the publisher's host."""
    publishers = read_tables(Publisher, [path])
    for id, publisher in publishers.items():
        if publisher.index is not None:
            _check(publisher.index, publisher, f"{path}, [{id}]")
    return publishers


def load_pages(
    paths: Iterable[Path], publishers: Mapping[str, Publisher], known: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Addresses by diagnosis and publisher.

    Raises InputError for an unknown diagnosis or publisher, and an address that is not a plain
    https one on the publisher's own host.
    """
    ids, found = list(known), dict[str, dict[str, str]]()
    for path in paths:
        for id, pages in read_toml(path).items():
            where = f"{path}, [{id}]"
            if id not in ids:
                raise InputError(
                    f"pages are given for the unknown diagnosis '{id}'",
                    where=where,
                    fix=nearest(id, ids) or None,
                )
            if not isinstance(pages, dict):
                raise InputError("no table", where=where, expected='publisher = "https://…"')
            for name, url in pages.items():
                if name not in publishers:
                    raise InputError(
                        f"no publisher is called '{name}'",
                        where=where,
                        expected=", ".join(publishers),
                        fix="add it to publishers.toml",
                    )
                _check(url, publishers[name], where)
            found[id] = pages
    return found


def build_links(
    line: Iterable[tuple[str, Mapping[str, str]]],
    code: str | None,
    pages: Mapping[str, Mapping[str, str]],
    publishers: Mapping[str, Publisher],
) -> tuple[Link, ...]:
    """The links of one diagnosis.

    Args:
        line: id and names of the diagnosis and of all above it, the nearest first.
        code: its ICD-11 code.
    """
    links = []
    coded = publishers.get(_BY_CODE)
    if code is not None and coded is not None and coded.index is not None:
        links.append(coded.link(_BY_CODE, coded.index, {}, code))
    id, names = next(((id, names) for id, names in line if id in pages), ("", {}))
    links += [publishers[name].link(name, url, names) for name, url in pages.get(id, {}).items()]
    return tuple(links)


def _check(url: object, publisher: Publisher, where: str) -> None:
    found = _ADDRESS.fullmatch(url) if isinstance(url, str) else None
    if found is None or found["host"] != publisher.host:
        raise InputError(
            f"the address {url!r} is refused",
            where=where,
            expected=f"https://{publisher.host}/…, without name, port, query or fragment",
        )
