"""From the labels of the sources to diagnoses, all unknown labels reported at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cutis import taxonomy
from cutis.data.sources import SourceTable
from cutis.errors import InputError

UNDETERMINED = "undetermined"
"""The taxonomy's place for labels that say nothing; in a catalog it is "not known"."""


@dataclass(frozen=True)
class Labels:
    """How one source's labels were read: label -> diagnosis, and what a person should know."""

    mapped: Mapping[str, str]
    notes: tuple[str, ...] = ()


def map_labels(tables: Sequence[SourceTable], extra: Mapping[str, str]) -> list[Labels]:
    """Maps every label of every source through the user's map, then through the taxonomy.

    Raises InputError that names all unknown labels of all sources, with the nearest known ones and
    the lines that a mapping file needs.
    """
    unknown: dict[str, int] = {}
    result = []
    for table in tables:
        counts = table.rows["source_label"].value_counts()
        found = {label: taxonomy.map_label(label, table.format, extra) for label in counts.index}
        unknown.update({label: int(counts[label]) for label, id in found.items() if id is None})
        nothing = sum(int(counts[label]) for label, id in found.items() if id == UNDETERMINED)
        notes = (f"{nothing} photos have a label that names no diagnosis",) if nothing else ()
        known = {label: id for label, id in sorted(found.items()) if id not in (None, UNDETERMINED)}
        result.append(Labels({label: id for label, id in known.items() if id is not None}, notes))
    if unknown:
        raise _unknown_labels(unknown, tables)
    return result


def _unknown_labels(unknown: Mapping[str, int], tables: Sequence[SourceTable]) -> InputError:
    hints = []
    lines = []
    for label, count in unknown.items():
        close = taxonomy.nearest_labels(label)
        named = ", ".join(f"'{name}'" for name in close)
        near = f"nearest: {named}" if close else "nothing is near"
        hints.append(f"\n    '{label}' ({count} photos; {near})")
        guess = taxonomy.map_label(close[0]) if close else None
        lines.append(f"\n    {_csv_cell(label)},{guess or 'DIAGNOSIS'}")
    noun = "label is" if len(unknown) == 1 else "labels are"
    return InputError(
        f"{len(unknown)} {noun} not known:" + "".join(hints),
        where=", ".join(str(table.root) for table in tables),
        expected="labels that the taxonomy knows, or a mapping file that explains them",
        fix="check the diagnosis in these lines, write them to a file such as labels.csv, and run "
        "this again with --map labels.csv" + "".join(lines),
    )


def _csv_cell(text: str) -> str:
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if set(text) & set(',"\n') else text
