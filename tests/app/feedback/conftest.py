"""Clinicians, and saved cases with an answer of the model."""

from collections.abc import Callable

import pytest

from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive.archive import Archive
from cutis.app.cases import Case, CaseFacts, Judgement, Photo
from cutis.app.feedback.opinions import Answer, Opinions
from cutis.metrics.answer_policy import Verdict
from cutis.runtime import PhotoAnswer

from ..conftest import DIAGNOSES, encoded, make_account

BUNDLE = "tiny fp32 " + "0" * 64
JPEG = encoded(height=40, width=40)


def save_case(
    archive: Archive,
    reporter: Account,
    first: str = "melanoma",
    share: float = 0.7,
    *,
    patient: str | None = None,
    may_train: bool = True,
    bundle: str = BUNDLE,
    photo: bytes = JPEG,
    facts: CaseFacts | None = None,
    **judged: object,
) -> str:
    """Saves a case whose most probable diagnosis is `first`, and gives its id."""
    others = [name for name in DIAGNOSES if name != first]
    shares = {first: share, **dict.fromkeys(others, (1 - share) / len(others))}
    judgement = Judgement(
        photos=(PhotoAnswer(probabilities=shares),),
        probabilities=shares,
        **{"verdict": Verdict.ANSWER, **judged},
    )
    case = Case((Photo(photo, 40, 40),), facts or CaseFacts(), judgement)
    archive.save(case, reporter, patient=patient, may_train=may_train, bundle=bundle, language="en")
    return case.id


Say = Callable[..., None]


@pytest.fixture
def reporter(archive: Archive) -> Account:
    return make_account(archive, "reporter", Role.REPORTER)


@pytest.fixture
def ada(archive: Archive) -> Account:
    return make_account(archive, "ada")


@pytest.fixture
def ben(archive: Archive) -> Account:
    return make_account(archive, "ben")


@pytest.fixture
def say(archive: Archive) -> Say:
    """Gives an opinion on a case as it is now."""

    def give(
        case_id: str,
        account: Account,
        diagnosis: str,
        confirmed_by: str = "clinical",
        comment: str | None = None,
        **how: bool,
    ) -> None:
        case = archive.case(case_id)
        assert case is not None
        answer = Answer(diagnosis, confirmed_by, comment)
        opinions = Opinions(archive.database)
        assert opinions.give(case_id, case.version, account, answer, **how)

    return give
