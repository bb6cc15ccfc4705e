"""What the pages of the doctor's loop show, in words."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive.archive import SavedCase
from cutis.app.feedback.agreement import Figures, ModelFigures
from cutis.app.feedback.choices import Choice, Group, make_choice, make_groups, name_of
from cutis.app.feedback.opinions import Answer, Opinion, first_answer, latest, settled
from cutis.app.feedback.queue import Waiting
from cutis.app.i18n import Translator
from cutis.metrics.agreement import Agreement
from cutis.metrics.answer_policy import Verdict
from cutis.metrics.bootstrap import Estimates, Floats
from cutis.taxonomy import diagnoses

_CLINICAL = "clinical"
_FEW = 30
"""Cases; with fewer an interval by resampling is too narrow (docs/statistics.md)."""


class OpinionForm(NamedTuple):
    """The form of an opinion; `diagnosis`, `confirmed_by` and `comment` are filled in."""

    at: str  # "/saved/ID"
    version: int
    groups: tuple[Group, ...]
    confirm: Choice | None  # the model's answer, for one press
    diagnosis: str
    confirmed_by: str
    comment: str
    blind: bool
    informed: bool


class Given(NamedTuple):
    """An opinion in words."""

    name: str
    own: bool
    diagnosis: str
    confirmed_by: str
    comment: str
    when: str
    blind: bool


class OpinionCard(NamedTuple):
    """What a saved case's page says of opinions."""

    form: OpinionForm | None  # None for who may not give one
    given: tuple[Given, ...]  # none for who has not answered yet
    hidden: int  # opinions that the reader does not see
    settled: str  # the diagnosis; empty where there is none, or the reader does not see it yet
    confirmed_by: str  # of the settled diagnosis
    disagreeing: bool


class QueueRow(NamedTuple):
    """A case of the queue."""

    at: str
    link: str
    saved: str
    facts: tuple[str, ...]
    urgency: str  # key of its words; empty for who answers before seeing the model, like the next
    first: str
    uncertainty: str
    opinions: int
    own: str
    settled: str


class Interval(NamedTuple):
    """A figure with its interval."""

    value: str
    interval: str  # empty where it cannot be drawn


class AgreementRow(NamedTuple):
    """Two raters, or two kinds of them."""

    name: str
    cases: str
    agreed: Interval
    kappa: Interval
    note: str  # why there is no kappa, or what to keep in mind


class ModelTable(NamedTuple):
    """One network against the doctors."""

    bundle: str
    accuracies: tuple[tuple[str, str, Interval], ...]  # name, cases, share
    rows: tuple[AgreementRow, ...]
    classes: tuple[tuple[str, str, str], ...]  # name, cases, found


def opinion_form(
    saved: SavedCase,
    words: Translator,
    filled: Answer | None = None,
    *,
    version: int | None = None,
    blind: bool = False,
    informed: bool = False,
) -> OpinionForm:
    """The form for a saved case.

    Args:
        filled: what stands in it.
        version: of the case as the reader sees it, if newer than `saved`.
        blind: whether the model's answer must not show.
        informed: whether the reader has been shown what others said, without having answered.
    """
    judgement = saved.case.judgement
    first = first_answer(judgement)
    one_press = filled is None and not blind and first in diagnoses()
    return OpinionForm(
        at=f"/saved/{saved.case.id}",
        version=saved.version if version is None else version,
        groups=make_groups(tuple(judgement.probabilities), words, ordered=not blind),
        confirm=make_choice(first, words) if one_press and first else None,
        diagnosis=filled.diagnosis if filled else "",
        confirmed_by=filled.confirmed_by if filled else _CLINICAL,
        comment=(filled.comment or "") if filled else "",
        blind=blind,
        informed=informed,
    )


def opinion_card(
    saved: SavedCase, opinions: Sequence[Opinion], reader: Account, words: Translator
) -> OpinionCard | None:
    """What the page of a case shows to its reader; None where there is nothing to say.

    A clinician sees the others' opinions after giving one. A reporter sees what is settled.
    """
    counted, ended = latest(opinions), settled(opinions)
    own = next((one.answer for one in counted if one.account_id == reader.id), None)
    clinician = reader.role in (Role.CLINICIAN, Role.ADMIN)
    if not clinician and not counted:
        return None
    sees = own is not None or not clinician
    return OpinionCard(
        form=opinion_form(saved, words, own) if clinician else None,
        given=given(counted, reader, words) if own is not None else (),
        hidden=0 if sees else len(counted),
        settled=name_of(ended.diagnosis, words) if ended and sees else "",
        confirmed_by=words.term("confirmed", ended.confirmed_by) if ended and sees else "",
        disagreeing=sees and bool(counted) and ended is None,
    )


def given(opinions: Sequence[Opinion], reader: Account, words: Translator) -> tuple[Given, ...]:
    """Opinions in words."""
    return tuple(
        Given(
            name=one.name,
            own=one.account_id == reader.id,
            diagnosis=name_of(one.answer.diagnosis, words),
            confirmed_by=words.term("confirmed", one.answer.confirmed_by),
            comment=one.answer.comment or "",
            when=words.date_time(one.created.astimezone()),
            blind=one.blind,
        )
        for one in opinions
    )


def queue_row(case: Waiting, words: Translator, *, blind: bool) -> QueueRow:
    """A case of the queue; what is settled shows after the reader's own answer."""
    at, judged = f"/saved/{case.case_id}", case.judgement
    first = first_answer(judged)
    hidden = blind and case.own is None
    facts = [words.text("unit.years", count=case.age)] if case.age is not None else []
    for group, value in (("sex", case.sex), ("site", case.site)):
        if value is not None:
            facts.append(words.term(group, value))
    says = words.term("verdict", Verdict.CANNOT_TELL)
    if first is not None and judged.verdict is not Verdict.CANNOT_TELL:
        says = name_of(first, words)
    return QueueRow(
        at=at,
        link=f"{at}/blind" if hidden else f"{at}#opinion",
        saved=words.date_time(case.saved.astimezone()),
        facts=tuple(facts),
        urgency="" if hidden else (judged.urgency or "unknown").replace("-", "_"),
        first="" if hidden else says,
        uncertainty="" if hidden else words.percent(case.uncertainty),
        opinions=case.opinions,
        own=name_of(case.own.diagnosis, words) if case.own else "",
        settled=name_of(case.settled.diagnosis, words) if case.settled and case.own else "",
    )


def model_tables(figures: Figures, words: Translator) -> tuple[ModelTable, ...]:
    """Each network against the doctors."""
    return tuple(_model_table(one, words) for one in figures.models)


def doctor_rows(figures: Figures, words: Translator) -> tuple[AgreementRow, ...]:
    """All doctors together, then each pair."""
    every = _agreement_row(words.text("agreement.doctors.all"), figures.doctors, words)
    pairs = (
        _agreement_row(words.listing([one.first, one.second]), one.agreement, words)
        for one in figures.pairs
    )
    return every, *pairs


def _model_table(one: ModelFigures, words: Translator) -> ModelTable:
    named = (("settled", one.kappa), ("blind", one.blind), ("unblind", one.unblind))
    return ModelTable(
        bundle=one.bundle,
        accuracies=(
            (
                words.text("agreement.accuracy"),
                words.number(one.settled),
                _share(one.accuracy, words),
            ),
            (
                words.text("agreement.accuracy.told"),
                words.number(one.told),
                _share(one.accuracy_told, words),
            ),
        ),
        rows=tuple(
            _agreement_row(words.text(f"agreement.with.{name}"), found, words)
            for name, found in named
        ),
        classes=tuple(
            (name_of(row.name, words), words.number(row.cases), words.number(row.found))
            for row in one.classes
        ),
    )


def _agreement_row(name: str, found: Agreement, words: Translator) -> AgreementRow:
    kappa = found.kappa
    note = ""
    if found.undefined is not None:
        note = words.term("agreement.undefined", found.undefined)
    elif found.cases < _FEW:
        note = words.text("agreement.few", count=_FEW)
    interval = ""
    if np.isfinite(kappa.low):
        low, high = _signed(kappa.low, words), _signed(kappa.high, words)
        interval = words.text("agreement.interval", low=low, high=high)
    value = "–" if np.isnan(kappa.value) else _signed(kappa.value, words)
    return AgreementRow(
        name=name,
        cases=words.number(found.cases),
        agreed=_share(found.agreed, words),
        kappa=Interval(value, interval),
        note=note,
    )


def _share(found: Estimates, words: Translator) -> Interval:
    if np.isnan(found.value):
        return Interval("–", "")
    interval = ""
    if np.isfinite(found.low):
        low, high = words.percent(float(found.low)), words.percent(float(found.high))
        interval = words.text("agreement.interval", low=low, high=high)
    return Interval(words.percent(float(found.value)), interval)


def _signed(value: Floats, words: Translator) -> str:
    """A number that may be below 0; the mark keeps its sign before it in either direction."""
    number = words.number(abs(float(value)), 2)
    return f"\u200e\u2212{number}" if round(float(value), 2) < 0 else number
