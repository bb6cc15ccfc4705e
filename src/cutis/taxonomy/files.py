"""Reading and checking the TOML files, the package's own and a user's."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cutis.errors import InputError

DATA = Path(__file__).parent / "data"


class Entry(BaseModel):
    """Base of the file schemas: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=Entry)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark, any line ends."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            "the file cannot be read", where=path, fix="check the path and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8 text (byte {error.start})", where=path, fix="save the file as UTF-8"
        ) from error


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {error}", where=path) from error


def parse(schema: type[T], values: object, where: str) -> T:
    """Checks one table against its schema; the error names the first wrong key."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{key}: {first['msg']}" if key else first["msg"],
            where=where,
            expected="the keys " + ", ".join(schema.model_fields),
        ) from error


def read_tables(schema: type[T], paths: Iterable[Path]) -> dict[str, T]:
    """All top-level tables of several files, each checked; a name may stand in one file only."""
    found: dict[str, T] = {}
    for path in paths:
        for name, values in read_toml(path).items():
            if name in found:
                raise InputError(f"'{name}' is defined twice", where=path, fix="remove one of them")
            found[name] = parse(schema, values, f"{path}, [{name}]")
    return found
