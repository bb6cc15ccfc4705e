"""How far the model and the doctors agree on saved cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from cutis.app.archive.database import Database
from cutis.app.archive.schema import CaseRow, OpinionRow
from cutis.app.cases import Judgement
from cutis.app.feedback.opinions import Opinion, first_answer, settled
from cutis.app.feedback.queue import opinions_of
from cutis.metrics.agreement import NOT_RATED, Agreement, rater_agreement
from cutis.metrics.answer_policy import Verdict
from cutis.metrics.bootstrap import Estimates, Floats, Resampling, bootstrap
from cutis.metrics.scores import weighted_mean
from cutis.taxonomy import ancestors, diagnoses, view, view_names

OWN = "own"
"""The view in which diagnoses fall into those that the model of the case knows."""
OTHER = "other"
"""The class of what a view has no place for; a model that cannot name it is wrong there."""


@dataclass(frozen=True)
class AnsweredCase:
    """A case that somebody has answered."""

    group: str  # of the patient, else of the case
    bundle: str  # the network's name and SHA-256
    judgement: Judgement
    opinions: tuple[Opinion, ...]  # all, the oldest first


@dataclass(frozen=True)
class FoundClass:
    """How often the model named a class."""

    name: str
    cases: int  # settled as of this class
    found: int  # of these, the model's first answer is the class


@dataclass(frozen=True)
class ModelFigures:
    """One network against the doctors."""

    bundle: str
    settled: int  # cases
    accuracy: Estimates  # of the first answer against the settled diagnosis
    told: int  # settled cases of which the model did not say that it cannot tell
    accuracy_told: Estimates
    kappa: Agreement  # with the settled diagnosis
    blind: Agreement  # with each doctor's first opinion, given before the answer was shown
    unblind: Agreement  # likewise, given after
    classes: tuple[FoundClass, ...]


@dataclass(frozen=True)
class PairFigures:
    """Two doctors on the cases that both answered."""

    first: str
    second: str
    agreement: Agreement


@dataclass(frozen=True)
class Figures:
    """What the agreement page shows."""

    saved: int  # cases
    answered: int
    settled: int
    models: tuple[ModelFigures, ...]  # the network of the latest case first
    doctors: Agreement  # over all pairs
    pairs: tuple[PairFigures, ...]

    @property
    def disagreeing(self) -> int:
        """Answered cases without a settled diagnosis."""
        return self.answered - self.settled


def figures(database: Database, view_name: str, settings: Resampling) -> Figures:
    """All figures, with diagnoses reduced to the classes of a view; blocking, for seconds.

    Between doctors only first opinions count that were given before the others' were shown, since
    later ones are no longer independent.

    Args:
        view_name: of the taxonomy, or OWN.

    InputError for an unknown view.
    """
    saved, cases = _read(database)
    bundles = dict.fromkeys(case.bundle for case in cases)
    doctors, pairs = _doctors(cases, view_name, settings)
    return Figures(
        saved=saved,
        answered=len(cases),
        settled=sum(settled(case.opinions) is not None for case in cases),
        models=tuple(
            _model(bundle, [case for case in cases if case.bundle == bundle], view_name, settings)
            for bundle in bundles
        ),
        doctors=doctors,
        pairs=pairs,
    )


def class_of(diagnosis: str, known: Sequence[str], view_name: str) -> str:
    """The class of a view that a diagnosis falls in; OTHER where it has no place for it.

    Args:
        diagnosis: of the taxonomy, or a model's class.
        known: the model's diagnoses, which are the classes of OWN.
    """
    if view_name == OWN:
        if diagnosis in known:
            return diagnosis
        own = next((name for name in view_names() if {*view(name).classes} == {*known}), None)
        if own is None:
            return next((id for id in ancestors(diagnosis) if id in known), OTHER)
        view_name = own
    reduced = view(view_name)
    if diagnosis not in diagnoses():  # a class such as "benign" that is no diagnosis
        return diagnosis if diagnosis in reduced.classes else OTHER
    return reduced.class_of(diagnosis) or OTHER


def _read(database: Database) -> tuple[int, list[AnsweredCase]]:
    """How many cases are saved, and those that were answered, the latest first."""
    query = (
        select(CaseRow.id, CaseRow.patient, CaseRow.bundle, CaseRow.judgement)
        .where(CaseRow.id.in_(select(OpinionRow.case_id)))
        .order_by(CaseRow.saved.desc())
    )
    with database.reading() as session:
        saved = session.scalar(select(func.count()).select_from(CaseRow)) or 0
        rows = session.execute(query).all()
        opinions = opinions_of(session)
    cases = [
        AnsweredCase(
            group=f"case {id}" if patient is None else f"patient {patient}",
            bundle=bundle,
            judgement=Judgement.model_validate(judgement),
            opinions=opinions[id],
        )
        for id, patient, bundle, judgement in rows
    ]
    return saved, cases


def _model(
    bundle: str, cases: Sequence[AnsweredCase], view_name: str, settings: Resampling
) -> ModelFigures:
    ended = [(case, answer) for case in cases if (answer := settled(case.opinions)) is not None]
    pairs = [
        (_first(case, view_name), _reduced(case, answer.diagnosis, view_name))
        for case, answer in ended
    ]
    right = np.array([model == doctor for model, doctor in pairs], np.float64)
    told = np.array(
        [case.judgement.verdict is not Verdict.CANNOT_TELL for case, _ in ended], np.bool_
    )
    groups = _numbered([case.group for case, _ in ended])
    truths = [truth for _, truth in pairs]
    return ModelFigures(
        bundle=bundle,
        settled=len(ended),
        accuracy=_share(right, groups, settings),
        told=int(told.sum()),
        accuracy_told=_share(right[told], groups[told], settings),
        kappa=rater_agreement(_coded(pairs), groups, settings),
        blind=_with_doctors(cases, view_name, settings, blind=True),
        unblind=_with_doctors(cases, view_name, settings, blind=False),
        classes=tuple(
            FoundClass(name, truths.count(name), pairs.count((name, name)))
            for name in sorted({*truths}, key=lambda one: (-truths.count(one), one))
        ),
    )


def _with_doctors(
    cases: Sequence[AnsweredCase], view_name: str, settings: Resampling, *, blind: bool
) -> Agreement:
    """The model and whichever doctor answered, by first opinions; one pair for each of these."""
    said = [
        (case, one)
        for case in cases
        for one in case.opinions
        if one.independent and one.blind is blind
    ]
    pairs = [
        (_first(case, view_name), _reduced(case, one.answer.diagnosis, view_name))
        for case, one in said
    ]
    return rater_agreement(_coded(pairs), _numbered([case.group for case, _ in said]), settings)


def _doctors(
    cases: Sequence[AnsweredCase], view_name: str, settings: Resampling
) -> tuple[Agreement, tuple[PairFigures, ...]]:
    """All doctors, and each pair of them that has answered a common case."""
    said = [
        {
            one.name: _reduced(case, one.answer.diagnosis, view_name)
            for one in case.opinions
            if one.independent
        }
        for case in cases
    ]
    names = sorted({name for one in said for name in one})
    table = _coded([[one.get(name) for name in names] for one in said], len(names))
    groups = _numbered([case.group for case in cases])
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        if (table[:, [a, b]] != NOT_RATED).all(axis=1).any():
            found = rater_agreement(table[:, [a, b]], groups, settings)
            pairs.append(PairFigures(names[a], names[b], found))
    return rater_agreement(table, groups, settings), tuple(pairs)


def _first(case: AnsweredCase, view_name: str) -> str:
    """The class of the model's first answer; OTHER where it could read no photo."""
    answer = first_answer(case.judgement)
    return OTHER if answer is None else _reduced(case, answer, view_name)


def _reduced(case: AnsweredCase, diagnosis: str, view_name: str) -> str:
    return class_of(diagnosis, tuple(case.judgement.probabilities), view_name)


def _share(values: Floats, groups: NDArray[np.intp], settings: Resampling) -> Estimates:
    """The mean of values with its interval."""

    def statistic(weights: Floats) -> Mapping[str, Floats]:
        return {"mean": weighted_mean(values, weights)}

    return bootstrap(statistic, _numbered(groups.tolist()), settings)["mean"]


def _numbered(names: Sequence[object]) -> NDArray[np.intp]:
    """A number for each name, from 0 without gaps."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.intp)


def _coded(answers: Sequence[Sequence[str | None]], raters: int = 2) -> NDArray[np.intp]:
    """(cases, raters) a number for each class; NOT_RATED for None."""
    numbers: dict[str | None, int] = {None: NOT_RATED}
    coded = [[numbers.setdefault(one, len(numbers) - 1) for one in row] for row in answers]
    return np.array(coded, np.intp).reshape(len(answers), raters)
