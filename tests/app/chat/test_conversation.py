"""Conversations and the pace of questions are bounded."""

import pytest

from cutis.app.chat.conversation import Answer, Conversation, Conversations, Kind, Turn
from cutis.app.chat.pace import Pace
from cutis.app.errors import AppError


def answer_of(text: str) -> Answer:
    return Answer(Kind.ASSISTANT, "en", text)


def test_a_conversation_is_bounded() -> None:
    talk = Conversation()
    for number in range(30):
        talk.add(Turn(str(number), answer_of("a")))
    assert [turn.question for turn in talk.turns] == [str(n) for n in range(10, 30)]
    for _ in range(8):
        talk.add(Turn("long", answer_of("a" * 10_000)))
    assert len(talk.turns) == 3


def test_conversations_are_bounded_in_number_and_time() -> None:
    now = 0.0
    kept = Conversations(2, 10, lambda: now)
    first = kept.of(("a", ""))
    assert kept.of(("a", "")) is first
    kept.of(("b", ""))
    kept.of(("a", "7"))
    assert kept.get(("a", "")) is None  # the one unused for longest
    kept.forget("a")
    assert len(kept) == 1
    now = 10.0
    kept.sweep()
    assert len(kept) == 0


def test_pace_counts_by_case_and_in_all() -> None:
    now = 0.0
    pace = Pace(of_case=2, of_all=3, clock=lambda: now)
    pace.admit("a")
    pace.release("a")
    now = 20.0
    pace.admit("a")
    pace.release("a")
    with pytest.raises(AppError) as caught:
        pace.admit("a")
    assert (caught.value.code, caught.value.status_code) == ("chat_busy", 429)
    assert caught.value.headers == {"Retry-After": "40"}
    pace.admit("b")
    pace.release("b")
    with pytest.raises(AppError):
        pace.admit("c")
    now = 60.0
    pace.admit("a")
    pace.release("a")
    with pytest.raises(AppError):
        pace.admit("a")


def test_one_question_at_a_time_about_a_case_and_few_in_all() -> None:
    pace = Pace(at_once=2)
    pace.admit("a")
    with pytest.raises(AppError):
        pace.admit("a")
    pace.admit("b")
    with pytest.raises(AppError):
        pace.admit("c")
    pace.release("a")
    pace.admit("c")
    with pytest.raises(AppError):
        pace.admit("a")
