"""From the labels that collections use to diagnoses."""

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from cutis.errors import InputError, nearest
from cutis.taxonomy.files import DATA, read_text, read_toml
from cutis.taxonomy.tree import diagnoses

_ALIASES = DATA / "aliases.toml"
_ARABIC_TO_PERSIAN = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک", "ة": "ه", "ـ": None})
# British and American spellings fold together, on both sides of a comparison: naevus and nevus,
# seborrhoeic and seborrheic, haemangioma and hemangioma, tumour and tumor.
_SPELLINGS = ((re.compile("ae|oe"), "e"), (re.compile("tumour"), "tumor"))
_NUMBERING = re.compile(r"^\d+[\s.):_-]+(?=[^\W\d])")
_KIND_PREFIX = re.compile(r"^(ba|fu|pa|vi)\s*[-_]\s*", re.IGNORECASE)
_COUNT = re.compile(r"[\s_:-]+\(?\d+([.,]\d+)?\s*k?\)?\s*$", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"^(?P<outer>[^()]+)\((?P<inner>[^()]+)\)\s*$")


def normalise_label(label: str) -> str:
    """The form in which labels are compared: lower case, letters and digits only.

    Arabic ye and kaf become Persian, half-spaces, vowel marks and accents go, digits become 0-9,
    British spellings become American. Numbering and counts stay; `map_label` tries without them.
    """
    text = unicodedata.normalize("NFKD", label).casefold().translate(_ARABIC_TO_PERSIAN)
    kept = "".join(str(unicodedata.digit(letter, letter)) for letter in text if letter.isalnum())
    for pattern, replacement in _SPELLINGS:
        kept = pattern.sub(replacement, kept)
    return kept


def map_label(
    label: str, collection: str | None = None, extra: Mapping[str, str] | None = None
) -> str | None:
    """The diagnosis id that a collection's label means; None when it is not known.

    `collection` is the name of the reader's format, for labels that mean different things in
    different collections. `extra` is a user's map (see `load_label_map`) and goes first.
    """
    own = {normalise_label(key): id for key, id in (extra or {}).items()}
    special = _collection_aliases().get(collection or "", {})
    for table in (own, special, _general_aliases()):
        found = _look_up(label, table)
        if found is not None:
            return found
    return None


def nearest_labels(label: str, count: int = 3) -> list[str]:
    """Known labels, names and ids in the nearest spelling, best first; may be empty."""
    spellings = _spellings()
    forms = [normalise_label(form) for form in _plain_forms(label)]
    close: dict[str, None] = {}
    for form in reversed(forms):
        close.update(dict.fromkeys(difflib.get_close_matches(form, spellings, n=count, cutoff=0.6)))
    return [spellings[key] for key in close][:count]


def load_label_map(path: Path) -> dict[str, str]:
    """A user's mapping file: label as the collection writes it -> diagnosis id.

    TOML (`"label" = "diagnosis_id"` on each line) or a CSV of two columns, the first line being
    `label,diagnosis` or already a pair. InputError for a label that stands twice (in any spelling
    that `normalise_label` makes equal), for an unknown id and for a row of another width.
    """
    rows = _toml_rows(path) if path.suffix.lower() == ".toml" else _csv_rows(path)
    mapped: dict[str, str] = {}
    places: dict[str, str] = {}
    for place, label, id in rows:
        _check_row(path, place, label, id)
        key = normalise_label(label)
        if key in places:
            raise InputError(
                f"the label '{label}' is mapped twice",
                where=f"{path}, {place}, first at {places[key]}",
                expected="each label once; case and punctuation make no difference",
                fix="remove one of the two rows",
            )
        places[key] = place
        mapped[label] = id
    if not mapped:
        raise InputError("the mapping file is empty", where=path, expected="rows: label, diagnosis")
    return mapped


def _check_row(path: Path, place: str, label: str, id: str) -> None:
    if not normalise_label(label):
        raise InputError("a row has no label", where=f"{path}, {place}")
    if id not in diagnoses():
        raise InputError(
            f"the label '{label}' is mapped to '{id}', which is no diagnosis",
            where=f"{path}, {place}",
            expected="an id of the taxonomy, such as 'melanocytic_nevus'",
            fix=nearest(id, diagnoses())
            or "a heading must read label,diagnosis; 'undetermined' takes labels that say nothing",
        )


def _toml_rows(path: Path) -> list[tuple[str, str, str]]:
    rows = []
    for label, id in read_toml(path).items():
        if not isinstance(id, str):
            raise InputError(
                f"the label '{label}' has no diagnosis id",
                where=path,
                expected='lines of the form "label" = "diagnosis_id"',
            )
        rows.append((f'"{label}"', label.strip(), id.strip()))
    return rows


def _csv_rows(path: Path) -> list[tuple[str, str, str]]:
    rows = []
    reader = csv.reader(io.StringIO(read_text(path)))
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != 2:
            raise InputError(
                f"{len(cells)} columns",
                where=f"{path}, line {reader.line_num}",
                expected="two columns: label, diagnosis",
                fix="put a label that holds a comma in double quotes",
            )
        label, id = (cell.strip() for cell in cells)
        if (label.lower(), id.lower()) != ("label", "diagnosis"):
            rows.append((f"line {reader.line_num}", label, id))
    return rows


def _look_up(label: str, table: Mapping[str, str]) -> str | None:
    for form in _plain_forms(label):
        found = table.get(normalise_label(form))
        if found is not None:
            return found
    brackets = _IN_BRACKETS.match(_plain_forms(label)[-1])
    if brackets is None:
        return None
    # "Basal Cell Carcinoma (BCC)": dropped only where both mean the same, since a bracket can
    # also change the meaning, as in "melanoma (excluded)".
    outer = table.get(normalise_label(brackets["outer"]))
    inner = table.get(normalise_label(brackets["inner"]))
    return outer if outer == inner else None


def _plain_forms(label: str) -> list[str]:
    """The label as it stands, then without numbering and kind prefix, then without its count."""
    bare = _KIND_PREFIX.sub("", _NUMBERING.sub("", label.strip()))
    return list(dict.fromkeys([label.strip(), bare, _COUNT.sub("", bare)]))


@cache
def _collection_aliases() -> Mapping[str, Mapping[str, str]]:
    """Aliases by collection, keys normalised; the name "any" holds those of every collection."""
    return read_aliases(_ALIASES, diagnoses())


@cache
def _general_aliases() -> Mapping[str, str]:
    table = dict(_collection_aliases()["any"])
    for spelling, id in _own_spellings():
        table[normalise_label(spelling)] = id
    return table


@cache
def _spellings() -> Mapping[str, str]:
    """Normalised form -> how to show it."""
    shown = {}
    for groups in read_toml(_ALIASES).values():
        shown.update(
            {normalise_label(label): label for labels in groups.values() for label in labels}
        )
    shown.update({normalise_label(spelling): spelling for spelling, _ in _own_spellings()})
    return shown


def _own_spellings() -> Iterable[tuple[str, str]]:
    for node in diagnoses().values():
        for language, name in node.name.items():
            for spelling in (name, *node.synonyms[language]):
                yield spelling, node.id
        yield node.id, node.id


def read_aliases(path: Path, known: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Reads `[collection]` tables of `diagnosis_id = [labels]`; keys come back normalised."""
    tables: dict[str, dict[str, str]] = {}
    for collection, groups in read_toml(path).items():
        table = tables.setdefault(collection, {})
        for id, labels in groups.items():
            if id not in known:
                raise InputError(
                    f"aliases are given for the unknown diagnosis '{id}'",
                    where=f"{path}, [{collection}]",
                    fix=nearest(id, known) or None,
                )
            for label in labels:
                if table.setdefault(normalise_label(label), id) != id:
                    raise InputError(
                        f"the alias '{label}' is given to two diagnoses",
                        where=f"{path}, [{collection}]",
                        fix=f"remove it from '{id}' or from '{table[normalise_label(label)]}'",
                    )
    return tables
