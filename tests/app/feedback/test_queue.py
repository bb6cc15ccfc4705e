"""The queue: its order, its sections, its pages."""

import itertools

import numpy as np
import pytest

from cutis.app.accounts.accounts import Account
from cutis.app.archive.archive import Archive
from cutis.app.feedback import queue as module
from cutis.app.feedback.opinions import Opinions, settled
from cutis.app.feedback.queue import Queue, Section
from cutis.metrics.answer_policy import Verdict
from cutis.taxonomy import Urgency

from .conftest import Say, save_case


def ids(archive: Archive, section: Section, account: Account, page: int = 1) -> list[str]:
    return [row.case_id for row in Queue(archive.database).page(section, account, page).rows]


def test_order_is_urgency_then_uncertainty_then_age(
    archive: Archive, reporter: Account, ada: Account
) -> None:
    def save(share: float, urgency: Urgency | None) -> str:
        return save_case(archive, reporter, share=share, urgency=urgency)

    calm_unsure = save(0.4, Urgency.SELF_CARE)
    routine = save(0.4, Urgency.ROUTINE)
    unknown = save(0.9, None)
    weeks_sure = save(0.9, Urgency.WEEKS)
    weeks_unsure = save(0.5, Urgency.WEEKS)
    weeks_unsure_later = save(0.5, Urgency.WEEKS)
    today = save(0.99, Urgency.EMERGENCY)
    expected = [today, weeks_unsure, weeks_unsure_later, weeks_sure, unknown, routine, calm_unsure]
    assert ids(archive, Section.OPEN, ada) == expected


def test_a_case_moves_through_the_sections(
    archive: Archive, reporter: Account, ada: Account, ben: Account, say: Say
) -> None:
    case = save_case(archive, reporter)

    def place(account: Account) -> set[Section]:
        return {section for section in Section if ids(archive, section, account)}

    assert place(ada) == {Section.OPEN}
    say(case, ada, "melanoma")
    assert place(ada) == {Section.ANSWERED, Section.MINE}
    assert place(ben) == {Section.ANSWERED}
    say(case, ben, "lentigo")
    assert place(ben) == {Section.DISAGREEING, Section.MINE}
    say(case, ben, "lentigo", "histology")
    assert place(ben) == {Section.ANSWERED, Section.MINE}
    say(case, ada, "melanoma", "histology")
    assert place(ben) == {Section.DISAGREEING, Section.MINE}
    say(case, ada, "lentigo", "clinical")
    assert place(ada) == {Section.ANSWERED, Section.MINE}
    counts = Queue(archive.database).page(Section.OPEN, ada).counts
    assert counts == {
        Section.OPEN: 0,
        Section.DISAGREEING: 0,
        Section.ANSWERED: 1,
        Section.MINE: 1,
    }


def test_sections_are_those_of_the_rule(
    archive: Archive, reporter: Account, ada: Account, ben: Account, say: Say
) -> None:
    # What the database sorts by must be what `settled` says, for every mixture of opinions.
    kinds = list(itertools.product(("melanoma", "lentigo"), ("clinical", "histology")))
    rng = np.random.default_rng(0)
    cases = [save_case(archive, reporter) for _ in range(16)]
    for case in cases:
        for account in (ada, ben, ada)[: rng.integers(0, 4)]:
            say(case, account, *kinds[rng.integers(4)])
    expected: dict[Section, set[str]] = {section: set() for section in Section}
    for case in cases:
        given = Opinions(archive.database).of_case(case)
        section = Section.ANSWERED if settled(given) else Section.DISAGREEING
        expected[section if given else Section.OPEN].add(case)
        if any(one.account_id == ada.id for one in given):
            expected[Section.MINE].add(case)
    assert {section: set(ids(archive, section, ada)) for section in Section} == expected
    assert all(expected.values())


def test_a_row_says_what_is_known(
    archive: Archive, reporter: Account, ada: Account, ben: Account, say: Say
) -> None:
    case = save_case(archive, reporter, verdict=Verdict.CANNOT_TELL)
    say(case, ada, "lentigo")
    (row,) = Queue(archive.database).page(Section.ANSWERED, ben).rows
    assert row.own is None
    assert row.settled.diagnosis == "lentigo"
    assert (row.opinions, row.uncertainty) == (1, 1.0)
    (row,) = Queue(archive.database).page(Section.MINE, ada).rows
    assert row.own.diagnosis == "lentigo"


@pytest.mark.parametrize(("asked", "given"), [(-3, 1), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_pages(
    archive: Archive,
    reporter: Account,
    ada: Account,
    monkeypatch: pytest.MonkeyPatch,
    asked: int,
    given: int,
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    cases = [save_case(archive, reporter) for _ in range(5)]
    found = Queue(archive.database).page(Section.OPEN, ada, asked)
    assert (found.page, found.pages) == (given, 3)
    assert [row.case_id for row in found.rows] == cases[2 * given - 2 : 2 * given]


def test_an_empty_queue_has_one_page(archive: Archive, ada: Account) -> None:
    found = Queue(archive.database).page(Section.OPEN, ada)
    assert (found.rows, found.page, found.pages) == ((), 1, 1)
