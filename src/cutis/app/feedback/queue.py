"""Which saved cases wait for a clinician, the most pressing first."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

from cutis.app.accounts.accounts import Account
from cutis.app.archive.archive import UNKNOWN_URGENCY
from cutis.app.archive.database import Database
from cutis.app.archive.schema import CaseRow, OpinionRow
from cutis.app.cases import Judgement
from cutis.app.feedback.opinions import (
    HISTOLOGY,
    Answer,
    Opinion,
    latest,
    make_opinion,
    read_opinions,
    settled,
)
from cutis.taxonomy import Urgency

PAGE = 25
"""Cases on a page."""

# A case that the model cannot grade may be a melanoma: it comes before what is known to be calm.
_RANK_OF_UNKNOWN = tuple(Urgency).index(Urgency.WEEKS) + 0.5


class Section(StrEnum):
    """A part of the queue; a case stands in one of the first three."""

    OPEN = "open"
    """Nobody has said anything."""
    DISAGREEING = "disagreeing"
    """Clinicians contradict each other."""
    ANSWERED = "answered"
    """The diagnosis is settled."""
    MINE = "mine"
    """The reader has answered, whatever the others say."""


@dataclass(frozen=True)
class Waiting:
    """One case of the queue."""

    case_id: str
    saved: datetime
    age: int | None
    sex: str | None
    site: str | None
    judgement: Judgement
    opinions: int  # that count
    own: Answer | None  # the reader's
    settled: Answer | None
    uncertainty: float  # 0 to 1


@dataclass(frozen=True)
class QueuePage:
    """One page of a section; `page` counts from 1."""

    section: Section
    rows: tuple[Waiting, ...]
    counts: Mapping[Section, int]
    page: int
    pages: int


class Queue:
    """Reads the queue; blocking.

    Args:
        database: the archive's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, section: Section, account: Account, page: int = 1) -> QueuePage:
        """A page of a section: by urgency, then uncertainty, then age of the case.

        A page that there is not becomes the nearest that there is.
        """
        with self._database.reading() as session:
            counts = {one: _count(session, one, account) for one in Section}
            pages = max(1, -(-counts[section] // PAGE))
            page = min(max(page, 1), pages)
            query = _cases(section, account).order_by(
                case((CaseRow.urgency == UNKNOWN_URGENCY, _RANK_OF_UNKNOWN), else_=CaseRow.urgency),
                CaseRow.uncertainty.desc(),
                CaseRow.created,
                CaseRow.id,
            )
            found = session.scalars(query.offset((page - 1) * PAGE).limit(PAGE)).all()
            opinions = opinions_of(session, [row.id for row in found])
        rows = tuple(_waiting(row, opinions.get(row.id, ()), account) for row in found)
        return QueuePage(section, rows, counts, page, pages)


def opinions_of(
    session: Session, case_ids: Sequence[str] | None = None
) -> dict[str, tuple[Opinion, ...]]:
    """Every opinion on some cases, by default on all that have any, the oldest first."""
    found: defaultdict[str, tuple[Opinion, ...]] = defaultdict(tuple)
    query = read_opinions()
    if case_ids is not None:
        query = query.where(OpinionRow.case_id.in_(case_ids))
    for row, name in session.execute(query):
        found[row.case_id] += (make_opinion(row, name),)
    return dict(found)


def _waiting(row: CaseRow, opinions: Sequence[Opinion], account: Account) -> Waiting:
    counted = latest(opinions)
    own = [one.answer for one in counted if one.account_id == account.id]
    return Waiting(
        case_id=row.id,
        saved=row.saved,
        age=row.age,
        sex=row.sex,
        site=row.site,
        judgement=Judgement.model_validate(row.judgement),
        opinions=len(counted),
        own=own[0] if own else None,
        settled=settled(opinions),
        uncertainty=row.uncertainty,
    )


def _count(session: Session, section: Section, account: Account) -> int:
    cases = _cases(section, account).with_only_columns(CaseRow.id).subquery()
    return session.scalar(select(func.count()).select_from(cases)) or 0


def _cases(section: Section, account: Account) -> Select[Any]:
    """The cases of a section; `settled` in the database's words."""
    if section is Section.MINE:
        own = and_(OpinionRow.case_id == CaseRow.id, OpinionRow.account_id == account.id)
        return select(CaseRow).where(exists().where(own))
    said = _said()
    decided: ColumnElement[bool] = or_(said.c.histological == 1, said.c.named == 1)
    wanted = {
        Section.OPEN: said.c.case_id.is_(None),
        Section.DISAGREEING: not_(decided),
        Section.ANSWERED: decided,
    }[section]
    joined = select(CaseRow).join(said, said.c.case_id == CaseRow.id, isouter=True)
    return joined.where(wanted)


def _said() -> Subquery:
    """How many diagnoses the opinions that count name, by case: all, and the histological ones."""
    newer = aliased(OpinionRow)
    histological = case((OpinionRow.confirmed_by == literal(HISTOLOGY), OpinionRow.diagnosis))
    return (
        select(
            OpinionRow.case_id,
            func.count(OpinionRow.diagnosis.distinct()).label("named"),
            func.count(histological.distinct()).label("histological"),
        )
        .where(not_(exists().where(newer.replaces == OpinionRow.id)))
        .group_by(OpinionRow.case_id)
        .subquery()
    )
