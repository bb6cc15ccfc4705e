"""What clinicians say of saved cases, and when that settles a diagnosis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive.audit import add_line
from cutis.app.archive.database import Database
from cutis.app.archive.schema import AccountRow, CaseRow, OpinionRow
from cutis.app.cases import Judgement, is_case_id
from cutis.app.errors import AppError
from cutis.records import Feedback
from cutis.taxonomy import diagnoses

HISTOLOGY = "histology"
CONFIRMATIONS = Feedback.CONFIRMED_BY
LONGEST_COMMENT = 2000
"""Characters."""


@dataclass(frozen=True)
class Answer:
    """What a clinician says of a case."""

    diagnosis: str  # an id of the taxonomy
    confirmed_by: str  # of CONFIRMATIONS
    comment: str | None = None


@dataclass(frozen=True)
class Opinion:
    """One row of the opinions."""

    id: int
    account_id: int
    name: str  # of the account
    created: datetime
    answer: Answer
    blind: bool  # given before the model's answer was shown
    independent: bool  # his first, given before another clinician's opinion was shown
    replaces: int | None  # the same account's earlier one


def check_answer(answer: Answer) -> None:
    """Raises AppError for a diagnosis or a confirmation that there is not, and a long comment."""
    if answer.diagnosis not in diagnoses():
        raise AppError("diagnosis")
    if answer.confirmed_by not in CONFIRMATIONS:
        raise AppError("confirmed_by")
    if len(answer.comment or "") > LONGEST_COMMENT:
        raise AppError("comment", limit=LONGEST_COMMENT)


class Opinions:
    """Reads and adds opinions; blocking.

    Args:
        database: the archive's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_case(self, case_id: str) -> tuple[Opinion, ...]:
        """Every opinion on a case, replaced ones too, the oldest first."""
        with self._database.reading() as session:
            return _of_case(session, case_id)

    def give(
        self,
        case_id: str,
        version: int,
        account: Account,
        answer: Answer,
        *,
        blind: bool = False,
        informed: bool = False,
    ) -> bool:
        """Adds an opinion; an earlier one of the same account is kept, and counts no longer.

        An opinion is blind and independent at most once: whoever has given one is shown the
        model's answer and what the others said. The same answer sent twice is one opinion.

        Args:
            version: of the case, as the clinician saw it.
            blind: whether he has not been shown the model's answer.
            informed: whether he has been shown other opinions although he has given none.

        Returns whether it was kept: False where another opinion has come since `version`. Raises
        AppError `saved_not_found` for a case that is gone.
        """
        if not is_case_id(case_id):
            raise AppError("saved_not_found")
        with self._database.session() as session:
            # Locks out whoever else answers this case.
            current = session.execute(
                select(CaseRow.version).where(CaseRow.id == case_id).with_for_update()
            ).scalar_one_or_none()
            if current is None:
                raise AppError("saved_not_found")
            own = latest(o for o in _of_case(session, case_id) if o.account_id == account.id)
            earlier = own[0] if own else None
            if earlier is not None and earlier.answer == answer:
                return True
            if current != version:
                return False
            session.execute(
                update(CaseRow).where(CaseRow.id == case_id).values(version=current + 1)
            )
            row = _row(case_id, account, answer, earlier)
            row.blind = blind and earlier is None
            row.independent = not informed and earlier is None
            session.add(row)
            add_line(session, "opinion", case_id, account)
        return True


def read_opinions() -> "Select[OpinionRow, str]":
    """All opinions with the names of their accounts, the oldest first."""
    return (
        select(OpinionRow, AccountRow.name)
        .join(AccountRow, AccountRow.id == OpinionRow.account_id)
        .order_by(OpinionRow.id)
    )


def make_opinion(row: OpinionRow, name: str) -> Opinion:
    """A row as a record."""
    return Opinion(
        id=row.id,
        account_id=row.account_id,
        name=name,
        created=row.created,
        answer=Answer(row.diagnosis, row.confirmed_by, row.comment),
        blind=row.blind,
        independent=row.independent,
        replaces=row.replaces,
    )


def latest(opinions: Iterable[Opinion]) -> tuple[Opinion, ...]:
    """The opinions that count: the last of each account, the oldest first."""
    given = tuple(opinions)
    replaced = {opinion.replaces for opinion in given}
    return tuple(opinion for opinion in given if opinion.id not in replaced)


def hidden_from(reader: Account | None, counted: Sequence[Opinion]) -> bool:
    """Whether a clinician must not see the opinions that count: he has given none yet."""
    if reader is None or reader.role is Role.REPORTER:
        return False
    return bool(counted) and reader.id not in {one.account_id for one in counted}


def settled(opinions: Sequence[Opinion]) -> Answer | None:
    """The diagnosis of a case, confirmed by the surest of those who name it; None without one.

    Histology beats the rest. Where the opinions that count (the histological ones, else all)
    do not name one and the same diagnosis, nothing is settled.
    """
    counted = latest(opinions)
    decisive = [one for one in counted if one.answer.confirmed_by == HISTOLOGY] or counted
    if len({one.answer.diagnosis for one in decisive}) != 1:
        return None
    return min((one.answer for one in decisive), key=_by_certainty)


def first_answer(judgement: Judgement) -> str | None:
    """The model's most probable diagnosis; None where it could read no photo."""
    return next(iter(judgement.probabilities), None)


def _row(case_id: str, account: Account, answer: Answer, earlier: Opinion | None) -> OpinionRow:
    """An opinion's row, all but what had been shown before."""
    return OpinionRow(
        case_id=case_id,
        account_id=account.id,
        created=datetime.now(UTC),
        diagnosis=answer.diagnosis,
        confirmed_by=answer.confirmed_by,
        comment=answer.comment,
        replaces=None if earlier is None else earlier.id,
    )


def _by_certainty(answer: Answer) -> int:
    return CONFIRMATIONS.index(answer.confirmed_by)


def _of_case(session: Session, case_id: str) -> tuple[Opinion, ...]:
    rows = session.execute(read_opinions().where(OpinionRow.case_id == case_id))
    return tuple(make_opinion(row, name) for row, name in rows)
