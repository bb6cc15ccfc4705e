"""People with accounts, and cases to save."""

from collections.abc import Sequence

import pytest

from cutis.app.accounts.accounts import Account, Role
from cutis.app.archive.archive import Archive
from cutis.app.cases import Case, CaseFacts, Judgement, Photo
from cutis.metrics.answer_policy import Verdict
from cutis.runtime import PhotoAnswer
from cutis.taxonomy import Urgency

from ..conftest import make_account

NOTE = "خارش from May, «a note»"
SHARES = {"melanoma": 0.6, "dermatofibroma": 0.3, "melanocytic_nevus": 0.1}


def make_case(*photos: bytes, **judged: object) -> Case:
    """A case of photos that are no pictures: an archive does not look into them."""
    kept = photos or (b"a photo",)
    answers = tuple(PhotoAnswer(probabilities=SHARES) for _ in kept)
    judgement = Judgement(
        photos=answers,
        probabilities=SHARES,
        **{"verdict": Verdict.ANSWER, "urgency": Urgency.WEEKS, "urgent": True, **judged},
    )
    facts = CaseFacts(age=40, sex="female", site="back", symptoms=("itch", "new"), note=NOTE)
    return Case(tuple(Photo(data, 40, 30) for data in kept), facts, judgement)


def save(archive: Archive, reporter: Account, case: Case, **said: object) -> str:
    """Saves a case and gives its id."""
    words = {"patient": None, "may_train": False, "bundle": "tiny fp32 0", "language": "en"}
    archive.save(case, reporter, **{**words, **said})
    return case.id


def files(archive: Archive) -> list[str]:
    """Names of all files among the photos."""
    return sorted(path.name for path in archive.files.folder.rglob("*") if path.is_file())


def tables(archive: Archive, names: Sequence[str] = ("cases", "photos", "opinions")) -> list[int]:
    """How many rows the tables have."""
    with archive.database.engine.begin() as connection:
        counts = [connection.exec_driver_sql(f"SELECT count(*) FROM {n}").scalar() for n in names]
    return [int(count or 0) for count in counts]


@pytest.fixture
def reporter(archive: Archive) -> Account:
    return make_account(archive, "reporter", Role.REPORTER)


@pytest.fixture
def clinician(archive: Archive) -> Account:
    return make_account(archive, "clinician", Role.CLINICIAN)
