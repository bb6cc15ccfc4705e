"""What the list of saved cases and the audit log show, in words."""

from collections.abc import Sequence
from typing import NamedTuple

from cutis.app.archive.archive import ListedCase, Listing
from cutis.app.archive.audit import AuditLine
from cutis.app.i18n import Translator
from cutis.app.views import diagnosis_names
from cutis.metrics.answer_policy import Verdict
from cutis.runtime import Predictor


class CaseLine(NamedTuple):
    """A saved case in the list."""

    id: str
    saved: str  # date and time
    says: str  # the most probable diagnosis, or that the model cannot tell
    urgency: str  # key of its words
    urgent: bool
    reporter: str
    patient: str
    may_train: bool
    photos: int
    opinions: int


class LogLine(NamedTuple):
    """A line of the audit log."""

    at: str  # date and time
    account: str  # empty: nobody was logged in
    action: str
    subject: str
    details: str


def listing_view(found: Listing, predictor: Predictor, words: Translator) -> tuple[CaseLine, ...]:
    """A page of the list in the translator's words."""
    return tuple(_case_line(case, predictor, words) for case in found.cases)


def audit_view(lines: Sequence[AuditLine], words: Translator) -> tuple[LogLine, ...]:
    """Lines of the log in the translator's words."""
    return tuple(
        LogLine(
            at=words.date_time(line.at.astimezone()),
            account=line.account or "",
            action=_text(f"audit.{line.action}", line.action, words),
            subject=line.subject,
            details=words.listing([_detail(*pair, words) for pair in line.details.items()]),
        )
        for line in lines
    )


def _case_line(case: ListedCase, predictor: Predictor, words: Translator) -> CaseLine:
    judged = case.judgement
    first = next(iter(judged.probabilities), None)
    if first is None or judged.verdict is Verdict.CANNOT_TELL:
        says = words.text("verdict.cannot_tell")
    else:
        says = diagnosis_names(judged, predictor, words)[first]
    return CaseLine(
        id=case.id,
        saved=words.date_time(case.saved.astimezone()),
        says=says,
        urgency=judged.urgency.replace("-", "_") if judged.urgency else "unknown",
        urgent=judged.urgent,
        reporter=case.reporter,
        patient=case.patient or "",
        may_train=case.may_train,
        photos=case.photos,
        opinions=case.opinions,
    )


def _detail(name: str, value: object, words: Translator) -> str:
    if isinstance(value, bool):
        said = words.text("answer.yes" if value else "answer.no")
    elif isinstance(value, int):
        said = words.number(value)
    else:
        said = _text(f"{name}.{value}", str(value), words)
    label = _text(f"audit.detail.{name}", name, words)
    return f"{label}: {said}"


def _text(key: str, otherwise: str, words: Translator) -> str:
    """The text of a key; what a later Cutis has written into the log may have none."""
    try:
        return words.text(key)
    except KeyError:
        return otherwise
