"""The steps from each schema to the next (Alembic), run by whoever opens an archive.

A step is a file of `versions/`, named by its number; once published it never changes.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_FOLDER = Path(__file__).parent


def versions() -> tuple[str, ...]:
    """All schemas that there have been, the oldest first."""
    steps = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(step.revision for step in steps)[::-1]


def version(connection: Connection) -> str | None:
    """The schema of a database; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def is_newer(connection: Connection) -> bool:
    """Whether the database has a schema that this Cutis does not know."""
    found = version(connection)
    return found is not None and found not in versions()


def upgrade(connection: Connection, to: str = "head") -> None:
    """Brings a database to a later schema within the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
