"""Every schema that there has been comes to the newest one, with its rows."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import JSON, Boolean, Connection, DateTime, Float, Integer, MetaData, insert, select

from cutis.app.archive import migrations
from cutis.app.archive.archive import Archive
from cutis.app.archive.database import Database
from cutis.app.archive.schema import Base

VALUES = {
    Boolean: True,
    DateTime: datetime(2026, 3, 1, 12, tzinfo=UTC),
    Float: 0.25,
    Integer: 1,
    JSON: {"b": 1, "a": [2]},
}


def fill(connection: Connection) -> dict[str, dict[str, Any]]:
    """A row in every table; each refers to the row of another, since all keys are alike."""
    known = MetaData()
    known.reflect(connection)
    rows = {}
    for table in known.sorted_tables:
        if table.name == "alembic_version":
            continue
        row: dict[str, Any] = {}
        for column in table.columns:
            kinds = [value for kind, value in VALUES.items() if isinstance(column.type, kind)]
            row[column.name] = kinds[0] if kinds else "text"
        connection.execute(insert(table), row)
        rows[table.name] = row
    return rows


def test_models_and_migrations_agree(archive: Archive) -> None:
    with archive.database.engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("schema", migrations.versions())
def test_from_every_schema_with_rows(schema: str, tmp_path: Path, database_url: str | None) -> None:
    made: dict[str, dict[str, Any]] = {}

    def old(connection: Connection) -> None:
        migrations.upgrade(connection, schema)
        made.update(fill(connection))

    Database.open(tmp_path, database_url, prepare=old).close()
    assert len(made) >= 7
    database = Database.open(tmp_path, database_url)
    with database.engine.begin() as connection:
        assert migrations.version(connection) == migrations.versions()[-1]
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        for name, row in made.items():
            found = connection.execute(select(Base.metadata.tables[name])).mappings().one()
            assert {key: found[key] for key in row} == row
    database.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, database_url: str | None) -> None:
    def broken(connection: Connection) -> None:
        migrations.upgrade(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Database.open(tmp_path, database_url, prepare=broken)
    seen: list[str | None] = []

    def look(connection: Connection) -> None:
        seen.append(migrations.version(connection))

    Database.open(tmp_path, database_url, prepare=look).close()
    assert seen == [None]


def test_versions_are_in_order() -> None:
    assert migrations.versions()[:2] == ("0001", "0002")
