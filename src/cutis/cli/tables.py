"""Small tables on the terminal."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints rows under headings; columns of numbers are aligned to the right."""
    rows = [list(row) for row in rows]
    if not rows:
        return
    table = Table(box=SIMPLE_HEAD)
    for position, heading in enumerate(headings):
        numbers = all(isinstance(row[position], int | float) for row in rows)
        table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    Console().print(table)
