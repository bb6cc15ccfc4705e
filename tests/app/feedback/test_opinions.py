"""Opinions: what is kept, what counts, and what happens when two answer at once."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from cutis.app.accounts.accounts import Account
from cutis.app.archive.archive import Archive
from cutis.app.errors import AppError
from cutis.app.feedback.opinions import (
    LONGEST_COMMENT,
    Answer,
    Opinion,
    Opinions,
    check_answer,
    latest,
    settled,
)

from .conftest import Say, save_case

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def made(*said: tuple[int, str, str], replaced: Sequence[int | None] = ()) -> list[Opinion]:
    """Opinions by account, diagnosis and confirmation."""
    replaces = [*replaced, *[None] * len(said)]
    return [
        Opinion(n, account, f"a{account}", NOW, Answer(what, how), False, True, replaces[n - 1])
        for n, (account, what, how) in enumerate(said, 1)
    ]


# What counts


def test_nobody_settles_nothing() -> None:
    assert settled([]) is None


def test_one_or_many_who_agree_settle_it_with_the_surest_confirmation() -> None:
    one = made((1, "melanoma", "clinical"))
    assert settled(one) == Answer("melanoma", "clinical")
    both = made((1, "melanoma", "clinical"), (2, "melanoma", "confocal"))
    assert settled(both) == Answer("melanoma", "confocal")


def test_disagreement_settles_nothing() -> None:
    assert settled(made((1, "melanoma", "clinical"), (2, "lentigo", "consensus"))) is None


def test_histology_beats_the_rest_unless_it_contradicts_itself() -> None:
    said = [(1, "lentigo", "clinical"), (2, "lentigo", "consensus"), (3, "melanoma", "histology")]
    assert settled(made(*said)) == Answer("melanoma", "histology")
    assert settled(made(*said, (4, "lentigo", "histology"))) is None


def test_only_the_last_of_each_counts() -> None:
    said = [(1, "lentigo", "clinical"), (2, "melanoma", "clinical"), (1, "melanoma", "clinical")]
    opinions = made(*said, replaced=(None, None, 1))
    assert [one.id for one in latest(opinions)] == [2, 3]
    assert settled(opinions) == Answer("melanoma", "clinical")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer("nothing", "clinical"), "diagnosis"),
        (Answer("", "clinical"), "diagnosis"),
        (Answer("melanoma", "hearsay"), "confirmed_by"),
        (Answer("melanoma", "clinical", "x" * (LONGEST_COMMENT + 1)), "comment"),
    ],
)
def test_what_cannot_be_an_answer(answer: Answer, code: str) -> None:
    with pytest.raises(AppError) as caught:
        check_answer(answer)
    assert caught.value.code == code
    check_answer(Answer("melanoma", "clinical", "x" * LONGEST_COMMENT))


# What is kept


def test_an_opinion_is_kept_whole(
    archive: Archive, reporter: Account, ada: Account, say: Say
) -> None:
    case = save_case(archive, reporter)
    before = datetime.now(UTC)
    say(case, ada, "lentigo", "consensus", "seen <twice>", blind=True)
    (found,) = Opinions(archive.database).of_case(case)
    assert found.answer == Answer("lentigo", "consensus", "seen <twice>")
    assert (found.name, found.account_id) == ("ada", ada.id)
    assert found.blind
    assert found.independent
    assert found.replaces is None
    assert before <= found.created <= datetime.now(UTC)
    assert archive.case(case).version == 2
    assert [line.action for line in archive.audit()[0]] == ["opinion", "case_saved"]


def test_a_change_is_a_new_row_that_is_neither_blind_nor_independent(
    archive: Archive, reporter: Account, ada: Account, say: Say
) -> None:
    case = save_case(archive, reporter)
    say(case, ada, "lentigo", blind=True)
    say(case, ada, "melanoma", blind=True)
    first, second = Opinions(archive.database).of_case(case)
    assert (first.answer.diagnosis, second.answer.diagnosis) == ("lentigo", "melanoma")
    assert second.replaces == first.id
    assert (first.blind, first.independent) == (True, True)
    assert (second.blind, second.independent) == (False, False)


def test_who_was_shown_others_is_not_independent(
    archive: Archive, reporter: Account, ada: Account, say: Say
) -> None:
    case = save_case(archive, reporter)
    say(case, ada, "lentigo", informed=True)
    assert not Opinions(archive.database).of_case(case)[0].independent


def test_the_same_answer_sent_twice_is_one(
    archive: Archive, reporter: Account, ada: Account
) -> None:
    case, opinions = save_case(archive, reporter), Opinions(archive.database)
    answer = Answer("lentigo", "clinical")
    assert opinions.give(case, 1, ada, answer)
    assert opinions.give(case, 1, ada, answer)
    assert len(opinions.of_case(case)) == 1
    assert archive.case(case).version == 2


def test_a_late_answer_is_not_kept(
    archive: Archive, reporter: Account, ada: Account, ben: Account, say: Say
) -> None:
    case, opinions = save_case(archive, reporter), Opinions(archive.database)
    say(case, ada, "lentigo")
    assert not opinions.give(case, 1, ben, Answer("melanoma", "clinical"))
    assert [one.name for one in opinions.of_case(case)] == ["ada"]
    assert opinions.give(case, 2, ben, Answer("melanoma", "clinical"))


def test_a_deleted_case_takes_no_answer(archive: Archive, reporter: Account, ada: Account) -> None:
    case = save_case(archive, reporter)
    Opinions(archive.database).give(case, 1, ada, Answer("lentigo", "clinical"))
    Opinions(archive.database).give(case, 2, ada, Answer("melanoma", "clinical"))
    archive.delete(case, reporter)
    with pytest.raises(AppError) as caught:
        Opinions(archive.database).give(case, 3, ada, Answer("lentigo", "clinical"))
    assert caught.value.code == "saved_not_found"
    assert Opinions(archive.database).of_case(case) == ()


def test_of_two_who_answer_at_once_one_is_kept(
    archive: Archive, reporter: Account, ada: Account, ben: Account
) -> None:
    opinions, kept = Opinions(archive.database), []

    def answer(case: str, account: Account, diagnosis: str, start: threading.Barrier) -> None:
        start.wait()
        if opinions.give(case, 1, account, Answer(diagnosis, "clinical")):
            kept.append((case, account.name))

    for _ in range(8):
        case, start = save_case(archive, reporter), threading.Barrier(2)
        threads = [
            threading.Thread(target=answer, args=(case, *said, start))
            for said in ((ada, "lentigo"), (ben, "melanoma"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (only,) = opinions.of_case(case)
        assert kept.pop() == (case, only.name)
        assert kept == []
        assert archive.case(case).version == 2
