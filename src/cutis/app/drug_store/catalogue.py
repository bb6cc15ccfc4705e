"""A drug store that is a table: one CSV file, read when the app starts."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from cutis.app.drug_store.product import Form, Product
from cutis.errors import InputError, nearest
from cutis.taxonomy.files import read_text

LARGEST_FILE = 20_000_000
"""Bytes."""

_REQUIRED = (
    "id",
    "name_en",
    "name_fa",
    "form",
    "over_the_counter",
    "diagnoses",
    "contraindications_en",
    "contraindications_fa",
    "link",
)
_OPTIONAL = ("note_en", "note_fa")
COLUMNS = (*_REQUIRED, *_OPTIONAL)
"""Of the file, in any order."""

_SEPARATORS = ",;\t"  # Excel takes the one of the computer's region
_ANSWERS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_EXPECTED = {
    "id": "letters, digits, dots, dashes and underscores, at most 60",
    "form": ", ".join(Form),
    "over_the_counter": "yes or no",
    "diagnoses": "ids of the taxonomy with a space between, such as 'wart'",
    "link": "https://shop.example/product, as the browser's address bar copies it",
}


class Catalogue:
    """The products of a file, by diagnosis."""

    host = None  # nothing is asked of anybody

    def __init__(self, products: tuple[Product, ...]) -> None:
        self.listing = products

    async def products(self, diagnosis: str, language: str) -> tuple[Product, ...]:
        """Those for a diagnosis, in the file's order; the language makes no difference."""
        return tuple(product for product in self.listing if diagnosis in product.diagnoses)

    @classmethod
    def read(cls, path: Path) -> "Catalogue":
        """Reads and checks a file of COLUMNS; docs/drug-store.md describes them.

        Commas, semicolons and tabs separate, whichever the heading has. Raises InputError with
        the row's number as a spreadsheet counts it, the heading being row 1.
        """
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            raise InputError(
                "the catalogue is too large",
                where=path,
                expected=f"at most {LARGEST_FILE // 1_000_000} MB",
            )
        rows = _rows(path)
        heading = _heading(path, next(rows, (1, []))[1])
        rows_by_id: dict[str, int] = {}
        products = []
        for number, cells in rows:
            product = _product(f"{path}, row {number}", heading, cells)
            if product is None:
                continue
            if product.id in rows_by_id:
                raise InputError(
                    f"the product '{product.id}' stands twice",
                    where=f"{path}, row {number}, first in row {rows_by_id[product.id]}",
                    fix="give each product an id of its own",
                )
            rows_by_id[product.id] = number
            products.append(product)
        if not products:
            raise InputError(
                "the catalogue holds no products", where=path, expected="a row for each product"
            )
        return cls(tuple(products))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row's number and cells."""
    text = read_text(path)
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    number = 0
    while True:
        number += 1
        try:
            yield number, [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"not a table: {error}",
                where=f"{path}, row {number}",
                expected="a quote that opens a cell is closed at its end, and doubled inside",
            ) from error


def _heading(path: Path, cells: list[str]) -> list[str]:
    """The names of the columns, empty ones at the end left out."""
    names = [cell.lower() for cell in cells]
    while names and not names[-1]:
        names.pop()
    where = f"{path}, row 1"
    for name in _REQUIRED:
        if name not in names:
            raise InputError(
                f"the column '{name}' is missing",
                where=where,
                expected=", ".join(_REQUIRED),
                fix="write the names of the columns in row 1, as in docs/examples/drug-store.csv",
            )
    for name in names:
        if name not in COLUMNS:
            raise InputError(
                f"there is no column '{name}'",
                where=where,
                expected=", ".join(COLUMNS),
                fix=nearest(name, COLUMNS) or "remove the column",
            )
        if names.count(name) > 1:
            raise InputError(f"the column '{name}' stands twice", where=where)
    return names


def _product(where: str, heading: list[str], cells: list[str]) -> Product | None:
    """One row; None for an empty one."""
    if not any(cells):
        return None
    if len(cells) < len(heading) or any(cells[len(heading) :]):
        raise InputError(
            f"{len(cells)} cells",
            where=where,
            expected=f"{len(heading)}, as in the heading",
            fix="put a text that holds the separator in double quotes",
        )
    row = dict(zip(heading, cells, strict=False))
    answer = row["over_the_counter"].lower()
    if answer not in _ANSWERS:
        raise _wrong("over_the_counter", f"'{answer[:40]}' is neither yes nor no", where)
    given = {
        "id": row["id"],
        "name": _by_language(row, "name"),
        "form": row["form"].lower(),
        "over_the_counter": _ANSWERS[answer],
        "diagnoses": tuple(filter(None, re.split(r"[\s|,;]+", row["diagnoses"]))),
        "contraindications": _by_language(row, "contraindications"),
        "link": row["link"] or None,
        "note": _by_language(row, "note") or None,
    }
    try:
        return Product.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        column = "_".join(str(step) for step in first["loc"] if isinstance(step, str))
        raise _wrong(column, first["msg"].removeprefix("Value error, "), where) from error


def _by_language(row: dict[str, str], name: str) -> dict[str, str]:
    """A text's columns; an optional one that is empty is left out."""
    columns = {language: f"{name}_{language}" for language in ("en", "fa")}
    return {
        language: row[column]
        for language, column in columns.items()
        if column in row and (row[column] or column in _REQUIRED)
    }


def _wrong(column: str, problem: str, where: str) -> InputError:
    return InputError(f"{column}: {problem}", where=where, expected=_EXPECTED.get(column))
