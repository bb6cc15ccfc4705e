"""The tables of an archive, the same on SQLite and PostgreSQL.

What changes here needs a migration in `migrations/`; a test holds the two against each other.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

LONGEST_PATIENT = 64
"""Characters of the clinic's own code of a patient."""

_SHA256 = 64  # hexadecimal digits
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, given back in UTC; SQLite alone would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time in the archive needs its zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """In UTC, whatever zone the server is set to."""
        if value is None:
            return None
        aware: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        return aware.astimezone(UTC)


class Base(DeclarativeBase):
    """Of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads it as it is
        datetime: UtcDateTime(),
        # JSON, not JSONB: probabilities keep their order
        dict[str, Any]: JSON(),
        list[str]: JSON(),
    }


class AccountRow(Base):
    """A person who may log in; never deleted, since opinions and the audit log name it."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)  # lower case
    role: Mapped[str] = mapped_column(String(16))  # of Role
    password_hash: Mapped[str] = mapped_column(Text)
    active: Mapped[bool]
    created: Mapped[datetime]
    must_change_password: Mapped[bool]


class SessionRow(Base):
    """A log-in that is still open; the cookie's token itself is not kept."""

    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(String(_SHA256), primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), index=True
    )
    created: Mapped[datetime]
    last_used: Mapped[datetime]
    expires: Mapped[datetime]


class AttemptRow(Base):
    """A log-in that failed."""

    __tablename__ = "attempts"
    __table_args__ = (Index(None, "key", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(_SHA256))  # hash of an address or an account's name
    at: Mapped[datetime]


class CaseRow(Base):
    """A saved case; its photos lie beside the database."""

    __tablename__ = "cases"
    __table_args__ = (Index(None, "urgency", "uncertainty"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    created: Mapped[datetime]
    saved: Mapped[datetime] = mapped_column(index=True)
    reporter_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    patient: Mapped[str | None] = mapped_column(String(LONGEST_PATIENT))  # the clinic's own code
    may_train: Mapped[bool]  # consent to use it for training
    age: Mapped[int | None] = mapped_column(SmallInteger)
    sex: Mapped[str | None] = mapped_column(String(16))
    site: Mapped[str | None] = mapped_column(String(32))
    symptoms: Mapped[list[str]]
    note: Mapped[str | None] = mapped_column(Text)
    judgement: Mapped[dict[str, Any]]  # Judgement as JSON
    bundle: Mapped[str] = mapped_column(Text)  # the network's name and SHA-256
    language: Mapped[str] = mapped_column(String(16))  # of who saved it
    urgency: Mapped[int] = mapped_column(SmallInteger)  # 0 emergency … 4 unknown
    uncertainty: Mapped[float]  # 0 to 1
    version: Mapped[int]  # goes up with each opinion


class PhotoRow(Base):
    """A photo of a case, counted from 1; cases with the same photo share its file."""

    __tablename__ = "photos"

    case_id: Mapped[str] = mapped_column(
        ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(_SHA256), index=True)  # of the JPEG
    width: Mapped[int]  # pixels
    height: Mapped[int]


class OpinionRow(Base):
    """What a clinician says of a case; rows are never changed, the latest of each counts."""

    __tablename__ = "opinions"

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    created: Mapped[datetime]
    diagnosis: Mapped[str] = mapped_column(String(64))  # of the taxonomy
    confirmed_by: Mapped[str] = mapped_column(String(32))
    comment: Mapped[str | None] = mapped_column(Text)
    blind: Mapped[bool]  # given before the model's answer was shown
    independent: Mapped[bool]  # given before another clinician's opinion was shown
    replaces: Mapped[int | None] = mapped_column(ForeignKey("opinions.id", ondelete="CASCADE"))


class AuditRow(Base):
    """Who did what, when; nothing private stands here."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    action: Mapped[str] = mapped_column(String(64))  # `audit.ACTION` are its words
    subject: Mapped[str] = mapped_column(Text)  # a case's id or an account's name
    details: Mapped[dict[str, Any]]


class SecretRow(Base):
    """A random value that belongs to this archive, such as the salt of patients' codes."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
