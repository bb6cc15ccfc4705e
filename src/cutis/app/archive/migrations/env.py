"""What Alembic runs to migrate: all steps within the transaction of the given connection."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
