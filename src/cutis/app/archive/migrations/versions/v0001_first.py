"""Accounts, sessions, failed log-ins, cases, photos, opinions and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)
_SHA256 = sa.String(64)


def upgrade() -> None:
    """From an empty database."""
    _accounts()
    _cases()
    _opinions()
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("account_id", sa.Integer()),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_audit_account_id"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_account_id", "audit", ["account_id"])


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", _SHA256, nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("last_used", _TIME, nullable=False),
        sa.Column("expires", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_sessions"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_sessions_account_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_sessions_account_id", "sessions", ["account_id"])
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
    )
    op.create_index("ix_attempts_key_at", "attempts", ["key", "at"])


def _cases() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("saved", _TIME, nullable=False),
        sa.Column("reporter_id", sa.Integer(), nullable=False),
        sa.Column("patient", sa.String(64)),
        sa.Column("may_train", sa.Boolean(), nullable=False),
        sa.Column("age", sa.SmallInteger()),
        sa.Column("sex", sa.String(16)),
        sa.Column("site", sa.String(32)),
        sa.Column("symptoms", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("judgement", sa.JSON(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("urgency", sa.SmallInteger(), nullable=False),
        sa.Column("uncertainty", sa.Double(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
        sa.ForeignKeyConstraint(["reporter_id"], ["accounts.id"], name="fk_cases_reporter_id"),
    )
    op.create_index("ix_cases_saved", "cases", ["saved"])
    op.create_index("ix_cases_reporter_id", "cases", ["reporter_id"])
    op.create_index("ix_cases_urgency_uncertainty", "cases", ["urgency", "uncertainty"])
    op.create_table(
        "photos",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", _SHA256, nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "number", name="pk_photos"),
        sa.ForeignKeyConstraint(
            ["case_id"], ["cases.id"], name="fk_photos_case_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_photos_sha256", "photos", ["sha256"])


def _opinions() -> None:
    op.create_table(
        "opinions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("diagnosis", sa.String(64), nullable=False),
        sa.Column("confirmed_by", sa.String(32), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("independent", sa.Boolean(), nullable=False),
        sa.Column("replaces", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_opinions"),
        sa.ForeignKeyConstraint(
            ["case_id"], ["cases.id"], name="fk_opinions_case_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_opinions_account_id"),
        sa.ForeignKeyConstraint(
            ["replaces"], ["opinions.id"], name="fk_opinions_replaces", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_opinions_case_id", "opinions", ["case_id"])
    op.create_index("ix_opinions_account_id", "opinions", ["account_id"])
