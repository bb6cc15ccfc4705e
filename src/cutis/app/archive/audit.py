"""The audit log: who did what to which case or account, and when."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cutis.app.archive.schema import AccountRow, AuditRow

if TYPE_CHECKING:
    from cutis.app.accounts.accounts import Account

LINES = 50
"""Of a page of the log."""


class AuditLine(NamedTuple):
    """One line of the log."""

    at: datetime
    account: str | None  # name; None: nobody was logged in
    action: str
    subject: str  # a case's id or an account's name
    details: dict[str, object]


def add_line(
    session: Session, action: str, subject: str, account: "Account | None", **details: object
) -> None:
    """Writes a line within a transaction, so that it stands there if and only if the change does.

    Args:
        action: `audit.ACTION` are its words.
        details: numbers and keys, nothing private.
    """
    session.add(
        AuditRow(
            at=datetime.now(UTC),
            account_id=account.id if account else None,
            action=action,
            subject=subject,
            details=details,
        )
    )


def has_line(session: Session, action: str, subject: str, since: datetime) -> bool:
    """Whether such a line was written since a time."""
    alike = (AuditRow.at > since, AuditRow.action == action, AuditRow.subject == subject)
    return session.scalar(select(AuditRow.id).where(*alike).limit(1)) is not None


def read_lines(session: Session, page: int) -> tuple[tuple[AuditLine, ...], int]:
    """A page of the log, the latest lines first, and the number of pages.

    Args:
        page: from 1.
    """
    count = session.scalar(select(func.count()).select_from(AuditRow)) or 0
    rows = session.execute(
        select(AuditRow, AccountRow.name)
        .outerjoin(AccountRow, AccountRow.id == AuditRow.account_id)
        .order_by(AuditRow.id.desc())
        .offset((page - 1) * LINES)
        .limit(LINES)
    )
    lines = [AuditLine(row.at, name, row.action, row.subject, row.details) for row, name in rows]
    return tuple(lines), max(1, -(-count // LINES))
